"""train, compress, export, recipes and summary."""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecifar.choices import Device, Numerics, Optimize, Source, Target
from edgecifar.cli.terminal import load_pipeline_with_tensorflow, repeatable, terminal, with_data_dir
from edgecifar.exporting.options import DEFAULT_OPSET, Activations, Format, Io, Precision, WeightRange

if TYPE_CHECKING:
    # Only types: help shall not wait for NumPy.
    from edgecifar.artifacts import Run
    from edgecifar.exporting.lone import LoneFile
    from edgecifar.pipeline import CExport

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


class FormatChoice(StrEnum):
    """What `--format` takes."""

    TFLITE = "tflite"
    ONNX = "onnx"
    C = "c"
    ALL = "all"


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    for command in (train, compress, export, recipes, summary):
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
    with _resumable(folder, with_data_dir(f"edgecifar train --resume --out {_quoted(folder)}", data_dir)):
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
        Path | None, typer.Argument(help="Folder of a run.  [default: the newest in runs/]")
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
    """
    from edgecifar.artifacts import Run

    pipeline = load_pipeline_with_tensorflow()
    opened = Run.open(run) if run else _say_which(pipeline.newest_run())
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
    again = f"edgecifar compress {_quoted(opened.folder)} --resume --out {_quoted(folder)}"
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


def export(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN|BUNDLE|MODEL]",
            help="A run; or a bundle or int8 file, to make one file of.  [default: the newest in runs/]",
        ),
    ] = None,
    format_: Annotated[
        FormatChoice | None,
        typer.Option("--format", "-f", help="File format.  [default: all of a run, onnx of a file]"),
    ] = None,
    float32: Annotated[bool, typer.Option("--float32", help="As trained.")] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="Weights in float16: half the size.")] = False,
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="8-bit weights, activations as they come.")
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="8-bit weights and activations, integers throughout.")
    ] = False,
    io: Annotated[
        Io | None,
        typer.Option(
            help="At the boundaries: preprocessed floats, the model's integers, or raw pixels.  "
            "[default: float32 of a run, as it is of a file]"
        ),
    ] = None,
    activations: Annotated[
        Activations, typer.Option(help="Of int8 ONNX files; ONNX Runtime on x86 is fast with uint8 only.")
    ] = Activations.UINT8,
    saturation_safe: Annotated[
        bool,
        typer.Option(
            "--saturation-safe/--no-saturation-safe",
            help="Int8 weights with which no x86 CPU gives other results than the rest.",
        ),
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the bundle, or the file.  [default: RECIPE-MODEL or NAME.int8.onnx in exported/]"
        ),
    ] = None,
    numerics: Annotated[
        Numerics | None, typer.Option(help="The engine whose bits C gives.  [default: xnnpack]")
    ] = None,
    optimize: Annotated[
        Optimize | None, typer.Option(help="What C spares most: time, flash or memory.  [default: speed]")
    ] = None,
    target: Annotated[
        list[Target] | None,
        typer.Option(
            help="With all that an app for this platform embeds: model, code, self-check. May be repeated."
        ),
    ] = None,
    opset: Annotated[int | None, typer.Option(help=f"ONNX operator set.  [default: {DEFAULT_OPSET}]")] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Fixed batch of ONNX files.  [default: any]")
    ] = None,
    data_dir: DataDirOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a run as a bundle of model files that apps embed; or an int8 file as a better one.

    Without a precision, float32 and int8 are written of a run; precisions may be combined. Of an int8 TFLite
    file or a QDQ ONNX file, whoever made it, one int8 file comes out that ONNX Runtime computes in integers
    throughout, and alike on every CPU.

    \b
    Examples:
      edgecifar export --format onnx --int8
      edgecifar export runs/mine --float32 --fp16 --dynamic --int8 --io uint8 --out exported/mine
      edgecifar export --io uint8 --target android --target web
      edgecifar export theirs.tflite --format onnx --int8 --out theirs.onnx
      edgecifar export exported/mine --format c --out firmware/model
    """
    from edgecifar.artifacts import Run
    from edgecifar.cli.tables import artifacts_table

    pipeline = load_pipeline_with_tensorflow()
    weights = WeightRange.SAFE if saturation_safe else WeightRange.FULL
    flags = {
        Precision.FLOAT32: float32,
        Precision.FLOAT16: fp16,
        Precision.DYNAMIC: dynamic,
        Precision.INT8: int8,
    }
    precisions = [precision for precision, wanted in flags.items() if wanted]
    if format_ is FormatChoice.C:
        _refuse_for_c(precisions, io, target, opset, batch)
        source = run if run and pipeline.is_file_source(run) else None
        made_c = pipeline.export_c(
            source or (Run.open(run) if run else _say_which(pipeline.newest_run())),
            numerics=numerics or Numerics.XNNPACK,
            optimize=optimize or Optimize.SPEED,
            out=out,
            data_dir=data_dir,
            force=force,
            progress=terminal(),
        )
        _tell_c(made_c, as_json)
        return
    if numerics or optimize:
        raise typer.BadParameter(f"{'--numerics' if numerics else '--optimize'} belongs to --format c.")
    if run and pipeline.is_file_source(run):
        _check_of_file(format_, precisions, target or [])
        made = pipeline.export_file(
            run,
            kind=Format(format_ or Format.ONNX),
            io=io,
            out=out,
            opset=opset,
            batch=batch,
            activations=activations,
            weights=weights,
            force=force,
        )
        _tell_file(made, as_json)
        return
    opened = Run.open(run) if run else _say_which(pipeline.newest_run())
    bundle = pipeline.export(
        opened,
        formats=list(Format) if format_ in {None, FormatChoice.ALL} else [Format(format_)],
        precisions=precisions or [Precision.FLOAT32, Precision.INT8],
        io=io or Io.FLOAT32,
        out=out,
        opset=opset or DEFAULT_OPSET,
        batch=batch,
        activations=activations,
        weights=weights,
        targets=target or (),
        data_dir=data_dir,
        force=force,
        progress=terminal(),
    )
    if as_json:
        terminal().data(bundle.manifest.model_dump_json(indent=2))
        return
    terminal().result(artifacts_table(bundle))
    if bundle.manifest.targets:
        folders = ", ".join(str(bundle.folder / target.folder) for target in bundle.manifest.targets)
        terminal().say(f"For apps, each with a README.md: {folders}.")
    terminal().next_step(with_data_dir(f"edgecifar verify {_quoted(bundle.folder)}", data_dir))


