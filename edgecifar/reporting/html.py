"""The report as one HTML file that needs nothing else: no network, no other file."""

import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edgecifar.artifacts import Interval, ParityReport, Verdict
from edgecifar.reporting import charts, explaining, figures, sentences, tables
from edgecifar.reporting.library import chart_library
from edgecifar.reporting.tables import (
    ARTIFACT,
    RUNTIME,
    VERDICT,
    Column,
    columns_of,
    interval,
    percent,
    points,
)

ANSWERS = {
    Verdict.PASS: "Yes",
    Verdict.FAIL: "No",
    Verdict.UNDECIDED: "Not proven",
    Verdict.NONE: "No gate was set",
}
SYMBOLS = {Verdict.PASS: "✓", Verdict.FAIL: "✕", Verdict.UNDECIDED: "?", Verdict.NONE: "–"}


@dataclass(frozen=True, slots=True)
class Headline:
    """One of the three numbers on the first screen."""

    label: str
    value: str
    interval: str
    detail: str


def render_html(report: ParityReport) -> str:
    """Returns the whole page."""
    return (
        html_environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            answer=ANSWERS[report.verdict],
            verdict=report.verdict,
            headlines=headlines(report),
            columns=_verdict_early(columns_of(report)),
            decisive=decisive_index(report),
            # Once each: its runs in several engines are of one file.
            artifacts=list({one.sha256: one for one in report.comparisons}.values()),
            sentences=sentences,
            figures=figures,
            explaining=explaining,
            charts=chart_content(report),
            library=Markup(chart_library()),  # noqa: S704  it is the library itself
        )
    )


def _verdict_early(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Returns the columns with the verdict behind the names: a phone shows the first few only."""
    first = (ARTIFACT, RUNTIME, VERDICT)
    return (*first, *(column for column in columns if column not in first))


def html_environment() -> Environment:
    """Returns Jinja's environment for HTML, which escapes whatever a report says."""
    environment = Environment(
        loader=PackageLoader("edgecifar.reporting"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=tables.count,
        points=points,
        percent=percent,
        share=figures.share,
        decibels=figures.decibels,
        difference=tables.difference,
        signed=figures.signed,
        p_value=tables.p_value,
        span_pp=lambda found: interval(found, points),
        script=script_json,
    )
    environment.globals.update(symbols=SYMBOLS, source=template_source, Verdict=Verdict)
    return environment


def headlines(report: ParityReport) -> tuple[Headline, ...]:
    """Returns the three numbers of the comparison on which the answer hangs."""
    one = sentences.decisive(report)
    if one is None:
        return ()
    lost, won = one.right_to_wrong, one.wrong_to_right
    evidence = one.evidence
    accuracy, agreement, drop = (
        (evidence.accuracy_interval, evidence.agreement_interval, evidence.drop_interval_pp)
        if evidence
        else (None, None, None)
    )
    reference = percent(one.reference_correct / one.accuracy.total)
    return (
        Headline(
            "Accuracy lost",
            f"{points(one.drop_pp)} pp",
            "" if drop is None else interval(drop, points),
            f"{tables.count(lost)} images lost, {tables.count(won)} won",
        ),
        Headline(
            "Top-1 accuracy",
            percent(one.accuracy.rate),
            _shares(accuracy),
            f"reference {reference} on the same {tables.count(one.accuracy.total)} images",
        ),
        Headline(
            "Agreement",
            percent(one.agreement),
            _shares(agreement),
            f"same class as the reference on {tables.count(one.agreements)} images",
        ),
    )


def decisive_index(report: ParityReport) -> int:
    """Returns the place of the comparison that the page opens with."""
    one = sentences.decisive(report)
    return 0 if one is None else report.comparisons.index(one)


def chart_content(report: ParityReport) -> dict[str, Any]:
    """Returns what the page's script draws: the specifications, each table once, and the pictures."""
    distinct: dict[str, int] = {}

    def place(rows: list[figures.Row]) -> int:
        """Returns the place of these rows among the tables, as column names and values."""
        names = list(rows[0]) if rows else []
        table = json.dumps({"columns": names, "rows": [list(row.values()) for row in rows]})
        return distinct.setdefault(table, len(distinct))

    return {
        "specs": charts.chart_specs(),
        "drops": place(figures.drop_rows(report)),
        "layers": [place(figures.layer_rows(one)) for one in report.layers],
        "comparisons": [
            {name: place(rows) for name, rows in figures.chart_rows(one, report.class_names).items()}
            for one in report.comparisons
        ],
        "tables": [json.loads(table) for table in distinct],
        "images": report.images,
    }


def template_source(name: str) -> Markup:
    """Returns a file among the templates as it is: the page's own style sheet and script."""
    text = resources.files("edgecifar.reporting").joinpath("templates", name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704  it is the package's own


def script_json(content: Any) -> Markup:
    """Returns JSON that cannot end the script's element that holds it."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)  # noqa: S704  escaped above


def _shares(found: Interval | None) -> str:
    return "" if found is None else interval(found, percent)
