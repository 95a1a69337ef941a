"""The report as Markdown, fit for a comment on a pull request."""

import re
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from edgecifar.artifacts import Comparison, ParityReport
from edgecifar.artifacts.layers import LayersReport
from edgecifar.reporting import explaining, sentences
from edgecifar.reporting.explaining import layer_grid
from edgecifar.reporting.tables import SUMMARY, Align, Column, columns_of, count

_SPECIAL = re.compile(r"([\\`*\[\]<>|#~]|(?<![^\W_])_|_(?![^\W_]))")


def render_markdown(report: ParityReport, picture: str) -> str:
    """Returns the report in GitHub's Markdown.

    Args:
        report: What to show.
        picture: Where the report's picture lies, relative to the Markdown file.
    """
    return (
        markdown_environment()
        .get_template("report.md.jinja")
        .render(
            report=report,
            summary=columns_of(report, SUMMARY),
            columns=columns_of(report),
            table=lambda columns: comparison_table(columns, report.comparisons),
            layers_table=layers_table,
            explaining=explaining,
            sentences=sentences,
            picture=picture,
        )
    )


def markdown_environment() -> Environment:
    """Returns Jinja's environment for Markdown: names and sentences are escaped by `code` and `plain`."""
    environment = Environment(
        loader=PackageLoader("edgecifar.reporting"),
        undefined=StrictUndefined,
        # Markdown is no HTML.
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(code=code, plain=plain, block=block, count=count)
    return environment


def comparison_table(columns: Sequence[Column], comparisons: Sequence[Comparison]) -> str:
    """Returns a Markdown table with a row for each comparison."""
    heading = [column.heading for column in columns]
    rule = ["--:" if column.align is Align.RIGHT else ":--" for column in columns]
    rows = [[plain(column.cell(comparison)) for column in columns] for comparison in comparisons]
    return markdown_table([heading, rule, *rows])


def layers_table(report: LayersReport) -> str:
    """Returns a Markdown table with a row for each layer."""
    heading, *rows = layer_grid(report)
    rule = [":--", *("--:" for _ in heading[1:])]
    return markdown_table([heading, rule, *([plain(cell) for cell in row] for row in rows)])


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Returns rows of cells, the second one the rule, as the lines of a Markdown table."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def plain(text: str) -> str:
    """Returns text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """Returns text as a code span on one line, also within a table's cell."""
    text = " ".join(text.split()).replace("|", r"\|")
    fence = "`" * (_longest_run(text) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def block(text: str) -> str:
    """Returns text as a fenced block of code."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
