"""Where runs and bundles lie, and what the next one is called."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from edgecifar.artifacts import Bundle, Run
from edgecifar.errors import ModelError

RUNS = Path("runs")
"""Where runs go that are given no place, below the current folder."""
EXPORTED = Path("exported")
"""Where bundles go that are given no place, below the current folder."""
TRAINED = "trained"
"""Folder of the run before compression, inside the compressed run that `train` makes."""
STARTED = "started.json"
"""Written when a training starts: its recipe and command."""
COMPRESSING = "compressing.json"
"""Written when a compression of its own starts: the recipe with what is asked for, and the command."""


def next_run_folder(recipe_name: str, model_name: str) -> Path:
    """Returns `runs/RECIPE-MODEL-NNNN` with the first number that is higher than all there are."""
    stem = f"{recipe_name}-{model_name}"
    numbers = [
        int(match[1])
        for path in RUNS.glob(f"{stem}-*")
        if (match := re.fullmatch(re.escape(stem) + r"-(\d+)", path.name))
    ]
    return RUNS / f"{stem}-{max(numbers, default=0) + 1:04d}"


def compressed_folder(run: Run) -> Path:
    """Returns where the compression of a run goes that is given no place."""
    return RUNS / f"{run.record.name}-compressed"


def newest_run() -> Run:
    """Returns the run in `runs/` that was finished last.

    Raises:
        ModelError: There is none.
    """
    records = sorted(RUNS.glob("*/run.json"), key=lambda path: path.stat().st_mtime)
    # Bundles keep the record of their run.
    records = [path for path in records if is_run(path.parent)]
    if not records:
        raise ModelError("There is no finished run in runs/.", "Make one with: edgecifar train")
    return Run.open(records[-1].parent)


def unfinished_run() -> Path:
    """Returns the folder in `runs/` whose training was started last and has not finished.

    Raises:
        ModelError: There is none.
    """
    started = sorted(RUNS.glob(f"*/{STARTED}"), key=lambda path: path.stat().st_mtime)
    open_ones = [path.parent for path in started if is_unfinished(path.parent)]
    if not open_ones:
        raise ModelError("There is no unfinished training in runs/.", "Name its folder with --out RUN.")
    return open_ones[-1]


def newest_bundle() -> Bundle:
    """Returns the bundle in `exported/` that was exported last.

    Raises:
        ModelError: There is none.
    """
    manifests = sorted(EXPORTED.glob("*/manifest.json"), key=lambda path: path.stat().st_mtime)
    manifests = [path for path in manifests if is_bundle(path.parent)]
    if not manifests:
        raise ModelError("There is no bundle in exported/.", "Make one with: edgecifar export")
    return Bundle.open(manifests[-1].parent)


def is_run(folder: Path) -> bool:
    """Returns whether a run or a compression was finished or begun in `folder`."""
    finished = (folder / "run.json").is_file() and (folder / "model.keras").is_file()
    return finished or is_unfinished(folder)


def is_unfinished(folder: Path) -> bool:
    """Returns whether a training or compression was begun in `folder` and has not finished."""
    begun = any((folder / name).is_file() for name in (STARTED, COMPRESSING))
    return begun and not (folder / "run.json").is_file()


def is_bundle(folder: Path) -> bool:
    """Returns whether `folder` holds a bundle; other tools write a `manifest.json` too."""
    return all((folder / name).is_file() for name in ("manifest.json", "preprocessing.json", "labels.txt"))


def check_room(folder: Path, ours: Callable[[Path], bool], *, force: bool) -> None:
    """Makes sure that something may be written in `folder`; removes nothing.

    Args:
        folder: Where something is to be written: nothing, an empty folder, or an older run or bundle.
        ours: Whether an existing folder is an older one of the same kind; others are never replaced.
        force: Whether an older one may be replaced.

    Raises:
        ModelError: The folder is in use, or is a file.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not ours(folder):
        raise ModelError(
            f"{folder} exists and holds something else: it is left alone.", "Choose another --out."
        )
    if not force:
        go_on = "Go on with it with --resume; or " if is_unfinished(folder) else ""
        mend = f"{go_on}choose another --out, or replace it with --force."
        raise ModelError(f"{folder} exists.", mend[0].upper() + mend[1:])
    if holds_current_folder(folder):
        raise ModelError(f"{folder} holds the current folder: it is not replaced.", "Choose another --out.")


def check_place(folder: Path, ours: Callable[[Path], bool], *, force: bool) -> None:
    """As `check_room`, for a folder that is made elsewhere and then put in this place.

    Raises:
        ModelError: The folder is in use, is a file, or holds the current folder, whose place cannot be taken.
    """
    if holds_current_folder(folder):
        raise ModelError(f"{folder} holds the current folder: it is left alone.", "Choose another --out.")
    check_room(folder, ours, force=force)


def name_of(folder: Path) -> str:
    """Returns what a run in `folder` is called: the folder's name, also of "." and ".."."""
    return folder.resolve().name if folder.name in {"", ".."} else folder.name


def holds_current_folder(folder: Path) -> bool:
    """Returns whether `folder` is the current folder or one above it."""
    return Path.cwd().is_relative_to(folder.resolve())


def clear(folder: Path) -> None:
    """Removes an older run, after `check_room` and once nothing else can go wrong before a new one begins."""
    if folder.exists() and is_run(folder):
        shutil.rmtree(folder)
