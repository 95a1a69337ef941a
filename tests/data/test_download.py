import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from edgecifar.data.download import CHUNK_BYTES, download
from edgecifar.errors import DataError
from edgecifar.progress import SILENT, Progress, Task
from tests.data.conftest import Answer, Recorder, answer_with

CONTENT = bytes(range(256)) * (2 * CHUNK_BYTES // 256) + b"end"

Serve = Callable[[Answer], str]


def accept(path: Path) -> None:
    assert path.read_bytes() == CONTENT


def fetch(url: str, path: Path, progress: Progress = SILENT) -> None:
    download(url, path, progress, mend="Do this.", check=accept)


def test_the_file_is_what_was_served(serve: Serve, tmp_path: Path, recorder: Recorder) -> None:
    path = tmp_path / "new" / "file.bin"
    fetch(serve(answer_with(CONTENT)), path, recorder)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert recorder.tasks == [("Downloading file.bin", len(CONTENT), "bytes")]
    assert recorder.advanced == len(CONTENT)


def test_a_server_that_does_not_tell_the_length(serve: Serve, tmp_path: Path, recorder: Recorder) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(CONTENT)

    fetch(serve(answer), tmp_path / "file.bin", recorder)
    assert recorder.tasks == [("Downloading file.bin", 0, "bytes")]
    assert recorder.advanced == len(CONTENT)


def break_off(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"FF\r\ntoo short")


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def refuse(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(404)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (refuse, "answers 404 Not Found"),
        (answer_with(b"x" * 1000, promised=3000), "ended after 1,000 of 3,000 bytes|broke after"),
        (answer_with(CONTENT, promised=10 * len(CONTENT)), "ended after 524,291 of|broke after"),
        (break_off, "the connection broke after"),
        (hang_up, "the connection broke after 0 bytes"),
    ],
)
def test_a_failure_leaves_what_was_there(answer: Answer, message: str, serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    url = serve(answer)
    with pytest.raises(DataError, match=message) as caught:
        fetch(url, path)
    assert url in caught.value.problem
    assert caught.value.mend == "Do this."
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_no_server(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError, match="cannot be reached"):
        fetch(f"http://127.0.0.1:{port}/file", tmp_path / "file.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_the_check_rejects_is_not_kept(serve: Serve, tmp_path: Path) -> None:
    def reject(path: Path) -> None:
        raise DataError(f"{path.name} is wrong.")

    with pytest.raises(DataError, match="is wrong"):
        download(serve(answer_with(CONTENT)), tmp_path / "file.bin", SILENT, mend="", check=reject)
    assert list(tmp_path.iterdir()) == []


class Interrupting:
    """Progress in which Ctrl-C comes at the second chunk."""

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[Task]:
        self.chunks = 0
        yield self

    def advance(self, amount: int = 1, **_figures: float) -> None:
        self.chunks += 1
        if self.chunks == 2:
            raise KeyboardInterrupt

    def say(self, message: str) -> None:
        raise AssertionError(message)


def test_ctrl_c_leaves_no_file(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fetch(serve(answer_with(CONTENT)), tmp_path / "file.bin", Interrupting())
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"file\.bin: cannot be written"):
        fetch(serve(answer_with(CONTENT)), tmp_path / "file" / "file.bin")
