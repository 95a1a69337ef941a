"""The report as Markdown, fit for a comment on a pull request."""

import re

from jinja2 import Environment, PackageLoader, StrictUndefined

from edgecifar.artifacts import ParityReport
from edgecifar.reporting import sentences
from edgecifar.reporting.tables import Align, columns_of, count

_SPECIAL = re.compile(r"([\\`*\[\]<>|#~]|(?<![^\W_])_|_(?![^\W_]))")


def render_markdown(report: ParityReport, picture: str) -> str:
    """Returns the report in GitHub's Markdown.

    Args:
        report: What to show.
        picture: Where the report's picture lies, relative to the Markdown file.
    """
    environment = Environment(
        loader=PackageLoader("edgecifar.reporting"),
        undefined=StrictUndefined,
        # Markdown is no HTML: names and sentences are escaped by the filters `code` and `plain`.
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(code=code, plain=plain, block=block, count=count)
    return environment.get_template("report.md.jinja").render(
        report=report,
        columns=columns_of(report),
        right=Align.RIGHT,
        sentences=sentences,
        picture=picture,
    )


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
