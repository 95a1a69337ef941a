"""Layers and diagnoses in a terminal: the table, and in sentences what it comes to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from edgecifar.artifacts.diagnosis import Conclusion, Diagnosis, Hypothesis
from edgecifar.artifacts.layers import LayerQuality, LayersReport, Strayed, WhatIf
from edgecifar.reporting.tables import NOTHING, count, percent

ROOMY = 110
SHOWN = 5
"""Mistakes in a table: those that explain less say nothing."""


def short_name(name: str) -> str:
    """Returns the first of the names that TensorFlow's converter joins where it fuses operators."""
    return name.partition(";")[0]


def advice_sentence(report: LayersReport) -> str:
    """Returns where quality falls first, why and what to do; or that it falls nowhere, and what is lowest."""
    if report.advice is not None:
        where = short_name(report.advice.layer)
        return f"Quality falls first at {where}: {report.advice.finding} {report.advice.advice}"
    known = [(layer.own.sqnr_db, layer.name) for layer in report.layers if layer.own is not None]
    if not known:
        return "No layer falls behind what it reads."
    lowest, name = min(known)
    start = f"No layer falls behind the others; the most noise of its own, {lowest:.1f} dB,"
    return f"{start} has {short_name(name)}."


def stray_sentences(report: LayersReport) -> tuple[str, ...]:
    """Returns for each other runtime where it first gives other integers, or why that is not known."""
    sentences = []
    for other in report.strayed:
        known = [step for step in other.steps if step is not None]
        if other.hidden is not None:
            sentences.append(_probed_sentence(other, known, other.hidden))
        elif not known:
            sentences.append(f"{other.runtime} and {other.against}: no layer is quantized alike.")
        elif other.first is None:
            sentences.append(f"{other.runtime} gives the integers of {other.against} in every layer.")
        else:
            sentences.append(
                f"{other.runtime} strays from {other.against} first at {short_name(other.first)}; the "
                f"largest difference in any layer is {count(max(known))} steps."
            )
    return (*sentences, *report.not_looked_into)


def _probed_sentence(other: Strayed, known: Sequence[int], hidden: Sequence[str]) -> str:
    names = ", ".join(short_name(name) for name in hidden)
    if other.first is not None:
        where = f"{other.runtime} strays from {other.against} first at {short_name(other.first)}"
        most = max(known)
        reach = f"by up to {count(most)} step{'' if most == 1 else 's'}"
        if not hidden:
            return f"{where}, {reach}."
        return f"{where}, {reach}, or before it: asked for {names}, it computes otherwise."
    if not hidden:
        return f"{other.runtime} gives the integers of {other.against} in every layer."
    return (
        f"{other.runtime} gives the integers of {other.against} in every layer that can be looked at; asked "
        f"for {names}, it computes otherwise."
    )


@dataclass(frozen=True, slots=True)
class _LayerColumn:
    lines: str
    cell: Callable[[LayerQuality], str]
    always: bool = True


def _db(value: float) -> str:
    return f"{value:.1f}" if abs(value) < 100 else "equal" if value > 0 else "lost"


def _share(value: float | None, digits: int = 0) -> str:
    return NOTHING if value is None else f"{100 * value:.{digits}f} %"


def _worst_channel(layer: LayerQuality) -> str:
    if layer.weights is None:
        return NOTHING
    return _db(min(channel.sqnr_db for channel in layer.weights.channels))


def _weights_range(layer: LayerQuality) -> str:
    """Returns the share of the 8 bits that the least used channel has."""
    uses = [] if layer.weights is None else [channel.range_use for channel in layer.weights.channels]
    known = [use for use in uses if use is not None]
    return _share(min(known)) if known else NOTHING


_LAYER_COLUMNS = (
    _LayerColumn("kind", lambda layer: layer.kind, always=False),
    _LayerColumn("SQNR\ndB", lambda layer: _db(layer.sqnr_db)),
    _LayerColumn("own\ndB", lambda layer: _db(layer.own.sqnr_db) if layer.own else NOTHING),
    _LayerColumn("cosine", lambda layer: f"{layer.cosine:.4f}", always=False),
    _LayerColumn("range\nused", lambda layer: _share(layer.range_use)),
    _LayerColumn("clipped", lambda layer: _share(layer.clipped, 2), always=False),
    _LayerColumn("weights\ndB", lambda layer: _db(layer.weights.sqnr_db) if layer.weights else NOTHING),
    _LayerColumn("worst\nchannel", _worst_channel),
    _LayerColumn("weights'\nrange", _weights_range, always=False),
    _LayerColumn(
        "scales", lambda layer: count(layer.weights.scales) if layer.weights else NOTHING, always=False
    ),
)


def layer_grid(report: LayersReport) -> list[list[str]]:
    """Returns the headings and a row of cells for each layer, as a narrow terminal shows them."""
    shown = [column for column in _LAYER_COLUMNS if column.always]
    headings = ["layer", *(" ".join(column.lines.split()) for column in shown)]
    rows = [[short_name(layer.name), *(column.cell(layer) for column in shown)] for layer in report.layers]
    return [headings, *rows]


