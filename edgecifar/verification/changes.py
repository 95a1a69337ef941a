"""Changes: holds two or more reports side by side."""

from collections.abc import Callable, Sequence
from string import ascii_uppercase

from edgecifar.artifacts import Comparison, ParityReport
from edgecifar.artifacts.changes import CandidateChanges, Column, Finding, ReportChanges
from edgecifar.errors import VerificationError

MOST_REPORTS = len(ascii_uppercase)

Key = tuple[str, str]
"""Artifact and runtime, by which candidates of two reports are the same."""


def compare_reports(reports: Sequence[tuple[str, ParityReport]]) -> ReportChanges:
    """Returns reports side by side: every candidate that any of them has, by artifact and runtime.

    Args:
        reports: At least two, each with the place that it was read from; the first is what the others are
            held against.

    Raises:
        VerificationError: There are fewer than two, or more than there are letters to call them by.
    """
    if not 2 <= len(reports) <= MOST_REPORTS:
        raise VerificationError(
            f"{len(reports)} reports cannot be compared.", f"Name 2 to {MOST_REPORTS} of them."
        )
    columns = tuple(
        _column(label, place, report)
        for label, (place, report) in zip(ascii_uppercase, reports, strict=False)
    )
    found = [{_key(one): one for one in report.comparisons} for _, report in reports]
    keys = dict.fromkeys(key for one in found for key in one)
    rows = tuple(
        CandidateChanges(
            artifact=artifact,
            runtime=runtime,
            findings=tuple(_finding(one.get((artifact, runtime))) for one in found),
        )
        for artifact, runtime in keys
    )
    return ReportChanges(columns=columns, rows=rows, caveats=_caveats(columns, [one for _, one in reports]))


def _key(comparison: Comparison) -> Key:
    return comparison.artifact, comparison.engine.runtime


def _column(label: str, place: str, report: ParityReport) -> Column:
    return Column(
        label=label,
        place=place,
        title=report.title,
        created=report.created,
        reference=report.reference,
        reference_accuracy=report.reference_accuracy,
        data=f"{report.reference_accuracy.total:,} {report.data_split} images of {report.data_source}",
        data_fingerprint=report.data_fingerprint,
        verdict=report.verdict,
    )


def _finding(comparison: Comparison | None) -> Finding | None:
    if comparison is None:
        return None
    evidence = comparison.evidence
    return Finding(
        sha256=comparison.sha256,
        size_bytes=comparison.size_bytes,
        accuracy=comparison.accuracy,
        drop_pp=comparison.drop_pp,
        drop_interval_pp=None if evidence is None else evidence.drop_interval_pp,
        agreement=comparison.agreement,
        images_per_s=comparison.images_per_s,
        verdict=comparison.verdict,
    )


def _caveats(columns: Sequence[Column], reports: Sequence[ParityReport]) -> tuple[str, ...]:
    """Returns a sentence for each thing beside the models in which a report differs from the first."""
    first, *others = zip(columns, reports, strict=True)
    return tuple(
        sentence.format(label=column.label, first=first[0].label, now=of(report), before=of(first[1]))
        for column, report in others
        for of, sentence in _CIRCUMSTANCES
        if of(report) != of(first[1])
    )


_CIRCUMSTANCES: tuple[tuple[Callable[[ParityReport], str], str], ...] = (
    (
        lambda report: report.data_fingerprint,
        "{label} ran on other images than {first}, so their accuracies are not to be subtracted.",
    ),
    (
        lambda report: report.reference_sha256,
        "{label} has another reference than {first}: its drops are from another height.",
    ),
    (
        lambda report: report.policy.model_dump_json(),
        "{label} was held to other gates than {first}, so their verdicts may differ for that alone.",
    ),
    (
        lambda report: f"{report.cpu}; {', '.join(report.cpu_flags)}",
        "{label} ran on another CPU than {first}: {now}, before {before}.",
    ),
    (
        lambda report: ", ".join(
            sorted({f"{one.engine.engine} {one.engine.version}" for one in report.comparisons})
        ),
        "{label} ran in other engines than {first}: {now}, before {before}.",
    ),
)
