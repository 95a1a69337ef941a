"""verify."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecifar.choices import ALL_RUNTIMES, CpuLevel, RuntimeName, Source, Split
from edgecifar.cli.gating import (
    DropBoundOption,
    MaxClassDropOption,
    MaxDropOption,
    MaxLatencyOption,
    MaxSizeOption,
    MinAgreementOption,
    OnSubsetOption,
    PolicyOption,
    policy_of,
)
from edgecifar.cli.making import DataDirOption, JsonOption
from edgecifar.cli.preprocessing import (
    AgainstChannelsOption,
    AgainstLayoutOption,
    AgainstMeanOption,
    AgainstScaleOption,
    AgainstStdOption,
    ChannelsOption,
    LayoutOption,
    MeanOption,
    ResizeOption,
    ScaleOption,
    StdOption,
    against_spec,
    input_spec,
)
from edgecifar.cli.terminal import load_pipeline, repeatable, terminal
from edgecifar.errors import EdgecifarError

if TYPE_CHECKING:
    # Only types: help shall not wait for pydantic.
    from edgecifar.artifacts import ParityReport
    from edgecifar.pipeline.explaining import Explained

GATE_FAILED = 1

DataOption = Annotated[
    Source | None, typer.Option(help="Where the images come from.  [default: as the run's or recipe's]")
]


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    app.command()(verify)


def runtime_or_all(name: str) -> str:
    """Returns the name of a runtime, or the word for all of them."""
    known = (*RuntimeName, ALL_RUNTIMES)
    if name not in known:
        raise typer.BadParameter(f"{name} is none of: {', '.join(known)}.")
    return name


def verify(
    models: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[BUNDLE|MODEL]...",
            help="Bundles, runs, model files (.tflite, .onnx, .keras, .h5) or SavedModel folders.  "
            "[default: the newest bundle]",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="The reference: a run, bundle or model file.  [default: the bundle's own]"),
    ] = None,
    split: Annotated[Split, typer.Option(help="Which images.")] = Split.TEST,
    data: DataOption = None,
    data_dir: DataDirOption = None,
    policy: PolicyOption = None,
    max_drop: MaxDropOption = None,
    drop_bound: DropBoundOption = None,
    max_class_drop: MaxClassDropOption = None,
    min_agreement: MinAgreementOption = None,
    max_size: MaxSizeOption = None,
    max_latency: MaxLatencyOption = None,
    on_subset: OnSubsetOption = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            parser=runtime_or_all,
            metavar=f"[{'|'.join((*RuntimeName, ALL_RUNTIMES))}]",
            help="An engine; may be repeated; all: each that is on this machine.  [default: the usual ones]",
        ),
    ] = None,
    cpu_level: Annotated[
        list[CpuLevel] | None,
        typer.Option(
            help="Run ONNX Runtime on this CPU too, in an emulator, on --subset images; may be repeated."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most images, balanced over the classes.")] = None,
    subset: Annotated[
        int,
        typer.Option(min=1, help="Most images for slow engines: reference kernels, TFLM, browsers."),
    ] = 200,
    scale: ScaleOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    layout: LayoutOption = None,
    channels: ChannelsOption = None,
    resize: ResizeOption = None,
    against_scale: AgainstScaleOption = None,
    against_mean: AgainstMeanOption = None,
    against_std: AgainstStdOption = None,
    against_layout: AgainstLayoutOption = None,
    against_channels: AgainstChannelsOption = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most models that run at one time; 1 for figures of images/s that nothing else disturbs.  "
            "[default: one for each core; 1 with --max-latency]",
        ),
    ] = None,
    no_cache: Annotated[
        bool,
        typer.Option(
            "--no-cache",
            help="Run all engines again, though their outputs for these models and images are kept.",
        ),
    ] = False,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers",
            help="Look into each compressed TFLite and ONNX file: what every layer loses, and what to do.",
        ),
    ] = False,
    what_if: Annotated[
        int,
        typer.Option(
            min=0, metavar="K", help="With --layers: what keeping the K worst layers in float would win."
        ),
    ] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the report.  [default: BUNDLE/report, or report]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run each model in each engine that reads it, and say what it lost against the reference.

    Exits with 1 if a gate is broken, or asks for a proof that the images are too few to give; slow engines,
    which see --subset images, can break a gate and prove none. What --layers cannot do leaves the report as
    it was measured.

    \b
    Examples:
      edgecifar verify                                     the newest bundle, against its own float model
      edgecifar verify exported/mine --max-drop 0.5pp
      edgecifar verify exported/mine --layers --what-if 3  why it lost what it lost
      edgecifar verify exported/mine/model.int8.onnx --against runs/mine --runtime ort-cpu
      edgecifar verify theirs-int8.tflite --against theirs.h5 --data npz --data-dir test.npz --scale 1
    """
    gate = policy_of(
        policy,
        max_drop=max_drop,
        drop_bound=drop_bound,
        max_class_drop=max_class_drop,
        min_agreement=min_agreement,
        max_size=max_size,
        max_latency=max_latency,
        on_subset=on_subset,
    )
    preprocessing = input_spec(scale, mean, std, layout, channels, resize)
    of_reference = against_spec(
        against_scale, against_mean, against_std, against_layout, against_channels, preprocessing
    )
    if what_if and not layers:
        raise typer.BadParameter("--what-if needs --layers.")
    pipeline = load_pipeline()
    from edgecifar.reporting import ReportView, write_report
    from edgecifar.reporting.explaining import LayersView
    from edgecifar.verification.caching import default_folder

    if not models:
        newest = pipeline.newest_bundle()
        terminal().say(f"The newest bundle: {newest.folder}.")
        models = [newest.folder]
    common = {
        "against": against,
        "split": split,
        "runtimes": runtime or (),
        "source": data,
        "data_dir": data_dir,
        "limit": limit,
        "preprocessing": preprocessing,
        "against_preprocessing": of_reference,
        "progress": terminal(),
    }
    report = pipeline.verify(
        models,
        gate=gate,
        cpu_levels=cpu_level or (),
        subset=subset,
        cache_dir=None if no_cache else default_folder(),
        jobs=jobs,
        command=repeatable(),
        **common,
    )
    folder = out or (models[0] / "report" if (models[0] / "manifest.json").is_file() else Path("report"))
    # Shown first: where the files cannot be written, the minutes were not in vain.
    if not as_json:
        terminal().result(ReportView(report))
    unexplained: tuple[tuple[str, EdgecifarError], ...] = ()
    if layers:
        # Written before the layers are looked into, which may fail or be interrupted, and again after it.
        write_report(report, folder)
        report, unexplained = _with_layers(
            report, lambda: pipeline.explain_layers(models, what_if=what_if, **common)
        )
    if as_json:
        terminal().data(report.model_dump_json(indent=2))
    for one in () if as_json else report.layers:
        terminal().result(LayersView(one))
    written = write_report(report, folder)
    if not as_json:
        terminal().result(f"Report: {written[0]}")
    _conclude(report, unexplained)


