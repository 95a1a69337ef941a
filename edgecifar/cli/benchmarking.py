"""benchmark and estimate."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edgecifar.choices import ALL_RUNTIMES, Npu, RuntimeName
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
from edgecifar.cli.proving import DataOption, runtime_or_all
from edgecifar.cli.terminal import load_pipeline, repeatable, terminal


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    for command in (benchmark, estimate):
        app.command()(command)


def benchmark(
    bundle: Annotated[
        Path | None, typer.Argument(help="A bundle, a run, or a model file.  [default: the newest bundle]")
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            parser=runtime_or_all,
            metavar=f"[{'|'.join((*RuntimeName, ALL_RUNTIMES))}]",
            help="An engine; may be repeated; all: each that is here.  [default: those that apps use]",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, in which all take turns.")] = 5,
    calls: Annotated[int, typer.Option(min=3, help="Calls in a round.")] = 100,
    batch: Annotated[
        list[int] | None, typer.Option(min=1, help="A batch size; may be repeated.  [default: 1, 8 and 32]")
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option(min=1, help="For batches; may be repeated.  [default: 1 and all cores]"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Images for the accuracy, balanced.")] = 500,
    data: DataOption = None,
    data_dir: DataDirOption = None,
    scale: ScaleOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    layout: LayoutOption = None,
    channels: ChannelsOption = None,
    resize: ResizeOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results.  [default: benchmark/NAME]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Time each artifact in each engine: latency, images/s, memory, load time, size and accuracy.

    Run it on a machine that does nothing else; all are measured in turn, one at a time.

    \b
    Examples:
      edgecifar benchmark
      edgecifar benchmark exported/mine --runtime all --data sample
      edgecifar benchmark exported/mine/model.int8.onnx --runtime ort-cpu --threads 1
      edgecifar benchmark firmware/model/model.c --mean 127.5 --std 127.5 --runtime c
    """
    preprocessing = input_spec(scale, mean, std, layout, channels, resize)
    pipeline = load_pipeline()
    from edgecifar.benchmarking import Plan
    from edgecifar.host import core_count
    from edgecifar.reporting.speed import SpeedView, write_speed

    if bundle is None:
        bundle = pipeline.newest_bundle().folder
        terminal().say(f"The newest bundle: {bundle}.")
    plan = Plan(
        rounds=rounds,
        calls=calls,
        batches=tuple(dict.fromkeys(batch or (1, 8, 32))),
        threads=tuple(dict.fromkeys(threads or (1, core_count()))),
    )
    report = pipeline.benchmark(
        bundle,
        runtimes=runtime or (),
        plan=plan,
        limit=limit,
        source=data,
        data_dir=data_dir,
        preprocessing=preprocessing,
        command=repeatable(),
        progress=terminal(),
    )
    if as_json:
        terminal().data(report.model_dump_json(indent=2))
    else:
        terminal().result(SpeedView(report))
    written = write_speed(report, out or Path("benchmark") / bundle.name)
    if not as_json:
        terminal().result(f"Results: {', '.join(str(path) for path in written)}")


def estimate(
    model: Annotated[
        Path | None,
        typer.Argument(help="A bundle with an int8 TFLite file, or the file.  [default: the newest bundle]"),
    ] = None,
    npu: Annotated[
        list[Npu] | None, typer.Option(help="An NPU; may be repeated.  [default: ethos-u55-128]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Estimate, with Arm's compiler Vela, how a model would fit and run on an Ethos-U NPU.

    Nothing is run: memory is what the compiler lays out, cycles are its performance model's.

    \b
    Examples:
      edgecifar estimate exported/mine
      edgecifar estimate exported/mine/model.int8.tflite --npu ethos-u55-256 --npu ethos-u85-512
    """
    from dataclasses import asdict

    pipeline = load_pipeline()
    from edgecifar.cli.tables import estimates_table

    if model is None:
        model = pipeline.newest_bundle().folder
        terminal().say(f"The newest bundle: {model}.")
    estimates = pipeline.estimate(model, tuple(dict.fromkeys(npu or [Npu.U55_128])))
    if as_json:
        terminal().data(json.dumps([asdict(one) for one in estimates], indent=2))
    else:
        terminal().result(estimates_table(estimates))
