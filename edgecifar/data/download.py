"""Downloading one file: streamed, with progress, whole or not there."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from edgecifar.artifacts.files import replacing
from edgecifar.errors import DataError
from edgecifar.progress import Progress

CHUNK_BYTES = 1 << 18
TIMEOUT_S = 30.0
"""For connecting, and for each wait on the server."""


def download(url: str, path: Path, progress: Progress, mend: str, check: Callable[[Path], None]) -> None:
    """Writes what `url` serves to `path`, or leaves nothing there.

    Args:
        url: http or https.
        path: Of the file to be; its folder is made.
        progress: Gets one task in bytes.
        mend: What a person may do if it fails.
        check: Called with the path of the finished but not yet renamed file; raises DataError to reject it.

    Raises:
        DataError: The server cannot be reached, refuses, or ends too early; or the file cannot be written.
    """
    try:
        with replacing(path) as partial:
            with partial.open("wb") as file:
                for chunk in _stream(url, path.name, progress, mend):
                    file.write(chunk)
            check(partial)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error}).", mend) from error


def _stream(url: str, name: str, progress: Progress, mend: str) -> Iterator[bytes]:
    received = 0
    try:
        # The address is the official one or the caller's own choice, never read from data.
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:  # noqa: S310
            # Unknown (0) where the server sends chunks, whose end the protocol itself marks.
            length: int = response.length or 0
            with progress.task(f"Downloading {name}", length, "bytes") as task:
                while chunk := response.read(CHUNK_BYTES):
                    received += len(chunk)
                    task.advance(len(chunk))
                    yield chunk
    except urllib.error.HTTPError as error:
        error.close()  # It is also the response.
        raise DataError(f"{url} answers {error.code} {error.reason}.", mend) from error
    except urllib.error.URLError as error:
        raise DataError(f"{url} cannot be reached ({error.reason}).", mend) from error
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{url}: the connection broke after {received:,} bytes ({error}).", mend) from error
    if received < length:
        raise DataError(f"{url}: the connection ended after {received:,} of {length:,} bytes.", mend)
