"""A headless Chromium that serves one page: jobs go to it over loopback, and results come back."""

import json
import mimetypes
import os
import queue
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

from edgecifar.errors import EngineMissingError, ModelError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Commands under which Chromium is installed, in the order in which they are looked for."""

_FLAGS = (
    "--headless",
    "--enable-logging=stderr",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Pages that nobody looks at run slowed down otherwise.
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
)
_HEADERS = {
    "Cache-Control": "no-store",
    # Two headers that give the page shared memory, and so threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'"
    ),
}
_IDLE_S = 20.0
"""After so long without a job the page is told to ask again."""


class Job(StrEnum):
    """What a page can be asked for; the names are the page's own."""

    LOAD = "load"
    RUN = "run"
    IDLE = "idle"
    END = "end"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the page gave for a job."""

    body: bytes
    milliseconds: float | None
    """In the engine's own calls, by the page's clock; None where nothing ran."""
    failure: str | None = None
    """The engine's message where it failed."""


@dataclass(slots=True)
class _Exchange:
    """What the server's threads and the browser's owner share."""

    folders: Mapping[str, tuple[Path, ...]]
    """Where files lie, by the first part of their path in the URL; "" is the page's own."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    """First part of every path: other processes on this machine cannot guess it."""
    jobs: "queue.Queue[tuple[Job, bytes, str]]" = field(default_factory=queue.Queue)
    answers: "queue.Queue[Answer]" = field(default_factory=queue.Queue)

    def find(self, path: str) -> Path | None:
        """Returns the file that a URL's path names, if it is one of the folders' own."""
        prefix, _, name = path.rpartition("/")
        if not name or name.startswith("."):
            return None
        for folder in self.folders.get(prefix, ()):
            if (folder / name).is_file():
                return folder / name
        return None


class _Handler(BaseHTTPRequestHandler):
    """Serves the page's files and jobs, and takes its results."""

    exchange: _Exchange
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answers with a file, or with the next job."""
        path = self._path()
        if path == "job":
            self._give_job()
            return
        file = None if path is None else self.exchange.find(path)
        if file is None:
            self._answer(404, b"")
            return
        kind = "text/javascript" if file.suffix in {".js", ".mjs"} else mimetypes.guess_type(file.name)[0]
        self._answer(200, file.read_bytes(), {"Content-Type": kind or "application/octet-stream"})

    def do_POST(self) -> None:
        """Takes a result or a failure."""
        path = self._path()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path not in {"result", "failure"}:
            self._answer(404, b"")
            return
        took = self.headers.get("X-Milliseconds")
        failure = body.decode(errors="replace") if path == "failure" else None
        self.exchange.answers.put(Answer(body, float(took) if took else None, failure))
        self._answer(204, b"")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """Logs nothing: each request is the page's own."""

    def _path(self) -> str | None:
        token, _, path = self.path.removeprefix("/").partition("/")
        return path if secrets.compare_digest(token.encode(), self.exchange.token.encode()) else None

    def _give_job(self) -> None:
        try:
            job, body, settings = self.exchange.jobs.get(timeout=_IDLE_S)
        except queue.Empty:
            job, body, settings = Job.IDLE, b"", ""
        self._answer(200, body, {"X-Job": str(job), "X-Settings": quote(settings)})

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (_HEADERS | dict(headers or {})).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a browser that has gone in the middle of an answer: it was ended."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def find_browser() -> str | None:
    """Returns the path of an installed Chromium, or None."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


class Browser:
    """A page in a headless Chromium of its own, with an empty profile; ends with this object or this process.

    Args:
        page: The page's name in the folder "".
        folders: Where files lie, by the first part of their path in the URL.
    """

    def __init__(self, page: str, folders: Mapping[str, tuple[Path, ...]]) -> None:
        command = find_browser()
        if command is None:
            raise EngineMissingError("There is no Chromium here.", f"Known names: {', '.join(BROWSERS)}.")
        self._exchange = _Exchange(folders)
        handler = type("Handler", (_Handler,), {"exchange": self._exchange})
        server = _Server(("127.0.0.1", 0), handler)
        Thread(target=server.serve_forever, daemon=True).start()
        profile = tempfile.mkdtemp(prefix="edgecifar-browser-")
        self._log = Path(profile) / "stderr.log"
        url = f"http://127.0.0.1:{server.server_address[1]}/{self._exchange.token}/{page}"
        # Chromium has no sandbox for the superuser, and refuses to start with one.
        sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  found above
                [command, *_FLAGS, *sandbox, f"--user-data-dir={profile}", url],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self._end = weakref.finalize(self, _end, self._process, server, self._exchange, profile)

    def ask(self, job: Job, body: bytes, settings: Mapping[str, Any], timeout_s: float) -> Answer:
        """Returns the page's answer to one job.

        Args:
            job: What to do.
            body: The model's bytes, or a batch's.
            settings: For the page, as JSON.
            timeout_s: Longest time to wait.

        Raises:
            ModelError: The browser ended, or did not answer in time.
        """
        self._exchange.jobs.put((job, body, json.dumps(settings)))
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                return self._exchange.answers.get(timeout=0.5)
            except queue.Empty:
                if self._process.poll() is not None:
                    status = self._process.returncode
                    raise ModelError(
                        f"Chromium ended by itself with status {status}{self._console()}."
                    ) from None
        message = f"The page in Chromium gave no answer within {timeout_s:.0f} s{self._console()}."
        self.close()
        raise ModelError(message)

    def _console(self) -> str:
        """Returns the page's last message in Chromium's log, or the log's last line, in brackets."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line.partition(":CONSOLE")[2] for line in lines if ":CONSOLE" in line] or lines[-1:]
        return f" ({told[-1].partition(']')[2].strip() or told[-1]})" if told else ""

    def close(self) -> None:
        """Ends the browser and the server."""
        self._end()


def _end(
    process: "subprocess.Popen[bytes]", server: ThreadingHTTPServer, exchange: _Exchange, profile: str
) -> None:
    exchange.jobs.put((Job.END, b"", ""))
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    server.shutdown()
    server.server_close()
    shutil.rmtree(profile, ignore_errors=True)
