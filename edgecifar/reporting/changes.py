"""Reports side by side: in the terminal, as Markdown and as HTML."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from edgecifar.artifacts.changes import CandidateChanges, Column, Finding, ReportChanges
from edgecifar.reporting.html import html_environment
from edgecifar.reporting.markdown import markdown_environment, markdown_table, plain
from edgecifar.reporting.tables import MINUS, NOTHING, count, interval, percent, points
from edgecifar.reporting.terminal import STYLES

NARROW = 100
"""Columns of a terminal below which the least important figures are left out."""
HEADINGS = ("artifact", "runtime", "", "top-1", "change pp", "drop pp", "95 % interval", "agree", "bytes")
ESSENTIAL = ("artifact", "runtime", "", "top-1", "change pp", "drop pp")


@dataclass(frozen=True, slots=True)
class Line:
    """What one report says of one candidate, as text."""

    cells: dict[str, str]
    """By heading."""
    finding: Finding | None

    @property
    def verdict(self) -> str:
        """As text; a dash where the report lacks the candidate."""
        return NOTHING if self.finding is None else self.finding.verdict.value


def lines(changes: ReportChanges) -> list[Line]:
    """Returns a line for each candidate in each report; the first of a candidate's lines names it."""
    return [_line(changes, row, place) for row in changes.rows for place in range(len(changes.columns))]


def _line(changes: ReportChanges, row: CandidateChanges, place: int) -> Line:
    finding, first = row.findings[place], row.first
    names = (row.artifact, row.runtime) if place == 0 else ("", "")
    label = changes.columns[place].label
    if finding is None:
        return Line(dict(zip(HEADINGS, (*names, label, *[NOTHING] * 6), strict=True)), None)
    change = changes.top1_change_pp(row, place)
    bounds = finding.drop_interval_pp
    size = count(finding.size_bytes)
    if place and first is not None and first.size_bytes != finding.size_bytes:
        grown = finding.size_bytes - first.size_bytes
        size += f" ({'+' if grown > 0 else MINUS}{count(abs(grown))})"
    elif place and first is not None and first.sha256 == finding.sha256:
        size += " (same file)"
    cells = (
        *names,
        label,
        percent(finding.accuracy.rate),
        NOTHING if change is None else points(change),
        points(finding.drop_pp),
        NOTHING if bounds is None else interval(bounds, points),
        percent(finding.agreement),
        size,
    )
    return Line(dict(zip(HEADINGS, cells, strict=True)), finding)


def summary_sentence(changes: ReportChanges) -> str:
    """Returns how many candidates became better, worse or stayed, over all later reports."""
    found = [
        changes.top1_change_pp(row, place) for row in changes.rows for place in range(1, len(changes.columns))
    ]
    known = [change for change in found if change is not None]
    kinds: tuple[tuple[str, Callable[[float], bool]], ...] = (
        ("more accurate", lambda change: change > 0),
        ("less accurate", lambda change: change < 0),
        ("as accurate", lambda change: change == 0),
    )
    parts = [f"{sum(map(test, known))} {word}" for word, test in kinds]
    parts.append(f"{len(found) - len(known)} not comparable")
    return f"Against report {changes.columns[0].label}: {', '.join(parts)}."


def column_phrase(column: Column) -> str:
    """Returns what a report is: where it lies, when it was made, on what, and its verdict."""
    return (
        f"{column.title} ({column.place}), made {column.created}, {column.data}; "
        f"reference {column.reference} {percent(column.reference_accuracy.rate)}; {column.verdict}"
    )


class ChangesView:
    """A rich renderable of reports side by side, for widths from 60 columns up."""

    def __init__(self, changes: ReportChanges) -> None:
        self._changes = changes

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        changes = self._changes
        legend = Table.grid(padding=(0, 2, 0, 0))
        for column in changes.columns:
            legend.add_row(Text(column.label, style="bold"), Text(column_phrase(column)))
        yield legend
        yield Text()
        shown = HEADINGS if options.max_width >= NARROW else ESSENTIAL
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
        for heading in shown:
            is_name = heading in {"artifact", "runtime", ""}
            table.add_column(heading, justify="left" if is_name else "right", overflow="fold")
        table.add_column("verdict")
        for line in lines(changes):
            style = STYLES[line.finding.verdict] if line.finding else "dim"
            table.add_row(*(Text(line.cells[heading]) for heading in shown), Text(line.verdict, style=style))
        yield table
        yield Text()
        yield Text(summary_sentence(changes), style="bold")
        for caveat in changes.caveats:
            yield Text(f"Note: {caveat}", style="yellow")


def render_markdown(changes: ReportChanges) -> str:
    """Returns reports side by side in GitHub's Markdown."""
    heading = [*HEADINGS, "verdict"]
    rule = [":--", ":--", ":--", *["--:"] * 6, ":--"]
    rows = [[*(plain(line.cells[name]) for name in HEADINGS), plain(line.verdict)] for line in lines(changes)]
    return (
        markdown_environment()
        .get_template("changes.md.jinja")
        .render(
            changes=changes,
            summary=summary_sentence(changes),
            phrase=column_phrase,
            table=markdown_table([heading, rule, *rows]),
        )
    )


def render_html(changes: ReportChanges) -> str:
    """Returns reports side by side as one HTML file that needs nothing else."""
    return (
        html_environment()
        .get_template("changes.html.jinja")
        .render(
            changes=changes,
            summary=summary_sentence(changes),
            phrase=column_phrase,
            headings=HEADINGS,
            lines=lines(changes),
        )
    )
