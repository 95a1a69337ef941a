"""The report in a terminal: a table that leaves columns out where there is no room."""

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from edgecifar.artifacts import ParityReport, Verdict
from edgecifar.reporting import sentences
from edgecifar.reporting.tables import ARTIFACT, VERDICT, Column, columns_of, fit

ROOMY = 100
STYLES = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.UNDECIDED: "bold yellow",
    Verdict.NONE: "dim",
}


class ReportView:
    """A rich renderable of a report, for widths from 60 columns up.

    Colour only underlines what the words say; rich leaves it out where NO_COLOR is set.
    """

    def __init__(self, report: ParityReport) -> None:
        self._report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        report = self._report
        gap = 2 if options.max_width >= ROOMY else 1
        all_columns = columns_of(report)
        columns = fit(all_columns, report.comparisons, options.max_width, gap)
        yield _labelled(
            ("Reference", sentences.reference_phrase(report)),
            ("CPU", " · ".join((report.cpu, *report.cpu_flags))),
            *sentences.runtimes(report),
        )
        yield Text()
        yield _matrix(report, columns, gap)
        yield Text()
        yield from _below(report, [column for column in all_columns if column not in columns])


def _labelled(*rows: tuple[str, str]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for label, content in rows:
        grid.add_row(Text(label), Text(content))
    return grid


def _matrix(report: ParityReport, columns: tuple[Column, ...], gap: int) -> Table:
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        # Names of files may be of any length; figures never break.
        table.add_column(
            "\n".join(column.lines),
            justify=column.align.value,
            vertical="bottom" if column is not ARTIFACT else "top",
            no_wrap=column is not ARTIFACT,
            overflow="fold",
        )
    previous = None
    for comparison in report.comparisons:
        cells = [Text(column.cell(comparison)) for column in columns]
        if comparison.artifact == previous:
            cells[columns.index(ARTIFACT)] = Text()
        cells[columns.index(VERDICT)].stylize(STYLES[comparison.verdict])
        table.add_row(*cells)
        previous = comparison.artifact
    return table


def _below(report: ParityReport, left_out: list[Column]) -> Iterator[Text]:
    verdict = report.verdict
    yield Text(
        sentences.verdict_sentence(report), style="bold" if verdict is Verdict.NONE else STYLES[verdict]
    )
    for required in sentences.gate_sentences(report):
        yield Text(required)
    for broken in sentences.broken_gates(report):
        yield Text(f"Failed: {broken}", style="red")
    for undecided in sentences.undecided_gates(report):
        yield Text(f"Undecided: {undecided}", style="yellow")
    if report.excused:
        yield Text(sentences.excused_summary(report), style="yellow")
    for skipped in report.skipped:
        yield Text(f"Skipped: {skipped}", style="yellow")
    for note in report.notes:
        yield Text(f"Note: {note}")
    if sentences.steps_sentence(report):
        yield Text(sentences.steps_sentence(report), style="dim")
    if left_out:
        names = ", ".join(column.heading for column in left_out)
        yield Text(f"Left out at this width, but in the report: {names}.", style="dim")
