"""Tables: how figures are written, and the columns of a report's table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from edgecifar.artifacts import Comparison, Interval, ParityReport

NOTHING = "–"
MINUS = "−"
ALMOST_ALL = 0.99995
ALMOST_NOTHING = 0.00005


def percent(rate: float) -> str:
    """Returns a share of 0 to 1 as "91.65 %"; 100.00 % is said of a whole only."""
    if ALMOST_ALL <= rate < 1:
        return ">99.99 %"
    return f"{100 * rate:.2f} %"


def points(difference_pp: float) -> str:
    """Returns a difference in percentage points with its sign: "+0.04", "−0.10", "0.00"."""
    text = f"{abs(difference_pp):.2f}"
    if float(text) == 0:
        return text
    return f"{'+' if difference_pp > 0 else MINUS}{text}"


def count(number: float) -> str:
    """Returns a whole number with thousands separators: "326,792"."""
    return f"{number:,.0f}"


def interval(found: Interval, write: Callable[[float], str]) -> str:
    """Returns an interval, "[−0.26, +0.27]", its ends written by `write`."""
    return f"[{write(found.low)}, {write(found.high)}]"


def difference(value: float) -> str:
    """Returns a difference of probabilities with four decimals, or its magnitude where those are zero."""
    if value == 0:
        return "0"
    return f"{value:.0e}" if value < ALMOST_NOTHING else f"{value:.4f}"


class Align(StrEnum):
    """On which side of its column a cell stands."""

    LEFT = "left"
    RIGHT = "right"


Value = float | str | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a report's table."""

    lines: tuple[str, ...]
    """The heading, as it breaks where there is little room."""
    value: Callable[[Comparison], Value]
    """What the column shows, and is sorted by; None: nothing."""
    write: Callable[[Comparison], str]
    """The value as text; not asked where there is none."""
    align: Align = Align.RIGHT
    importance: int = 0
    """Columns of the lowest go first where there is no room for all; 0: never."""

    @property
    def heading(self) -> str:
        """The heading in one line."""
        return " ".join(self.lines).replace(" /", "/")

    def cell(self, comparison: Comparison) -> str:
        """Returns the value as text, a dash where there is none."""
        return NOTHING if self.value(comparison) is None else self.write(comparison)


def _words(heading: str, value: Callable[[Comparison], str]) -> Column:
    return Column((heading,), value, value, Align.LEFT)


def _figure(
    lines: tuple[str, ...],
    value: Callable[[Comparison], float | None],
    write: Callable[[float], str],
    importance: int,
) -> Column:
    return Column(lines, value, lambda comparison: write(value(comparison) or 0.0), importance=importance)


def _interval_text(comparison: Comparison) -> str:
    return "" if comparison.evidence is None else interval(comparison.evidence.drop_interval_pp, points)


def _worst_class_drop(comparison: Comparison) -> float | None:
    if comparison.evidence is None:
        return None
    return max((drop for drop in comparison.evidence.class_drops_pp if drop is not None), default=None)


def _calibration_error(comparison: Comparison) -> float | None:
    if comparison.evidence is None or comparison.evidence.calibration is None:
        return None
    return comparison.evidence.calibration.expected_error


def p_value(p: float) -> str:
    """Returns a p-value with two digits."""
    return "1" if p >= 0.995 else f"{p:.2g}"


ARTIFACT = _words("artifact", lambda comparison: comparison.artifact)
RUNTIME = _words("runtime", lambda comparison: comparison.engine.runtime)
VERDICT = _words("verdict", lambda comparison: comparison.verdict.value)
STEPS = _figure(("max", "step"), lambda comparison: comparison.max_twin_steps, count, 9)
REFERENCE_STEPS = _figure(
    ("ref", "step"),
    lambda comparison: comparison.reference_kernels.max_steps if comparison.reference_kernels else None,
    count,
    9,
)
EXACT = _figure(
    ("bit", "exact"),
    lambda comparison: (
        comparison.reference_kernels.exact_images / comparison.reference_kernels.images
        if comparison.reference_kernels
        else None
    ),
    percent,
    8,
)
IMAGES = _figure(("images",), lambda comparison: comparison.accuracy.total, count, 11)
DROP = _figure(("drop", "pp"), lambda comparison: comparison.drop_pp, points, 0)
INTERVAL = Column(
    ("95 %", "interval"),
    lambda comparison: None if comparison.evidence is None else comparison.evidence.drop_bound_pp,
    _interval_text,
    importance=13,
)
TOP1 = _figure(("top-1",), lambda comparison: comparison.accuracy.rate, percent, 14)
AGREE = _figure(("agree",), lambda comparison: comparison.agreement, percent, 12)
FLIPS = Column(
    ("flips", f"{MINUS}/+"),
    lambda comparison: comparison.right_to_wrong,
    lambda comparison: f"{count(comparison.right_to_wrong)}/{count(comparison.wrong_to_right)}",
    importance=7,
)
BYTES = _figure(("bytes",), lambda comparison: comparison.size_bytes, count, 8)
MCNEMAR = _figure(
    ("McNemar", "p"),
    lambda comparison: None if comparison.evidence is None else comparison.evidence.mcnemar_p,
    p_value,
    4,
)
WORST_CLASS = _figure(("worst", "class pp"), _worst_class_drop, points, 5)
CALIBRATION = _figure(("ECE",), _calibration_error, percent, 3)
COLUMNS = (
    ARTIFACT,
    RUNTIME,
    IMAGES,
    TOP1,
    DROP,
    INTERVAL,
    MCNEMAR,
    WORST_CLASS,
    AGREE,
    _figure(("max", "diff"), lambda comparison: comparison.max_difference, difference, 6),
    _figure(("mean", "diff"), lambda comparison: comparison.mean_difference, difference, 1),
    STEPS,
    REFERENCE_STEPS,
    EXACT,
    FLIPS,
    CALIBRATION,
    BYTES,
    _figure(("images", "/s"), lambda comparison: comparison.images_per_s, count, 2),
    VERDICT,
)
SUMMARY = (ARTIFACT, RUNTIME, IMAGES, TOP1, DROP, INTERVAL, AGREE, FLIPS, BYTES, VERDICT)
"""The columns that fit into a comment on a pull request."""


def columns_of(report: ParityReport, columns: Sequence[Column] = COLUMNS) -> tuple[Column, ...]:
    """Returns the columns that say something in this report.

    Those that nobody has a value for are left out, and how many images each candidate saw where all saw those
    of the reference.
    """
    comparisons = report.comparisons
    saw_all = all(one.accuracy.total == report.reference_accuracy.total for one in comparisons)
    return tuple(
        column
        for column in columns
        if not (column is IMAGES and saw_all)
        and any(column.value(comparison) is not None for comparison in comparisons)
    )


def fit(
    columns: Sequence[Column], comparisons: Sequence[Comparison], width: int, gap: int
) -> tuple[Column, ...]:
    """Returns the columns that fit beside each other, the least important left out until they do.

    Args:
        columns: All that could be shown, in order.
        comparisons: The rows.
        width: Characters in a line.
        gap: Characters between two columns.
    """
    kept = list(columns)
    while _width(kept, comparisons, gap) > width:
        spare = [column for column in kept if column.importance]
        if not spare:
            break
        kept.remove(min(spare, key=lambda column: column.importance))
    return tuple(kept)


def _width(columns: Sequence[Column], comparisons: Sequence[Comparison], gap: int) -> int:
    widths = [
        max(len(text) for text in (*column.lines, *(column.cell(row) for row in comparisons)))
        for column in columns
    ]
    return sum(widths) + gap * (len(columns) - 1)
