"""Charts: the Vega-Lite specifications of the HTML report, each for whatever rows it is given.

Colours are names, "$ink", which the page replaces by those of its style sheet, light or dark. The page gives
the rows, from `edgecifar.reporting.figures`.
"""

from typing import Any

import altair as alt

from edgecifar.artifacts import Verdict

Chart = alt.TopLevelMixin
VERDICTS = (Verdict.PASS, Verdict.FAIL, Verdict.UNDECIDED, Verdict.NONE)
LOST, WON = "lost", "won"
REFERENCE, CANDIDATE = "reference", "candidate"


def chart_specs() -> dict[str, dict[str, Any]]:
    """Returns the specification of each chart, by its name in the page."""
    charts = {
        "drops": _drops(),
        "flips": _flips(),
        "confusion": _confusion("heatmap"),
        "change": _confusion("diverging"),
        "calibration": _calibration(),
        "differences": _differences(),
        "layers": _layers(),
    }
    return {name: chart.to_dict() for name, chart in charts.items()}


def _rows() -> alt.NamedData:
    return alt.NamedData(name="rows")


def _drops() -> Chart:
    """Rows: label, drop, low, high, verdict, gate, detail."""
    # Two lines: on a phone the name of a file is as wide as the plot.
    names = alt.Axis(labelExpr="split(datum.label, ' in ')", labelLimit=150, title=None, ticks=False)
    base = alt.Chart(_rows()).encode(
        y=alt.Y("subject:N", sort=None, axis=names),
        color=alt.Color(
            "verdict:N",
            scale=alt.Scale(domain=[*VERDICTS], range=["$pass", "$fail", "$undecided", "$none"]),
            legend=None,
        ),
        tooltip=alt.Tooltip("detail:N", title=" "),
    )
    title = "top-1 accuracy lost, percentage points"
    interval = base.mark_rule(strokeWidth=2.5).encode(x=alt.X("low:Q", title=title), x2="high:Q")
    dot = base.mark_point(size=90, filled=True, opacity=1).encode(
        x="drop:Q",
        shape=alt.Shape(
            "verdict:N",
            scale=alt.Scale(domain=[*VERDICTS], range=["circle", "cross", "diamond", "circle"]),
            legend=None,
        ),
    )
    zero = alt.Chart(_rows()).mark_rule(color="$ink", strokeWidth=1).encode(x=alt.datum(0))
    gate = base.mark_tick(color="$fail", thickness=2, size=26).encode(x="gate:Q", color=alt.value("$fail"))
    layers = alt.layer(zero, interval, gate, dot)
    return layers.properties(width="container", height=alt.Step(38))


def _flips() -> Chart:
    """Rows: class, direction, images (lost below zero), detail."""
    bars = (
        alt.Chart(_rows())
        .mark_bar(cornerRadius=2)
        .encode(
            y=alt.Y("class:N", sort=None, title=None, axis=alt.Axis(ticks=False, labelLimit=110)),
            x=alt.X("images:Q", title="images lost (left) and won (right)", axis=alt.Axis(format="d")),
            color=alt.Color(
                "direction:N", scale=alt.Scale(domain=[LOST, WON], range=["$fail", "$pass"]), legend=None
            ),
            tooltip=alt.Tooltip("detail:N", title=" "),
        )
    )
    zero = alt.Chart(_rows()).mark_rule(color="$ink").encode(x=alt.datum(0))
    return alt.layer(bars, zero).properties(width="container", height=alt.Step(22))


def _confusion(scheme: str) -> Chart:
    """Rows: label, prediction, shade (0 to 1, or -1 to 1), text, contrast, detail."""
    labels = alt.Axis(ticks=False, domain=False, labelLimit=80, titlePadding=8)
    base = alt.Chart(_rows()).encode(
        x=alt.X("prediction:N", sort=None, title="said to be", axis=labels),
        y=alt.Y("label:N", sort=None, title="is", axis=labels),
        tooltip=alt.Tooltip("detail:N", title=" "),
    )
    domain = [0, 1] if scheme == "heatmap" else [-1, 0, 1]
    scale = alt.Scale(domain=domain, range=scheme)  # a name in the page's config
    cells = base.mark_rect(stroke="$surface", strokeWidth=1.5).encode(
        color=alt.Color("shade:Q", scale=scale, legend=None)
    )
    figures = base.mark_text(fontSize=11).encode(
        text="text:N",
        color=alt.condition("datum.contrast", alt.value("$onstrong"), alt.value("$ink")),
    )
    return alt.layer(cells, figures).properties(width="container", height=340)


def _calibration() -> Chart:
    """Rows: model, confidence, accuracy, images, detail."""
    unit = alt.Scale(domain=[0, 1])
    percent = alt.Axis(format="%", tickCount=5)
    models = alt.Scale(domain=[REFERENCE, CANDIDATE], range=["$muted", "$accent"])
    base = alt.Chart(_rows()).encode(
        x=alt.X("confidence:Q", scale=unit, title="mean confidence", axis=percent),
        y=alt.Y("accuracy:Q", scale=unit, title="accuracy", axis=percent),
        color=alt.Color(
            "model:N", scale=models, legend=alt.Legend(title=None, orient="top-left", symbolType="circle")
        ),
    )
    lines = base.mark_line(strokeWidth=2)
    points = base.mark_point(filled=True, opacity=0.9).encode(
        size=alt.Size("images:Q", scale=alt.Scale(type="sqrt", range=[20, 300]), legend=None),
        tooltip=alt.Tooltip("detail:N", title=" "),
    )
    ideal = (
        alt.Chart(_rows())
        .mark_rule(color="$muted", strokeDash=[4, 4])
        .encode(x=alt.datum(0), y=alt.datum(0), x2=alt.datum(1), y2=alt.datum(1))
    )
    return alt.layer(ideal, lines, points).properties(width="container", height=300)


def _differences() -> Chart:
    """Rows: range, images, detail."""
    chart: Chart = (
        alt.Chart(_rows())
        .mark_bar(cornerRadiusEnd=2, color="$accent")
        .encode(
            x=alt.X(
                "range:N",
                sort=None,
                title="largest difference of a probability, up to",
                axis=alt.Axis(labelAngle=0, ticks=False, labelOverlap=True),
            ),
            # A square root keeps the few images with large differences in sight.
            y=alt.Y("images:Q", title="images", scale=alt.Scale(type="sqrt"), axis=alt.Axis(tickCount=4)),
            tooltip=alt.Tooltip("detail:N", title=" "),
        )
        .properties(width="container", height=240)
    )
    return chart


def _layers() -> Chart:
    """Rows: layer, sqnr, detail."""
    chart: Chart = (
        alt.Chart(_rows())
        .mark_bar(cornerRadiusEnd=2, color="$accent")
        .encode(
            y=alt.Y("layer:N", sort=None, title=None, axis=alt.Axis(ticks=False, labelLimit=130)),
            x=alt.X("sqnr:Q", title="signal-to-quantization-noise ratio of the output, dB"),
            tooltip=alt.Tooltip("detail:N", title=" "),
        )
        .properties(width="container", height=alt.Step(24))
    )
    return chart
