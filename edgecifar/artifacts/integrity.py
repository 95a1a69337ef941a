"""Integrity: whether a bundle, as a folder or an archive of one, is what its manifest says, to the byte."""

import hashlib
import json
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgecifar.artifacts.bundle import Manifest, inside
from edgecifar.artifacts.files import DAMAGED_ARCHIVE
from edgecifar.errors import ModelError

MANIFEST = "manifest.json"
REPORT = "report/"
"""`verify` writes its report into the bundle after the manifest was written: nothing vouches for it."""
LARGEST_MANIFEST = 16 << 20
LARGEST_BUNDLE = 8 << 30
"""Bytes; a small archive can unpack to any size."""
_CHUNK = 1 << 20
_NAMED = 5
"""Problems that an error names; the others are counted."""


@dataclass(frozen=True, slots=True)
class CheckedBundle:
    """A bundle of which every byte is as its manifest says."""

    manifest: Manifest
    size_bytes: int
    """Of the files that the manifest names."""
    uncovered: tuple[str, ...]
    """Files of the report, for which the manifest does not vouch."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A file that is there."""

    size_bytes: int
    sha256: str
    content: bytes
    """Of a manifest; empty for all others."""


def check_bundle(path: Path) -> CheckedBundle:
    """Returns what a bundle holds, if each of its files is as its manifest says. Unpacks nothing.

    Args:
        path: Folder of a bundle, or a .zip, .tar or .tar.gz that holds one, by itself or in one folder.

    Raises:
        ModelError: It is no bundle, a file was altered, is missing or not in the manifest, a path leads
            out of the bundle, there is a link, the schema is newer than this version reads, or the manifest
            does not name it or has a key twice.
    """
    found = _without_top(dict(_look(path)))
    if MANIFEST not in found:
        raise ModelError(f"{path}: not a bundle (no {MANIFEST}).")
    manifest = Manifest.parse(found[MANIFEST].content, f"{path}: {MANIFEST}")
    _refuse_ambiguity(found[MANIFEST].content, path)
    uncovered = tuple(sorted(name for name in found if name.startswith(REPORT)))
    problems = list(_problems(manifest, found, {MANIFEST, *uncovered}))
    if problems:
        more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        raise ModelError(
            f"{path}: not what its manifest says: {'; '.join(problems[:_NAMED])}{more}.",
            "Do not use it: export it again, or get it again from where it came.",
        )
    return CheckedBundle(manifest, sum(entry.size_bytes for entry in manifest.entries), uncovered)


def _refuse_ambiguity(content: bytes, path: Path) -> None:
    """Refuses a manifest that another reader could read otherwise: of a key that is there twice, the first.

    Args:
        content: Of a manifest that is valid for the reader that takes the last.
        path: Of the bundle.
    """

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        table = dict(pairs)
        if len(table) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ModelError(f"{path}: {MANIFEST} has the key {twice!r} twice in one object.")
        return table

    if "schema_version" not in json.loads(content, object_pairs_hook=unique):
        raise ModelError(f"{path}: {MANIFEST} does not say which schema it has (schema_version).")


def _problems(manifest: Manifest, found: dict[str, _Found], known: set[str]) -> Iterator[str]:
    listed = {entry.file: entry for entry in manifest.entries}
    for name, entry in listed.items():
        if name not in found:
            yield f"{name} is missing"
        elif (found[name].size_bytes, found[name].sha256) != (entry.size_bytes, entry.sha256):
            yield f"{name} was altered"
    for name in sorted(found.keys() - listed.keys() - known):
        yield f"{name} is not in the manifest"


def _without_top(found: dict[str, _Found]) -> dict[str, _Found]:
    """Returns the names below the one folder that holds everything, where there is such a folder."""
    tops = {name.partition("/")[0] for name in found}
    top = f"{tops.pop()}/" if len(tops) == 1 else ""
    if not top or f"{top}{MANIFEST}" not in found:
        return found
    return {name.removeprefix(top): file for name, file in found.items()}


def _look(path: Path) -> Iterator[tuple[str, _Found]]:
    """Yields every file, read once, with nothing written anywhere."""
    total = 0
    seen: set[str] = set()
    try:
        for name, file in _files(path):
            if name in seen:
                raise ModelError(f"{path}: {name} is there twice.")
            seen.add(name)
            read = _read(file, is_manifest=name.rpartition("/")[2] == MANIFEST, where=f"{path}: {name}")
            total += read.size_bytes
            if total > LARGEST_BUNDLE:
                raise ModelError(f"{path}: unpacks to more than {LARGEST_BUNDLE:,} bytes: no bundle does.")
            yield name, read
    except (*DAMAGED_ARCHIVE, OSError) as error:
        # gzip, bzip2 and a seek to where a damaged zip points raise OSError too, but name no file.
        if isinstance(error, OSError) and (error.filename is not None or path.is_dir()):
            raise
        raise ModelError(f"{path}: the archive is damaged ({error}).", "Get it again.") from error


def _files(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yields every file's name and content, not yet read."""
    if path.is_dir():
        return _in_folder(path)
    if not path.is_file():
        raise ModelError(f"{path}: there is no such file or folder.")
    if zipfile.is_zipfile(path):
        return _in_zip(path)
    if tarfile.is_tarfile(path):
        return _in_tar(path)
    raise ModelError(f"{path}: neither a folder nor a .zip or .tar.gz archive.")


def _read(file: IO[bytes], *, is_manifest: bool, where: str) -> _Found:
    digest = hashlib.sha256()
    size = 0
    kept = b""
    with file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            digest.update(chunk)
            if is_manifest:
                kept += chunk
                if size > LARGEST_MANIFEST:
                    raise ModelError(f"{where} is larger than {LARGEST_MANIFEST:,} bytes: no manifest is.")
            elif size > LARGEST_BUNDLE:
                raise ModelError(f"{where} is larger than {LARGEST_BUNDLE:,} bytes: nothing in a bundle is.")
    return _Found(size, digest.hexdigest(), kept)


def _plain(name: str, path: Path) -> str:
    try:
        return inside(name)
    except ValueError as error:
        raise ModelError(f"{path}: {error}.") from error


def _no_plain_file(name: str, path: Path) -> ModelError:
    return ModelError(f"{path}: {name} is a link or device; a bundle holds plain files alone.")


def _in_folder(folder: Path) -> Iterator[tuple[str, IO[bytes]]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            raise _no_plain_file(name, folder)
        yield _plain(name, folder), path.open("rb")


def _in_zip(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            # `filename` ends at a NUL byte and has / for the system's separator: the name as stored counts.
            name = _plain(member.orig_filename.removesuffix("/"), path)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise _no_plain_file(name, path)
            if member.flag_bits & 1:
                raise ModelError(f"{path}: {name} is encrypted.", "Unpack it first.")
            if not member.is_dir():
                yield name, archive.open(member)


def _in_tar(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(path) as archive:
        for member in archive:
            # What `tar -c .` writes.
            name = member.name.removeprefix("./")
            if member.isdir():
                if name != ".":
                    _plain(name, path)
                continue
            name = _plain(name, path)
            file = archive.extractfile(member) if member.isreg() else None
            if file is None:
                raise _no_plain_file(name, path)
            yield name, file
