"""Files that are whole or not there: written beside their place, then renamed into it."""

import glob
import hashlib
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

DAMAGED_ARCHIVE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, UnicodeDecodeError,
    RuntimeError,
)  # fmt: skip
"""What the readers of zip and tar raise on damage; RuntimeError where a file claims to be encrypted, or to be
packed in a way that they do not know."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it to `path` if the block succeeds, else removes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name keeps the suffix: writers such as Keras choose the format by it.
    temporary = path.with_name(f".{os.getpid()}.partial.{path.name}")
    try:
        with _naming(path, temporary):
            yield temporary
            flush(temporary)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Waits until the disk has a file, or each one below a folder.

    What is renamed before that may be there, and empty, after a power cut.
    """
    for file in (path, *path.rglob("*")):
        if file.is_file():
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole, or leaves what was there."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Writes a UTF-8 file whole, or leaves what was there."""
    write_bytes(path, content.encode())


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path`; puts it in the place of `path` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    except OSError as error:
        error.filename = str(path)
        raise
    try:
        temporary.chmod(0o755)
        with _naming(path, temporary):
            yield temporary
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            if path.exists():
                path.rename(old)
            temporary.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        put_back(path)


@contextmanager
def _naming(path: Path, temporary: Path) -> Iterator[None]:
    """Lets errors of the block name `path`: a full disk names no file, and the temporary one says nothing."""
    try:
        yield
    except OSError as error:
        # Copying names the source first.
        named = error.filename if error.filename2 is None else error.filename2
        if named is None:
            error.filename = str(path)
        elif isinstance(named, str) and Path(named).is_relative_to(temporary):
            error.filename = str(path / Path(named).relative_to(temporary))
        raise


def put_back(path: Path) -> None:
    """Puts back what `replacing_folder` had set aside, where its process ended between the two renames."""
    if not path.exists():
        set_aside = path.parent.glob(f".{glob.escape(path.name)}.*.old")
        newest = max(set_aside, key=lambda folder: folder.stat().st_mtime_ns, default=None)
        if newest:
            newest.rename(path)


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_all(paths: Iterable[Path], root: Path) -> str:
    """Returns the SHA-256 over the files' contents and their places below `root`, in hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(root).as_posix()}\0{sha256(path)}\n".encode())
    return digest.hexdigest()
