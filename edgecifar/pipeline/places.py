"""Where runs and bundles lie, and what the next one is called."""

import re
import shutil
from pathlib import Path

from edgecifar.artifacts import Bundle, Run
from edgecifar.errors import ModelError

RUNS = Path("runs")
"""Where runs go that are given no place, below the current folder."""
EXPORTED = Path("exported")
"""Where bundles go that are given no place, below the current folder."""
TRAINED = "trained"
"""Folder of the run before compression, inside the compressed run that `train` makes."""
RECIPE_FILE = "recipe.json"
"""Written when a training starts, so that it can be resumed without naming the recipe."""


def next_run_folder(recipe_name: str, model_name: str) -> Path:
    """Returns `runs/RECIPE-MODEL-NNNN` with the first number that is higher than all there are."""
    stem = f"{recipe_name}-{model_name}"
    numbers = [
        int(match[1])
        for path in RUNS.glob(f"{stem}-*")
        if (match := re.fullmatch(re.escape(stem) + r"-(\d+)", path.name))
    ]
    return RUNS / f"{stem}-{max(numbers, default=0) + 1:04d}"


def newest_run() -> Run:
    """Returns the run in `runs/` that was finished last.

    Raises:
        ModelError: There is none.
    """
    records = sorted(RUNS.glob("*/run.json"), key=lambda path: path.stat().st_mtime)
    if not records:
        raise ModelError("There is no finished run in runs/.", "Make one with: edgecifar train")
    return Run.open(records[-1].parent)


def unfinished_run() -> Path:
    """Returns the folder in `runs/` whose training was started last and has not finished.

    Raises:
        ModelError: There is none.
    """
    started = sorted(RUNS.glob(f"*/{RECIPE_FILE}"), key=lambda path: path.stat().st_mtime)
    open_ones = [path.parent for path in started if not (path.parent / "run.json").is_file()]
    if not open_ones:
        raise ModelError("There is no unfinished run in runs/.", "Name one with --out RUN.")
    return open_ones[-1]


def newest_bundle() -> Bundle:
    """Returns the bundle in `exported/` that was exported last.

    Raises:
        ModelError: There is none.
    """
    manifests = sorted(EXPORTED.glob("*/manifest.json"), key=lambda path: path.stat().st_mtime)
    if not manifests:
        raise ModelError("There is no bundle in exported/.", "Make one with: edgecifar export")
    return Bundle.open(manifests[-1].parent)


def make_room(folder: Path, *, marks: tuple[str, ...], force: bool) -> None:
    """Makes sure that `folder` can be written, removing an older run or bundle if `force` allows it.

    Args:
        folder: Where something is to be written.
        marks: Files of which an older one has at least one; a folder without is not ours to remove.
        force: Whether an older one may be removed.

    Raises:
        ModelError: The folder is in use, or is a file.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if not folder.exists():
        return
    ours = folder.is_dir() and any((folder / mark).exists() for mark in marks)
    if not ours:
        raise ModelError(
            f"{folder} exists and is none of edgecifar's: it is left alone.", "Choose another --out."
        )
    if not force:
        raise ModelError(f"{folder} exists.", "Choose another --out, or replace it with --force.")
    shutil.rmtree(folder)
