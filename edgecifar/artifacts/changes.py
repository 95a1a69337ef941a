"""Changes: two or more reports held side by side, candidate by candidate."""

from edgecifar.artifacts.evidence import Interval
from edgecifar.artifacts.gate import Verdict
from edgecifar.artifacts.record import Record
from edgecifar.artifacts.run import Accuracy


class Column(Record):
    """One of the reports."""

    label: str
    """"A", "B" ..."""
    place: str
    """Where it was read from."""
    title: str
    created: str
    reference: str
    reference_accuracy: Accuracy
    data: str
    """How many images of which split and source."""
    data_fingerprint: str
    verdict: Verdict
    """The gravest of its comparisons'."""


class Finding(Record):
    """What one report says of a candidate."""

    sha256: str
    size_bytes: int
    accuracy: Accuracy
    drop_pp: float
    drop_interval_pp: Interval | None
    """None in reports of version 1."""
    agreement: float
    images_per_s: float | None
    verdict: Verdict


class CandidateChanges(Record):
    """One candidate in every report."""

    artifact: str
    runtime: str
    findings: tuple[Finding | None, ...]
    """One for each report, in order; None where it has no such candidate."""

    @property
    def first(self) -> Finding | None:
        """What the first report says, which the others are held against."""
        return self.findings[0]


class ReportChanges(Record):
    """Two or more reports side by side, the first the one that the others are held against."""

    columns: tuple[Column, ...]
    rows: tuple[CandidateChanges, ...]
    caveats: tuple[str, ...]
    """What else than the models differs, one sentence each."""

    def top1_change_pp(self, row: CandidateChanges, place: int) -> float | None:
        """Returns how much accuracy rose from the first report to another, in percentage points.

        Args:
            row: The candidate.
            place: Which report.

        Returns:
            None where either lacks the candidate, or they ran on other images: then there is no change to
            speak of.
        """
        first, other = row.first, row.findings[place]
        if place == 0 or first is None or other is None:
            return None
        same_images = (
            self.columns[0].data_fingerprint == self.columns[place].data_fingerprint
            and first.accuracy.total == other.accuracy.total
        )
        return 100 * (other.accuracy.rate - first.accuracy.rate) if same_images else None
