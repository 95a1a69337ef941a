"""A small CIFAR-10 in every official form, a web server, and a progress that remembers."""

import hashlib
import io
import pickle
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecifar.data import cifar10

BATCH = 20
NAMES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


@dataclass
class Recorder:
    """Progress that keeps what it was told."""

    said: list[str] = field(default_factory=list)
    tasks: list[tuple[str, int, str]] = field(default_factory=list)
    advanced: int = 0

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> "Iterator[Recorder]":
        self.tasks.append((name, total, unit))
        yield self

    def advance(self, amount: int = 1, **_figures: float) -> None:
        self.advanced += amount

    def say(self, message: str) -> None:
        self.said.append(message)


@dataclass(frozen=True)
class SmallCifar10:
    """Six batches of 20 images, and the writers of the forms in which they may lie on a disk."""

    images: NDArray[np.uint8]
    """(120, 32, 32, 3)"""
    labels: NDArray[np.int64]

    @property
    def planes(self) -> NDArray[np.uint8]:
        return self.images.transpose(0, 3, 1, 2).reshape(-1, 3072)

    def binary_members(self) -> dict[str, bytes]:
        records = np.concatenate([self.labels.astype(np.uint8)[:, None], self.planes], axis=1)
        parts = records.reshape(len(NAMES), -1)
        return {f"{name}.bin": part.tobytes() for name, part in zip(NAMES, parts, strict=True)}

    def python_members(self, protocol: int = 2) -> dict[str, bytes]:
        return {
            name: pickle.dumps(
                {
                    b"batch_label": name.encode(),
                    b"labels": self.labels[start : start + BATCH].tolist(),
                    b"data": np.ascontiguousarray(self.planes[start : start + BATCH]),
                    b"filenames": [b"x.png"] * BATCH,
                },
                protocol=protocol,
            )
            for name, start in zip(NAMES, range(0, 120, BATCH), strict=True)
        }


def pack(members: Mapping[str, bytes], folder: str) -> bytes:
    """Returns a tar.gz archive of the members in a folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for name, content in {"batches.meta.txt": b"airplane\n", **members}.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def place(form: str, root: Path, binary: Mapping[str, bytes], python: Mapping[str, bytes]) -> Path:
    """Writes one of the forms below `root` and returns the path of the archive or folder that holds it."""
    layout, _, packing = form.partition("-")
    members = binary if layout == "binary" else python
    folder = "cifar-10-batches-bin" if layout == "binary" else "cifar-10-batches-py"
    root.mkdir(parents=True, exist_ok=True)
    if packing == "packed":
        path = root / f"cifar-10-{layout}.tar.gz"
        path.write_bytes(pack(members, folder))
        return path
    path = root if packing == "bare" else root / folder
    path.mkdir(exist_ok=True)
    for name, content in members.items():
        (path / name).write_bytes(content)
    return path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> SmallCifar10:
    """A small CIFAR-10, taken for the official one."""
    generator = np.random.default_rng(10)
    images = generator.integers(0, 256, (BATCH * len(NAMES), 32, 32, 3), dtype=np.uint8)
    data = SmallCifar10(images, np.tile(np.arange(10, dtype=np.int64), BATCH * len(NAMES) // 10))
    sums = {
        name: hashlib.sha1(content, usedforsecurity=False).hexdigest()
        for name, content in data.binary_members().items()
    }
    monkeypatch.setattr(cifar10, "IMAGES_PER_BATCH", BATCH)
    monkeypatch.setattr(cifar10, "OFFICIAL_SHA1", sums)
    return data


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(autouse=True)
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Keras cache and no EDGECIFAR_DATA_DIR, whatever this machine has."""
    home = tmp_path / "keras-home"
    monkeypatch.setenv("KERAS_HOME", str(home))
    monkeypatch.delenv("EDGECIFAR_DATA_DIR", raising=False)
    return home


Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Starts a server on the loopback address that answers every GET in one way; returns its address."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, *_args: object) -> None:
                """Keeps the tests' output quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}/cifar-10-binary.tar.gz"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def answer_with(content: bytes, promised: int | None = None) -> Answer:
    """Returns an answer of `content` that promises another length if told to."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) if promised is None else promised))
        handler.end_headers()
        handler.wfile.write(content)

    return answer
