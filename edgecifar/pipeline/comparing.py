"""compare: what changed from one report to the next."""

from collections.abc import Sequence
from pathlib import Path

from edgecifar.artifacts import ParityReport
from edgecifar.artifacts.changes import ReportChanges
from edgecifar.errors import ModelError
from edgecifar.verification.changes import compare_reports

NAME = "report.json"


def compare(places: Sequence[Path | str]) -> ReportChanges:
    """Returns reports side by side, the first the one that the others are held against.

    Args:
        places: Reports' files, their folders, or bundles that hold one; at least two.

    Raises:
        ModelError: A place has no report, or one that cannot be read.
        VerificationError: There are fewer than two.
    """
    found = [find_report(Path(place)) for place in places]
    return compare_reports([(str(path), ParityReport.read(path)) for path in found])


def find_report(place: Path) -> Path:
    """Returns the file of the report at a place: itself, in that folder, or in that bundle.

    Raises:
        ModelError: There is none.
    """
    if place.is_file():
        return place
    for path in (place / NAME, place / "report" / NAME):
        if path.is_file():
            return path
    raise ModelError(
        f"{place}: there is no report.", f"Name a {NAME}, the folder that holds it, or a bundle with one."
    )
