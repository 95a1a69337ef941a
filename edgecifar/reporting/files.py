"""A report's files."""

from pathlib import Path

from edgecifar.artifacts import ParityReport
from edgecifar.artifacts.files import write_bytes
from edgecifar.reporting.html import render_html
from edgecifar.reporting.junit import render_junit
from edgecifar.reporting.markdown import render_markdown
from edgecifar.reporting.picture import draw_png

JSON_NAME, PICTURE_NAME = "report.json", "report.png"
HTML_NAME, MARKDOWN_NAME, JUNIT_NAME = "index.html", "report.md", "junit.xml"


def write_report(report: ParityReport, folder: Path) -> tuple[Path, ...]:
    """Writes all views of a report, each whole or not at all, and returns their paths, the HTML file first.

    Args:
        report: What to write.
        folder: Where; made if it is not there.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    # All views are made before any is written, and the data last: a new report.json has its views beside it.
    views = {
        HTML_NAME: render_html(report).encode(),
        PICTURE_NAME: draw_png(report),
        MARKDOWN_NAME: render_markdown(report, picture=PICTURE_NAME).encode(),
        JUNIT_NAME: render_junit(report).encode(),
    }
    for name, content in views.items():
        write_bytes(folder / name, content)
    report.write(folder / JSON_NAME)
    return tuple(folder / name for name in (*views, JSON_NAME))
