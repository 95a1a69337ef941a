"""verify, predict, show and doctor."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecifar.choices import Picture, RuntimeName, Source, Split
from edgecifar.cli.making import DEFAULT_RECIPE, DataDirOption, JsonOption, RecipeOption, SetOption
from edgecifar.cli.terminal import load_pipeline, repeatable, terminal

if TYPE_CHECKING:
    # Only types: help shall not wait for NumPy.
    from edgecifar.artifacts import Gate, Preprocessing

GATE_FAILED = 1

DataOption = Annotated[
    Source | None, typer.Option(help="Where the images come from.  [default: as the run's or recipe's]")
]
MeanOption = Annotated[
    float | None, typer.Option(help="For lone model files, which see (pixel - mean) / std.")
]
StdOption = Annotated[float | None, typer.Option(help="As --mean.")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    for command in (verify, predict, show, doctor):
        app.command()(command)


def verify(
    models: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[BUNDLE|MODEL]...", help="Bundles, runs or model files.  [default: the newest bundle]"
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="The reference: a run, bundle or model file.  [default: the bundle's own]"),
    ] = None,
    split: Annotated[Split, typer.Option(help="Which images.")] = Split.TEST,
    data: DataOption = None,
    data_dir: DataDirOption = None,
    max_drop: Annotated[
        str | None,
        typer.Option(help="Gate: the most top-1 accuracy that may be lost, as 0.5pp.", metavar="PP"),
    ] = None,
    runtime: Annotated[
        list[RuntimeName] | None, typer.Option(help="An engine; may be repeated.  [default: the usual ones]")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most images, balanced over the classes.")] = None,
    subset: Annotated[
        int, typer.Option(min=1, help="Most images for reference kernels, which are slow.")
    ] = 200,
    mean: MeanOption = None,
    std: StdOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the report.  [default: BUNDLE/report, or report]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run each model in each engine that reads it, and say what it lost against the reference.

    Exits with 1 if a gate is broken.

    \b
    Examples:
      edgecifar verify                                     the newest bundle, against its own float model
      edgecifar verify exported/mine --max-drop 0.5pp
      edgecifar verify exported/mine/model.int8.onnx --against runs/mine --runtime ort-cpu
    """
    gate, preprocessing = _gate(max_drop), _preprocessing(mean, std)
    pipeline = load_pipeline()
    from edgecifar.reporting import ReportView, verdict_sentence, write_report

    if not models:
        newest = pipeline.newest_bundle()
        terminal().say(f"The newest bundle: {newest.folder}.")
        models = [newest.folder]
    report = pipeline.verify(
        models,
        against=against,
        split=split,
        gate=gate,
        runtimes=runtime or (),
        source=data,
        data_dir=data_dir,
        limit=limit,
        subset=subset,
        preprocessing=preprocessing,
        command=repeatable(),
        progress=terminal(),
    )
    folder = out or (models[0] / "report" if (models[0] / "manifest.json").is_file() else Path("report"))
    # Shown first: where the files cannot be written, the minutes were not in vain.
    if as_json:
        terminal().data(report.model_dump_json(indent=2))
    else:
        terminal().result(ReportView(report))
    written = write_report(report, folder)
    if not as_json:
        terminal().result(f"Report: {written[1]}")
    if not report.passed:
        terminal().error(verdict_sentence(report))
        raise typer.Exit(GATE_FAILED)


def _gate(max_drop: str | None) -> "Gate":
    from edgecifar.artifacts import Gate

    if max_drop is None:
        return Gate()
    text = max_drop.removesuffix("pp").strip()
    try:
        points = float(text)
    except ValueError:
        points = -1.0
    if not 0 <= points <= 100:
        raise typer.BadParameter(f"{max_drop} is not a number of percentage points, 0 to 100, as in 0.5pp.")
    return Gate(max_drop_pp=points)


def _preprocessing(mean: float | None, std: float | None) -> "Preprocessing | None":
    from edgecifar.artifacts import Preprocessing

    if (mean is None) != (std is None):
        raise typer.BadParameter("--mean and --std go together.")
    if mean is None or std is None:
        return None
    if not (0 <= mean <= 255 and 0 < std <= 255):
        raise typer.BadParameter("--mean lies in 0 to 255, and --std above 0 up to 255: both are in pixels.")
    return Preprocessing(mean=mean, std=std, height=32, width=32)


def predict(
    model: Annotated[Path, typer.Argument(help="A run, a bundle or a model file.")],
    images: Annotated[list[Path] | None, typer.Argument(help="Image files of any size.")] = None,
    first: Annotated[int | None, typer.Option(min=1, help="The first so many test images instead.")] = None,
    runtime: Annotated[RuntimeName | None, typer.Option(help="An engine.  [default: the usual one]")] = None,
    data: DataOption = None,
    data_dir: DataDirOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Name the classes that a model sees in images.

    \b
    Examples:
      edgecifar predict exported/mine/model.int8.tflite photo.jpg
      edgecifar predict runs/mine --first 16
    """
    from dataclasses import asdict

    from edgecifar.cli.tables import predictions_table

    preprocessing = _preprocessing(mean, std)
    predictions = load_pipeline().predict(
        model,
        images or (),
        first=first,
        runtime=runtime,
        source=data,
        data_dir=data_dir,
        preprocessing=preprocessing,
        progress=terminal(),
    )
    if as_json:
        terminal().data(json.dumps([asdict(prediction) for prediction in predictions], indent=2))
    else:
        terminal().result(predictions_table(predictions))


def show(
    picture: Annotated[Picture, typer.Argument(help="What to draw.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The PNG file.")],
    model: Annotated[Path | None, typer.Option(help="For predictions and mistakes.")] = None,
    recipe: RecipeOption = None,
    set_: SetOption = None,
    data: DataOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Draw images: the data, an augmented one, a model's predictions or its mistakes.

    \b
    Examples:
      edgecifar show data --data sample -o data.png
      edgecifar show augmented --recipe seed --data sample -o augmented.png
      edgecifar show mistakes --model exported/mine -o mistakes.png
    """
    from edgecifar.recipe import load_recipe

    of_a_model = picture in {Picture.PREDICTIONS, Picture.MISTAKES}
    if of_a_model and (recipe or set_):
        raise typer.BadParameter(f"{picture} have their recipe from the model: no --recipe and no --set.")
    if model and not of_a_model:
        raise typer.BadParameter(f"A picture of {picture} needs no --model.")
    chosen = load_recipe(recipe or DEFAULT_RECIPE, set_ or [])
    path = load_pipeline().show(
        picture,
        out,
        model=model,
        recipe=chosen,
        source=data,
        data_dir=data_dir,
        progress=terminal(),
    )
    terminal().result(f"Drawn: {path}")


def doctor(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Say what this machine has: engines, GPUs, CPU, data; what is missing, and how to get it."""
    from dataclasses import asdict

    from edgecifar.cli.tables import checks_table

    checks = load_pipeline().examine(data_dir)
    if as_json:
        terminal().data(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        terminal().result(checks_table(checks))