def _with_layers(
    report: "ParityReport", explain: Callable[[], "Explained"]
) -> tuple["ParityReport", tuple[tuple[str, EdgecifarError], ...]]:
    """Returns a report with its layers, and a note for each file that has none; and why, a sentence each."""
    try:
        explained = explain()
        found, failures = explained.reports, explained.failures
    except EdgecifarError as error:
        found, failures = (), (("", error),)
    # Most errors name the file.
    unexplained = tuple(
        (
            f"--layers could not be done{'' if name in error.problem else f' for {name}'}: {error.problem}",
            error,
        )
        for name, error in failures
    )
    notes = (*report.notes, *(sentence for sentence, _ in unexplained))
    return report.model_copy(update={"layers": found, "notes": notes}), unexplained


def _conclude(report: "ParityReport", unexplained: Sequence[tuple[str, EdgecifarError]]) -> None:
    """Says what does not hold, and what --layers could not do.

    Raises:
        Exit: With the status of a gate that failed, else of the first error.
    """
    from edgecifar.reporting import broken_gates, undecided_gates, verdict_sentence

    for sentence, error in unexplained:
        terminal().error(sentence, error.mend)
    if not report.passed:
        unheld = (*broken_gates(report), *undecided_gates(report))
        terminal().error(verdict_sentence(report), "\n".join(unheld))
        raise typer.Exit(GATE_FAILED)
    if unexplained:
        raise typer.Exit(unexplained[0][1].exit_status)
