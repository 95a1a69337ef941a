"""Kept members: a file of an archive, unpacked once, because unpacking up to it takes longer than its use.

CIFAR-10's test images are the last file of their archive: 184 MB are unpacked to get at 31 MB.
"""

import contextlib
import hashlib
from pathlib import Path

from edgecifar.artifacts.files import write_bytes
from edgecifar.host import cache_folder


def find_kept(archive: Path, member: str, sha1: str) -> bytes | None:
    """Returns a member that was kept of an archive; None where none was, or it is not what it has to be.

    Args:
        archive: As it lies there now: one that was changed since is another one.
        member: Its file name.
        sha1: Of its content, in hexadecimal.
    """
    try:
        content = _place(archive, member).read_bytes()
    except (OSError, RuntimeError):
        # Nothing was kept, or there is no home folder: the archive is read, and says what is wrong with it.
        return None
    return content if hashlib.sha1(content, usedforsecurity=False).hexdigest() == sha1 else None


def keep(archive: Path, member: str, content: bytes) -> None:
    """Keeps a member of an archive, in the place of what was kept of others under this name.

    Args:
        archive: Where it comes from.
        member: Its file name.
        content: Its bytes.
    """
    # Without room or a place to write to, the archive is read again next time: slower, and as right.
    with contextlib.suppress(OSError, RuntimeError):
        place = _place(archive, member)
        write_bytes(place, content)
        for other in place.parent.glob(f"*-{member}"):
            if other != place:
                other.unlink(missing_ok=True)


def _place(archive: Path, member: str) -> Path:
    status = archive.stat()
    identity = f"{archive.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    return cache_folder() / "archives" / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}-{member}"