def _refuse_for_c(
    precisions: list[Precision],
    io: Io | None,
    target: list[Target] | None,
    opset: int | None,
    batch: int | None,
) -> None:
    """Refuses options that C does not have."""
    if set(precisions) - {Precision.INT8}:
        raise typer.BadParameter("C is made of int8 models: no other precision goes with --format c.")
    for name, value in {"--io": io, "--target": target, "--opset": opset, "--batch": batch}.items():
        if value:
            raise typer.BadParameter(f"{name} does not go with --format c.")


def _tell_c(made: "CExport", as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        terminal().data(json.dumps(asdict(made) | {"folder": str(made.folder)}, indent=2))
        return
    purpose = f"the bits of {made.numerics}, for {made.optimize}"
    terminal().result(f"{made.folder}: {', '.join(made.files)}; {purpose}")
    terminal().say(
        f"Arena {made.arena_bytes:,} bytes ({made.bound_bytes:,} are in use at once, "
        f"{made.unstreamed_bytes:,} layer by layer); constants {made.constant_bytes:,} bytes; "
        f"{made.multiply_adds:,} multiply-adds."
    )
    if made.sparse_layers:
        terminal().say(
            f"Weights of {made.sparse_layers} layers without their zeros spare {made.spared_bytes:,} bytes."
        )
    terminal().next_step(f"edgecifar verify {_quoted(made.folder / 'model.c')} --against REFERENCE")


def _check_of_file(format_: FormatChoice | None, precisions: list[Precision], targets: list[Target]) -> None:
    """Refuses what cannot be made of an int8 file."""
    if targets:
        raise typer.BadParameter("Of a bundle or a model file, one file is made: --target needs the run.")
    if set(precisions) - {Precision.INT8}:
        raise typer.BadParameter("Of a bundle or a model file, int8 is made: other precisions need the run.")
    if format_ is FormatChoice.ALL:
        raise typer.BadParameter("Of a bundle or a model file, one file is made: --format onnx or tflite.")


def _tell_file(made: "LoneFile", as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        terminal().data(json.dumps(asdict(made) | {"path": str(made.path)}, indent=2))
        return
    terminal().result(f"{made.path}: {made.size_bytes:,} bytes, {made.io} input and output")
    if made.inspection:
        for sentence in (*made.inspection.sentences, *made.inspection.advice):
            terminal().say(sentence)
    terminal().next_step(f"edgecifar verify {_quoted(made.path)} --against REFERENCE --mean MEAN --std STD")


def recipes(as_json: JsonOption = False) -> None:
    """List the recipes that come with edgecifar."""
    from edgecifar.cli.tables import recipes_table
    from edgecifar.recipe import load_recipe, recipe_folder, shipped_recipes

    shipped = [load_recipe(path) for path in shipped_recipes()]
    if as_json:
        terminal().data(json.dumps([recipe.model_dump(mode="json") for recipe in shipped], indent=2))
        return
    terminal().result(recipes_table(shipped))
    terminal().say(f"To make your own, copy one from {recipe_folder()}.")
    terminal().next_step("edgecifar train --recipe NAME")


def summary(
    recipe: RecipeOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a recipe's network: layers, shapes, parameters and multiply-adds.

    \b
    Examples:
      edgecifar summary --recipe seed
      edgecifar summary --set model.name=resnet8
    """
    from dataclasses import asdict

    from edgecifar.cli.tables import layers_table
    from edgecifar.recipe import load_recipe

    pipeline = load_pipeline_with_tensorflow()
    chosen = load_recipe(recipe or DEFAULT_RECIPE, set_ or [])
    costs = pipeline.summarize(chosen)
    if as_json:
        terminal().data(json.dumps([asdict(cost) for cost in costs], indent=2))
        return
    terminal().result(layers_table(chosen, costs))


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


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _say_which(run: "Run") -> "Run":
    terminal().say(f"The newest run: {run.folder}.")
    return run


def _tell_run(run: "Run", data_dir: Path | None, as_json: bool) -> None:
    from edgecifar.cli.tables import run_table

    if as_json:
        terminal().data(run.record.model_dump_json(indent=2))
        return
    terminal().result(run_table(run))
    terminal().next_step(with_data_dir(f"edgecifar export {_quoted(run.folder)}", data_dir))
