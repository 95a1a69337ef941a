"""predict, show and doctor."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edgecifar.choices import Picture, RuntimeName
from edgecifar.cli.making import DEFAULT_RECIPE, DataDirOption, JsonOption, RecipeOption, SetOption
from edgecifar.cli.preprocessing import (
    ChannelsOption,
    LayoutOption,
    MeanOption,
    ResizeOption,
    ScaleOption,
    StdOption,
    input_spec,
)
from edgecifar.cli.proving import DataOption
from edgecifar.cli.terminal import load_pipeline, load_pipeline_with_tensorflow, terminal


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    for command in (predict, show, doctor):
        app.command()(command)


def predict(
    model: Annotated[Path, typer.Argument(help="A run, a bundle or a model file.")],
    images: Annotated[list[Path] | None, typer.Argument(help="Image files of any size.")] = None,
    first: Annotated[int | None, typer.Option(min=1, help="The first so many test images instead.")] = None,
    runtime: Annotated[RuntimeName | None, typer.Option(help="An engine.  [default: the usual one]")] = None,
    data: DataOption = None,
    data_dir: DataDirOption = None,
    scale: ScaleOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    layout: LayoutOption = None,
    channels: ChannelsOption = None,
    resize: ResizeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Name the classes that a model sees in images.

    \b
    Examples:
      edgecifar predict exported/mine/model.int8.tflite photo.jpg
      edgecifar predict runs/mine --first 16
      edgecifar predict theirs.onnx photo.jpg --scale 1/255 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
    """
    from dataclasses import asdict

    from edgecifar.cli.tables import predictions_table

    preprocessing = input_spec(scale, mean, std, layout, channels, resize)
    predictions = load_pipeline_with_tensorflow().predict(
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
    path = load_pipeline_with_tensorflow().show(
        picture,
        out,
        model=model,
        recipe=chosen,
        source=data,
        data_dir=data_dir,
        progress=terminal(),
    )
    terminal().result(f"Drawn: {path}")


def doctor(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="[MODEL.onnx|BUNDLE]", help="Look at a quantized ONNX file instead."),
    ] = None,
    scale: ScaleOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    layout: LayoutOption = None,
    channels: ChannelsOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what this machine has: engines, GPUs, CPU, data; what is missing, and how to get it.

    Of an ONNX file, say which layers ONNX Runtime computes in integers, and whether it gives the same results
    on every x86 CPU.

    \b
    Examples:
      edgecifar doctor
      edgecifar doctor theirs.onnx
      edgecifar doctor theirs.onnx --scale 1/255      also counts what saturates on 16 images
    """
    from dataclasses import asdict

    from edgecifar.cli.tables import checks_table, inspection_table

    spec = input_spec(scale, mean, std, layout, channels, None)
    if model is None:
        if spec is not None:
            raise typer.BadParameter("The options on preprocessing belong to a model file.")
        checks = load_pipeline_with_tensorflow().examine(data_dir)
        if as_json:
            terminal().data(json.dumps([asdict(check) for check in checks], indent=2))
        else:
            terminal().result(checks_table(checks))
        return
    if data_dir is not None:
        raise typer.BadParameter("--data-dir belongs to what this machine has: leave the model out.")
    found = load_pipeline().inspect_models(model, spec)
    if as_json:
        texts = {
            str(path): asdict(one) | {"findings": one.sentences, "advice": one.advice}
            for path, one in found.items()
        }
        terminal().data(json.dumps(texts, indent=2))
        return
    for path, one in found.items():
        if one.is_quantized:
            terminal().result(inspection_table(path.name, one))
        for sentence in (*one.sentences, *one.advice):
            terminal().result(f"{path.name}: {sentence}" if len(found) > 1 else sentence)
