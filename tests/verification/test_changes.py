from pathlib import Path

import pytest

from edgecifar.artifacts import Accuracy, ParityReport
from edgecifar.errors import VerificationError
from edgecifar.verification.changes import compare_reports


@pytest.fixture
def report() -> ParityReport:
    return ParityReport.read(Path(__file__).parent.parent / "reporting" / "real_report.json")


@pytest.fixture
def better(report: ParityReport) -> ParityReport:
    """The same with 10 images more right in the first comparison, of another size, and without the second."""
    first = report.comparisons[0]
    accuracy = Accuracy(correct=first.accuracy.correct + 10, total=first.accuracy.total)
    changed = first.model_copy(update={"accuracy": accuracy, "size_bytes": 7, "sha256": "0" * 64})
    return report.model_copy(update={"comparisons": (changed,)})


def test_the_change_is_against_the_first_report(report: ParityReport, better: ParityReport) -> None:
    changes = compare_reports([("old", report), ("new", better)])
    one, other = changes.rows
    assert [column.label for column in changes.columns] == ["A", "B"]
    assert changes.top1_change_pp(one, 0) is None
    assert changes.top1_change_pp(one, 1) == pytest.approx(1.0)
    assert other.findings[1] is None
    assert changes.top1_change_pp(other, 1) is None


def test_other_images_leave_nothing_to_subtract_and_are_said(
    report: ParityReport, better: ParityReport
) -> None:
    moved = better.model_copy(update={"data_fingerprint": "other", "reference_sha256": "other", "cpu": "Z80"})
    changes = compare_reports([("old", report), ("new", moved)])
    assert changes.top1_change_pp(changes.rows[0], 1) is None
    told = " ".join(changes.caveats)
    assert "B ran on other images than A" in told
    assert "B has another reference than A" in told
    assert "B ran on another CPU than A: Z80;" in told


def test_the_same_report_has_no_caveats(report: ParityReport) -> None:
    assert compare_reports([("a", report), ("b", report)]).caveats == ()


def test_one_report_is_nothing_to_compare(report: ParityReport) -> None:
    with pytest.raises(VerificationError, match="1 reports cannot be compared"):
        compare_reports([("a", report)])
