"""train and compress."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecifar.choices import Device, Source
from edgecifar.cli.terminal import (
    load_pipeline_with_tensorflow,
    quoted,
    repeatable,
    say_which,
    terminal,
    with_data_dir,
)

if TYPE_CHECKING:
    # Only types: help shall not wait for NumPy.
    from edgecifar.artifacts import Run

DEFAULT_RECIPE = "edge"

RecipeOption = Annotated[
    str | None,
    typer.Option("--recipe", "-r", help="A shipped recipe's name or a TOML file.  [default: edge]"),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change one choice: training.epochs=10. May be repeated."
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        help="Where the images lie: CIFAR-10's archive or folder, a folder source's root, or an .npz file."
    ),
]
DeviceOption = Annotated[Device, typer.Option(help="Where to train.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is already in --out.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
SeedOption = Annotated[int | None, typer.Option(help="Of everything random, instead of the recipe's.")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    for command in (train, compress):
        app.command()(command)


def train(
    recipe: RecipeOption = None,
    set_: SetOption = None,
    data_dir: DataDirOption = None,
    data: Annotated[
        Source | None, typer.Option(help="Where the images come from, instead of the recipe's.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.  [default: the next in runs/]")] = None,
    device: DeviceOption = Device.AUTO,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run: --out, or the newest in runs/.")
    ] = False,
    seed: SeedOption = None,
    no_compress: Annotated[
        bool, typer.Option("--no-compress", help="Leave the recipe's compression out.")
    ] = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a recipe, and compress the result where the recipe says so.

    \b
    Examples:
      edgecifar train --recipe demo                       on the images in the package, in a minute or two
      edgecifar train --data-dir DOWNLOADS                the default recipe, edge, on CIFAR-10
      edgecifar train -r seed --set training.epochs=10    the published recipe, shorter
      edgecifar train --resume                            go on after Ctrl-C or a power cut
    """
    from edgecifar.recipe import load_recipe

    _refuse_both(resume, force)
    pipeline = load_pipeline_with_tensorflow()
    changes = list(set_ or [])
    if data is not None:
        changes.append(f'data.source="{data}"')
    if seed is not None:
        changes.append(f"seed={seed}")
    chosen = None
    if not resume or recipe or changes:
        chosen = load_recipe(recipe or DEFAULT_RECIPE, changes)
        terminal().say(f"Recipe {chosen.name}: {chosen.description or chosen.model.name}.")
    if chosen and not resume:
        folder = out or pipeline.next_run_folder(chosen.name, chosen.model.name)
    else:
        folder = out or pipeline.unfinished_run()
        terminal().say(f"Going on with {folder}.")
    with _resumable(folder, with_data_dir(f"edgecifar train --resume --out {quoted(folder)}", data_dir)):
        run = pipeline.train(
            chosen,
            data_dir=data_dir,
            out=folder,
            device=device,
            resume=resume,
            compress=not no_compress,
            force=force,
            command=repeatable(),
            progress=terminal(),
        )
    _tell_run(run, data_dir, as_json)


def compress(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of a run, or of a bundle, whose model before any compression is taken."
            "  [default: the newest run in runs/]"
        ),
    ] = None,
    prune: Annotated[
        float | None, typer.Option(min=0, max=0.99, help="Share of weights to set to zero, 0 to 0.99.")
    ] = None,
    qat: Annotated[bool, typer.Option("--qat", help="Train quantization-aware.")] = False,
    distill: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of the loss that the run's own float model teaches, 0 to 1."),
    ] = None,
    saturation_safe: Annotated[
        bool | None,
        typer.Option(
            "--saturation-safe/--no-saturation-safe",
            help="Train quantization-aware with weights as the export makes them.  [default: the recipe's]",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Of each of the two, instead of the recipe's.")
    ] = None,
    data_dir: DataDirOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the new run.  [default: runs/RUN-compressed]")
    ] = None,
    device: DeviceOption = Device.AUTO,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted compression, with its choices.")
    ] = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Prune a run, train it quantization-aware, or both: what is pruned stays at zero.

    \b
    Examples:
      edgecifar compress --qat                       the newest run, for int8
      edgecifar compress runs/mine --prune 0.6 --qat --distill 0.9
      edgecifar compress exported/mine --qat --saturation-safe --out runs/mine
    """
    from edgecifar.artifacts import open_trained

    _refuse_both(resume, force)
    pipeline = load_pipeline_with_tensorflow()
    opened = open_trained(run) if run else say_which(pipeline.newest_run())
    spec = opened.record.recipe.compression
    pruning, quantization = spec.pruning, spec.quantization
    if prune is not None or qat:
        pruning = pruning.model_copy(update={"sparsity": prune or 0.0})
        quantization = quantization.model_copy(update={"qat": qat})
    of_both: dict[str, float | int | None] = {"epochs": epochs, "distillation": distill}
    given = {key: value for key, value in of_both.items() if value is not None}
    pruning = pruning.model_copy(update=given)
    if saturation_safe is not None:
        given["saturation_safe"] = saturation_safe
    quantization = quantization.model_copy(update=given)
    wanted = spec.model_copy(update={"pruning": pruning, "quantization": quantization})
    folder = out or pipeline.compressed_folder(opened)
    again = f"edgecifar compress {quoted(opened.folder)} --resume --out {quoted(folder)}"
    with _resumable(folder, with_data_dir(again, data_dir)):
        made = pipeline.compress(
            opened,
            None if resume and wanted == spec else wanted,
            data_dir=data_dir,
            out=folder,
            device=device,
            resume=resume,
            force=force,
            command=repeatable(),
            progress=terminal(),
        )
    _tell_run(made, data_dir, as_json)


def _refuse_both(resume: bool, force: bool) -> None:
    if resume and force:
        raise typer.BadParameter("--resume goes on with what --force would replace: one of them.")


@contextmanager
def _resumable(folder: Path, command: str) -> Iterator[None]:
    """Says how to go on, where Ctrl-C comes after a training in `folder` has begun."""
    from edgecifar.pipeline.places import is_unfinished

    try:
        yield
    except KeyboardInterrupt:
        if is_unfinished(folder):
            terminal().go_on = f"Finished epochs are kept; go on with: {command}"
        raise


def _tell_run(run: "Run", data_dir: Path | None, as_json: bool) -> None:
    from edgecifar.cli.tables import run_table

    if as_json:
        terminal().data(run.record.model_dump_json(indent=2))
        return
    terminal().result(run_table(run))
    terminal().next_step(with_data_dir(f"edgecifar export {quoted(run.folder)}", data_dir))
