"""The report as a picture: how much accuracy each artifact lost in each runtime."""

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.transforms import Transform, blended_transform_factory

from edgecifar.artifacts import Comparison, ParityReport, Verdict
from edgecifar.reporting.sentences import reference_phrase
from edgecifar.reporting.tables import IMAGES, Align, columns_of, count, percent, points

# Inches; a README shows the picture at about 90 pixels an inch, so 10 points are 12 pixels there.
WIDTH, MARGIN = 9.0, 0.2
ROW, GROUP_GAP = 0.27, 0.1
LINE, HEADINGS, AXIS = 0.21, 0.3, 0.52
COLUMN_GAP, PLOT_GAP = 0.22, 0.12
ABOVE_PLOT = 0.1
"""From a heading's baseline down to the plot."""
LEFT_ROOM, RIGHT_ROOM = 0.15, 0.4
"""Beside the outermost marks; on the right for half of the gate's label."""
DPI = 200

MAX_TITLE, MAX_NAME, MAX_RUNTIME, MAX_CAPTION_LINE = 30, 30, 20, 110
LEAST_SPAN_PP = 0.2
"""So that a difference of one image in thousands doesn't fill the picture."""

INK, GREY, RULE, BAND = "#1c2126", "#5f6871", "#d4d9de", "#f6f8fa"
COLOURS = {
    Verdict.PASS: "#14794e",
    Verdict.FAIL: "#b3261e",
    Verdict.UNDECIDED: "#8a5a00",
    Verdict.NONE: "#2b5f9e",
}
MARKERS = {Verdict.PASS: "o", Verdict.FAIL: "X", Verdict.UNDECIDED: "D", Verdict.NONE: "o"}


@dataclass(frozen=True, slots=True)
class _Cells:
    """One column of text beside the plot."""

    heading: str
    texts: tuple[str, ...]
    """One a row; empty where it repeats the row above."""
    align: Align
    weight: str = "normal"


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where the rows stand, in inches below the top of the plot."""

    centres: tuple[float, ...]
    groups: tuple[tuple[float, float], ...]
    """Top and bottom of each artifact's rows."""
    height: float


def draw_png(report: ParityReport) -> bytes:
    """Returns the picture as a PNG file's content; the same report gives the same bytes."""
    figure = draw(report)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    return content.getvalue()


def draw(report: ParityReport) -> Figure:
    """Returns a dot plot of the drop of top-1 accuracy, a row for each artifact in each runtime."""
    rows = _place_rows(report.comparisons)
    caption = textwrap.wrap(f"Reference: {reference_phrase(report)}", MAX_CAPTION_LINE)
    if IMAGES in columns_of(report):
        caption.append("A row on fewer images is compared with the reference on those same images.")
    top = MARGIN + LINE * (1 + len(caption)) + 0.1 + HEADINGS
    height = top + rows.height + AXIS + MARGIN
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    before, after = _text_columns(report)
    before_x, left = _spread(before, MARGIN, canvas)
    _, after_width = _spread(after, 0.0, canvas)
    after_x, _ = _spread(after, WIDTH - MARGIN - after_width + COLUMN_GAP, canvas)
    right = WIDTH - MARGIN - after_width - PLOT_GAP

    axes = figure.add_axes(
        (
            (left + PLOT_GAP) / WIDTH,
            (AXIS + MARGIN) / height,
            (right - left - PLOT_GAP) / WIDTH,
            rows.height / height,
        )
    )
    _draw_header(figure, height, report.title, caption)
    inches_and_rows = blended_transform_factory(figure.dpi_scale_trans, axes.transData)
    _draw_bands(axes, rows, inches_and_rows)
    _draw_axis(axes, report, right - left - PLOT_GAP)
    axes.set_ylim(rows.height, 0)
    for place, comparison in zip(rows.centres, report.comparisons, strict=True):
        _draw_dot(axes, place, comparison)
    for column, anchor in zip((*before, *after), (*before_x, *after_x), strict=True):
        _draw_cells(axes, rows, column, anchor, inches_and_rows, report.comparisons)
    return figure


def _place_rows(comparisons: Sequence[Comparison]) -> _Rows:
    centres: list[float] = []
    groups: list[tuple[float, float]] = []
    bottom, start, previous = GROUP_GAP, GROUP_GAP, None
    for comparison in comparisons:
        if previous not in (None, comparison.artifact):
            groups.append((start, bottom))
            bottom += GROUP_GAP
            start = bottom
        centres.append(bottom + ROW / 2)
        bottom += ROW
        previous = comparison.artifact
    if comparisons:
        groups.append((start, bottom))
    return _Rows(tuple(centres), tuple(groups), bottom + GROUP_GAP)


def _text_columns(report: ParityReport) -> tuple[list[_Cells], list[_Cells]]:
    comparisons = report.comparisons
    is_first = [
        index == 0 or comparisons[index - 1].artifact != comparison.artifact
        for index, comparison in enumerate(comparisons)
    ]

    def once(texts: list[str]) -> tuple[str, ...]:
        return tuple(text if first else "" for text, first in zip(texts, is_first, strict=True))

    names = [_shorten(comparison.artifact, MAX_NAME) for comparison in comparisons]
    sizes = [count(comparison.size_bytes) for comparison in comparisons]
    runtimes = [_shorten(comparison.engine.runtime, MAX_RUNTIME) for comparison in comparisons]
    rates = [percent(comparison.accuracy.rate) for comparison in comparisons]
    verdicts = [comparison.verdict.value for comparison in comparisons]
    images = [count(comparison.accuracy.total) for comparison in comparisons]
    before = [
        _Cells("artifact", once(names), Align.LEFT, "bold"),
        _Cells("bytes", once(sizes), Align.RIGHT),
        _Cells("runtime", tuple(runtimes), Align.LEFT),
    ]
    after = [
        _Cells("drop", tuple(points(comparison.drop_pp) for comparison in comparisons), Align.RIGHT),
        _Cells("top-1", tuple(rates), Align.RIGHT),
        _Cells("verdict", tuple(verdicts), Align.LEFT),
    ]
    if IMAGES in columns_of(report):
        after.insert(2, _Cells("images", tuple(images), Align.RIGHT))
    return before, after