class LayersView:
    """A rich renderable of a layers report, for widths from 60 columns up."""

    def __init__(self, report: LayersReport) -> None:
        self._report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        report = self._report
        shown = [column for column in _LAYER_COLUMNS if column.always or options.max_width >= ROOMY]
        yield Text(
            f"Layers of {report.candidate} in {report.engine.runtime} ({report.engine.device}) against "
            f"{report.reference}, {count(report.images)} images"
        )
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
        table.add_column("layer", overflow="fold", vertical="bottom")
        for column in shown:
            table.add_column(column.lines, justify="right", vertical="bottom", no_wrap=True)
        fallen = None if report.advice is None else report.advice.layer
        for layer in report.layers:
            style = "bold red" if layer.name == fallen else ""
            table.add_row(
                Text(short_name(layer.name)), *(column.cell(layer) for column in shown), style=style
            )
        yield table
        yield Text()
        yield Text(advice_sentence(report), style="bold")
        yield from (Text(sentence) for sentence in stray_sentences(report))
        yield from (Text(sentence, style="yellow") for sentence in report.unmatched)
        if not report.output_is_the_files:
            yield Text(
                "Note: with its layers' outputs asked for, the engine fuses other operators, and the outputs "
                "are not the file's bit for bit."
            )
        if report.what_if is not None:
            yield Text()
            yield from _what_if(report.what_if)
        if len(shown) < len(_LAYER_COLUMNS):
            names = ", ".join(c.lines.replace("\n", " ") for c in _LAYER_COLUMNS if c not in shown)
            yield Text(f"Left out at this width, but in --json: {names}.", style="dim")


def _what_if(what_if: WhatIf) -> Iterator[RenderableType]:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("kept in float", overflow="fold", vertical="bottom")
    for heading in ("top-1", "wins", "as the\nreference"):
        table.add_column(heading, justify="right", vertical="bottom", no_wrap=True)
    total = what_if.images
    table.add_row("nothing", percent(what_if.simulated_correct / total), "", "")
    for kept in what_if.kept:
        name = short_name(kept.layers[0]) if len(kept.layers) == 1 else f"all {len(kept.layers)}"
        wins = kept.correct - what_if.simulated_correct
        table.add_row(
            Text(name), percent(kept.correct / total), f"{wins:+d}", percent(kept.agreements / total)
        )
    yield Text(
        f"What if the worst layers stayed in float, on {count(total)} images: the reference has "
        f"{percent(what_if.reference_correct / total)}, "
        f"the file {percent(what_if.candidate_correct / total)}."
    )
    yield table
    yield Text(
        f"How: {what_if.way}; the simulation names the file's class for "
        f"{percent(what_if.simulated_agreements / total)} of the images.",
        style="dim",
    )


def diagnosis_sentence(diagnosis: Diagnosis) -> str:
    """Returns what the diagnosis comes to."""
    first = diagnosis.ranking[0]
    seen = "the logged outputs" if diagnosis.logged else "this accuracy"
    if diagnosis.conclusion is Conclusion.SOUND:
        return f"Nothing wrong: {diagnosis.model}, fed and read as is said, explains {seen}."
    if diagnosis.conclusion is Conclusion.NONE:
        return f"None of them: no mistake that is known here explains {seen}. The nearest is: {first.name}."
    form = f" ({first.variant})" if first.variant else ""
    return f"{first.name}{form}. {first.finding} {first.mend}".strip()


class DiagnosisView:
    """A rich renderable of a diagnosis, for widths from 60 columns up."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        self._diagnosis = diagnosis

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        diagnosis = self._diagnosis
        logged = diagnosis.logged is not None
        yield Text(
            f"{diagnosis.model} in {diagnosis.engine.runtime}, {count(diagnosis.images)} images; said to see "
            f"{diagnosis.preprocessing}"
        )
        if diagnosis.logged_accuracy is not None:
            yield Text(f"{diagnosis.logged}: {percent(diagnosis.logged_accuracy)} right")
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
        table.add_column("if the mistake were", overflow="fold")
        for heading in (("distance", "agree") if logged else ()) + ("top-1",):
            table.add_column(heading, justify="right", no_wrap=True)
        for hypothesis in (*diagnosis.ranking[:SHOWN], diagnosis.right):
            style = "dim" if hypothesis is diagnosis.right else ""
            table.add_row(*_cells(hypothesis), style=style)
        yield table
        yield Text()
        yield Text(diagnosis_sentence(diagnosis), style="bold")
        for name, reason in diagnosis.excluded:
            yield Text(f"Not possible here: {name}: {reason}.", style="dim")


def _cells(hypothesis: Hypothesis) -> list[Text]:
    form = f" ({hypothesis.variant})" if hypothesis.variant else ""
    cells = [f"{hypothesis.name}{form}"]
    if hypothesis.distance is not None and hypothesis.agreement is not None:
        cells += [f"{hypothesis.distance:.4f}", percent(hypothesis.agreement)]
    return [Text(cell) for cell in (*cells, percent(hypothesis.accuracy))]
