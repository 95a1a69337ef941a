"""export: a run as a bundle, an int8 file as a better one, or integer-only C."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecifar.choices import Numerics, Optimize, Target
from edgecifar.cli.making import DataDirOption, ForceOption, JsonOption
from edgecifar.cli.terminal import (
    load_pipeline_with_tensorflow,
    quoted,
    say_which,
    terminal,
    with_data_dir,
)
from edgecifar.exporting.options import DEFAULT_OPSET, Activations, Format, Io, Precision, WeightRange

if TYPE_CHECKING:
    # Only types: help shall not wait for NumPy.
    from edgecifar.exporting.lone import LoneFile
    from edgecifar.pipeline import CExport


class FormatChoice(StrEnum):
    """What `--format` takes."""

    TFLITE = "tflite"
    ONNX = "onnx"
    C = "c"
    ALL = "all"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(export)


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
        _refuse_for_c(precisions, io, target, opset, batch, activations, weights)
        source = run if run and pipeline.is_file_source(run) else None
        made_c = pipeline.export_c(
            source or (Run.open(run) if run else say_which(pipeline.newest_run())),
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
    opened = Run.open(run) if run else say_which(pipeline.newest_run())
    bundle = pipeline.export(
        opened,
        formats=list(Format) if format_ in {None, FormatChoice.ALL} else [Format(format_)],
        precisions=precisions or [Precision.FLOAT32, Precision.INT8],
        io=io or Io.FLOAT32,
        out=out,
        opset=DEFAULT_OPSET if opset is None else opset,
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
    terminal().next_step(with_data_dir(f"edgecifar verify {quoted(bundle.folder)}", data_dir))


def _refuse_for_c(
    precisions: list[Precision],
    io: Io | None,
    target: list[Target] | None,
    opset: int | None,
    batch: int | None,
    activations: Activations,
    weights: WeightRange,
) -> None:
    """Refuses options that C does not have."""
    if set(precisions) - {Precision.INT8}:
        raise typer.BadParameter("C is made of int8 models: no other precision goes with --format c.")
    given = {
        "--io": io,
        "--target": target,
        "--opset": opset is not None,
        "--batch": batch,
        "--activations int8": activations is Activations.INT8,
        "--no-saturation-safe": weights is WeightRange.FULL,
    }
    for name, value in given.items():
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
    terminal().next_step(
        f"edgecifar verify {quoted(made.folder / 'model.c')} --against REFERENCE --mean MEAN --std STD"
    )


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
    terminal().next_step(f"edgecifar verify {quoted(made.path)} --against REFERENCE --mean MEAN --std STD")
