"""diagnose, and the options of verify that look into layers."""

from pathlib import Path
from typing import Annotated

import typer

from edgecifar.choices import RuntimeName, Split
from edgecifar.cli.making import DataDirOption, JsonOption
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
from edgecifar.cli.terminal import load_pipeline, terminal


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    app.command()(diagnose)


def diagnose(
    model: Annotated[Path, typer.Argument(help="A model file, a bundle (its reference) or a run.")],
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What the app logged for known images: .npy, .npz, .csv or .json (docs/diagnose.md).  "
            "[default: none; explain the model's own accuracy]",
        ),
    ] = None,
    data: DataOption = None,
    data_dir: DataDirOption = None,
    split: Annotated[Split, typer.Option(help="Of which the images are.")] = Split.TEST,
    limit: Annotated[int, typer.Option(min=1, help="Most images.")] = 200,
    runtime: Annotated[RuntimeName | None, typer.Option(help="An engine.  [default: the usual one]")] = None,
    scale: ScaleOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    layout: LayoutOption = None,
    channels: ChannelsOption = None,
    resize: ResizeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the mistake with which an app feeds or reads a model.

    Tries the classic ones and ranks which explains the outputs that the app logged or, without them, a low
    accuracy under the preprocessing that is said to be right.

    \b
    Examples:
      edgecifar diagnose exported/mine/model.int8.tflite --predictions app.csv --data cifar10
      edgecifar diagnose theirs.onnx --scale 1 --data npz --data-dir test.npz
    """
    preprocessing = input_spec(scale, mean, std, layout, channels, resize)
    pipeline = load_pipeline()
    from edgecifar.reporting.explaining import DiagnosisView

    diagnosis = pipeline.diagnose_model(
        model,
        predictions=predictions,
        split=split,
        source=data,
        data_dir=data_dir,
        limit=limit,
        runtime=runtime,
        preprocessing=preprocessing,
        progress=terminal(),
    )
    if as_json:
        terminal().data(diagnosis.model_dump_json(indent=2))
    else:
        terminal().result(DiagnosisView(diagnosis))
