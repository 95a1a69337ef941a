"""Tables: how figures are written, and the columns of a report's table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from edgecifar.artifacts import Comparison, ParityReport

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


def difference(value: float) -> str:
    """Returns a difference of probabilities with four decimals, or its magnitude where those are zero."""
    if value == 0:
        return "0"
    return f"{value:.0e}" if value < ALMOST_NOTHING else f"{value:.4f}"


class Align(StrEnum):
    """On which side of its column a cell stands."""

    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a report's table."""

    lines: tuple[str, ...]
    """The heading, as it breaks where there is little room."""
    cell: Callable[[Comparison], str]
    align: Align = Align.RIGHT
    importance: int = 0
    """Columns of the lowest go first where there is no room for all; 0: never."""

    @property
    def heading(self) -> str:
        """The heading in one line."""
        return " ".join(self.lines).replace(" /", "/")


def _max_steps(comparison: Comparison) -> str:
    return NOTHING if comparison.max_twin_steps is None else count(comparison.max_twin_steps)


def _flips(comparison: Comparison) -> str:
    return f"{count(comparison.right_to_wrong)}/{count(comparison.wrong_to_right)}"


ARTIFACT = Column(("artifact",), lambda comparison: comparison.artifact, Align.LEFT)
VERDICT = Column(("verdict",), lambda comparison: comparison.verdict.value, Align.LEFT)
STEPS = Column(("max", "step"), _max_steps, importance=6)
IMAGES = Column(("images",), lambda comparison: count(comparison.accuracy.total), importance=7)
COLUMNS = (
    ARTIFACT,
    Column(("runtime",), lambda comparison: comparison.engine.runtime, Align.LEFT),
    IMAGES,
    Column(("top-1",), lambda comparison: percent(comparison.accuracy.rate), importance=9),
    Column(("drop", "pp"), lambda comparison: points(comparison.drop_pp)),
    Column(("agree",), lambda comparison: percent(comparison.agreement), importance=8),
    Column(("max", "diff"), lambda comparison: difference(comparison.max_difference), importance=3),
    Column(("mean", "diff"), lambda comparison: difference(comparison.mean_difference), importance=1),
    STEPS,
    Column(("flips", f"{MINUS}/+"), _flips, importance=4),
    Column(("bytes",), lambda comparison: count(comparison.size_bytes), importance=5),
    Column(("images", "/s"), lambda comparison: count(comparison.images_per_s), importance=2),
    VERDICT,
)


def columns_of(report: ParityReport) -> tuple[Column, ...]:
    """Returns the columns that say something in this report.

    How many images each candidate saw, and its steps to a twin, are left out where no row differs or has any.
    """
    comparisons = report.comparisons
    empty = []
    if all(comparison.accuracy.total == report.reference_accuracy.total for comparison in comparisons):
        empty.append(IMAGES)
    if all(comparison.max_twin_steps is None for comparison in comparisons):
        empty.append(STEPS)
    return tuple(column for column in COLUMNS if column not in empty)


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
