"""A report's files."""

from pathlib import Path

from edgecifar.artifacts import ParityReport
from edgecifar.artifacts.files import write_bytes, write_text
from edgecifar.reporting.markdown import render_markdown
from edgecifar.reporting.picture import draw_png

JSON_NAME, MARKDOWN_NAME, PICTURE_NAME = "report.json", "report.md", "report.png"


def write_report(report: ParityReport, folder: Path) -> tuple[Path, ...]:
    """Writes `report.png`, `report.md` and `report.json`, each whole or not at all, and returns their paths.

    Args:
        report: What to write.
        folder: Where; made if it is not there.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    picture, markdown, data = (folder / name for name in (PICTURE_NAME, MARKDOWN_NAME, JSON_NAME))
    # All views are made before any is written, and the data last: a new report.json has its views beside it.
    png, text = draw_png(report), render_markdown(report, picture=PICTURE_NAME)
    write_bytes(picture, png)
    write_text(markdown, text)
    report.write(data)
    return data, markdown, picture
