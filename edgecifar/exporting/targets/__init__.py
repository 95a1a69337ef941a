"""Targets: for each platform one folder with all that an app there embeds, and code that checks itself."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from edgecifar.artifacts.bundle import TargetEntry
from edgecifar.choices import Target
from edgecifar.errors import EngineMissingError, ExportError
from edgecifar.exporting.targets.material import Embedded, Material
from edgecifar.progress import SILENT, Progress

FOLDER = "embed"
"""Of the bundle, in which each target has a folder of its name."""
TARGETS = tuple(target for target in Target if target is not Target.ALL)


def write_targets(
    material: Material, targets: Sequence[Target], progress: Progress = SILENT
) -> tuple[TargetEntry, ...]:
    """Returns what was written below `embed/` of a bundle's folder.

    Args:
        material: The bundle, its artifacts written.
        targets: Those wanted; `Target.ALL` stands for all that its artifacts and this machine's tools allow.
        progress: Told which of all were left out, and why.

    Raises:
        ExportError: A target that was named embeds a format that the bundle lacks.
        EngineMissingError: A target that was named needs a tool that is not here.
    """
    named = [target for target in TARGETS if target in targets]
    written = [_write(material, target) for target in named]
    if Target.ALL in targets:
        for target in TARGETS:
            if target in named:
                continue
            try:
                written.append(_write(material, target))
            except (ExportError, EngineMissingError) as error:
                progress.say(f"Target {target} left out: {error}")
    return tuple(written)


def _write(material: Material, target: Target) -> TargetEntry:
    # A target's tools are imported when it is asked for.
    write: Callable[[Material, Path], list[Embedded]] = import_module(f"{__name__}.{target}").write
    folder = f"{FOLDER}/{target}"
    embedded = write(material, material.folder / folder)
    return TargetEntry(name=target, folder=folder, artifacts=tuple(model.entry.file for model in embedded))
