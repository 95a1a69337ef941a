"""The pages of the browser engines: their sources here, and what npm builds of them in the cache folder."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from edgecifar.errors import EngineMissingError

SOURCES = Path(__file__).parent
BUILD_COMMAND = "python -m edgecifar.runtimes.web"
_SOURCE_NAMES = (
    "package.json", "package-lock.json", "serve.js", "ort.js", "litert.js", "ort.html", "litert.html",
)  # fmt: skip
_BUILT = "dist/litert.js"
"""The last file that the build writes."""


def built_folder() -> Path:
    """Returns where the built pages lie, or will: a folder in the user's cache for just these sources.

    They are not in the wheel: the engines' WebAssembly takes 50 MB, and only those who verify in browsers
    need it.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256()
    for name in _SOURCE_NAMES:
        digest.update((SOURCES / name).read_bytes())
    return cache / "edgecifar" / "web" / digest.hexdigest()[:16]


def is_built() -> bool:
    """Returns whether `build` has been done for these sources."""
    return (built_folder() / _BUILT).is_file()


def build() -> Path:
    """Downloads the engines that package-lock.json names and bundles the pages; returns their folder.

    Raises:
        EngineMissingError: npm is not installed, or fails.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise EngineMissingError("npm is not installed.", "Install Node.js 20 or newer (Debian: nodejs npm).")
    folder = built_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for name in _SOURCE_NAMES:
        shutil.copyfile(SOURCES / name, folder / name)
    # The engines need none of their packages' install scripts.
    for arguments in (("ci", "--ignore-scripts", "--no-fund", "--no-audit"), ("run", "build")):
        done = subprocess.run([npm, *arguments], cwd=folder, check=False)  # noqa: S603  npm, found above
        if done.returncode:
            raise EngineMissingError(f"npm {arguments[0]} failed in {folder} (status {done.returncode}).")
    return folder