def _spread(columns: Sequence[_Cells], start: float, canvas: FigureCanvasAgg) -> tuple[list[float], float]:
    """Returns where each column's text is anchored, in inches from the left, and where the last one ends."""
    renderer = canvas.get_renderer()
    anchors = []
    for column in columns:
        fonts = [FontProperties(size=9), *[FontProperties(size=10, weight=column.weight)] * len(column.texts)]
        widths = [
            renderer.get_text_width_height_descent(text, font, ismath=False)[0] / DPI
            for text, font in zip((column.heading, *column.texts), fonts, strict=True)
        ]
        end = start + max(widths)
        anchors.append(end if column.align is Align.RIGHT else start)
        start = end + COLUMN_GAP
    return anchors, start


def _draw_header(figure: Figure, height: float, title: str, caption: Sequence[str]) -> None:
    lines = [f"{_shorten(title, MAX_TITLE)}: accuracy that each export lost", *caption]
    for index, line in enumerate(lines):
        figure.text(
            MARGIN / WIDTH,
            1 - (MARGIN + LINE * (index + 0.5)) / height,
            line,
            size=12 if index == 0 else 9.5,
            weight="bold" if index == 0 else "normal",
            color=INK if index == 0 else GREY,
            verticalalignment="center",
            parse_math=False,
        )


def _draw_bands(axes: Axes, rows: _Rows, inches_and_rows: Transform) -> None:
    for top, bottom in rows.groups:
        place, width = (MARGIN / 2, top), WIDTH - MARGIN
        band = Rectangle(place, width, bottom - top, transform=inches_and_rows, color=BAND, linewidth=0)
        axes.add_artist(band).set(clip_on=False, zorder=0)


def _draw_axis(axes: Axes, report: ParityReport, width: float) -> None:
    gate = report.policy.gate.max_drop_pp
    marks = [0.0, *(comparison.drop_pp for comparison in report.comparisons)]
    if gate is not None:
        marks.append(gate)
    low = min(marks)
    span = max(max(marks) - low, LEAST_SPAN_PP)
    pp_per_inch = span / (width - LEFT_ROOM - RIGHT_ROOM)
    axes.set_xlim(low - LEFT_ROOM * pp_per_inch, low + span + RIGHT_ROOM * pp_per_inch)
    axes.grid(axis="x", color=RULE, linewidth=0.6, zorder=1)
    axes.axvline(0, color=INK, linewidth=1.1, zorder=2)
    if gate is not None:
        axes.axvspan(
            gate, axes.get_xlim()[1], color=COLOURS[Verdict.FAIL], alpha=0.08, zorder=0.5, linewidth=0
        )
        axes.axvline(gate, color=COLOURS[Verdict.FAIL], linewidth=1.1, linestyle=(0, (4, 2)), zorder=2)
        axes.annotate(
            f"gate {gate:g} pp",
            (gate, 0),
            xytext=(0, ABOVE_PLOT * 72),
            textcoords="offset points",
            size=9,
            color=COLOURS[Verdict.FAIL],
            horizontalalignment="center",
        )
    axes.set_axisbelow(True)
    axes.set_yticks([])
    axes.tick_params(axis="x", labelsize=9, colors=GREY, length=3, color=RULE)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.set_xlabel("top-1 accuracy lost, percentage points (0: the reference)", size=9, color=GREY)


def _draw_dot(axes: Axes, place: float, comparison: Comparison) -> None:
    colour = COLOURS[comparison.verdict]
    drop = comparison.drop_pp
    axes.plot(
        [0, drop], [place, place], color=colour, linewidth=1.6, alpha=0.55, solid_capstyle="butt", zorder=3
    )
    axes.plot(
        [drop], [place], MARKERS[comparison.verdict], color=colour, markersize=7, markeredgewidth=0, zorder=4
    )


def _draw_cells(
    axes: Axes,
    rows: _Rows,
    column: _Cells,
    anchor: float,
    inches_and_rows: Transform,
    comparisons: Sequence[Comparison],
) -> None:
    axes.text(
        anchor,
        -ABOVE_PLOT,
        column.heading,
        transform=inches_and_rows,
        size=9,
        color=GREY,
        horizontalalignment=column.align.value,
        verticalalignment="baseline",
    )
    for place, text, comparison in zip(rows.centres, column.texts, comparisons, strict=True):
        axes.text(
            anchor,
            place,
            text,
            transform=inches_and_rows,
            size=10,
            weight=column.weight,
            color=COLOURS[comparison.verdict] if column.heading == "verdict" else INK,
            horizontalalignment=column.align.value,
            verticalalignment="center_baseline",
            parse_math=False,
        )


def _shorten(text: str, length: int) -> str:
    """Returns the text on one line, its middle left out where it is longer than `length`."""
    text = " ".join(text.split())
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[-tail:]}"
