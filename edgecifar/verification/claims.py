"""Claims: whether the images prove, allow or contradict that a measured figure is within its limit."""

from dataclasses import dataclass
from enum import Enum, auto

from edgecifar.artifacts import Verdict


class Asked(Enum):
    """What a gate asks of the images."""

    FIGURE = auto()
    """The figure measured on them is within the limit."""
    PROOF = auto()
    """The whole interval of the figure is."""
    VETO = auto()
    """They speak up if no part of the interval is."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure that had better be small, with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def verdict(self, limit: float, asked: Asked) -> Verdict:
        """Returns whether it is at most `limit`; undecided where the images leave that open."""
        fails = self.low > limit if asked is Asked.VETO else self.value > limit
        if fails:
            return Verdict.FAIL
        holds = self.value <= limit if asked is Asked.FIGURE else self.high <= limit
        return Verdict.PASS if holds else Verdict.UNDECIDED

    @property
    def negated(self) -> "Estimate":
        """The same of the figure's negative: of one that had better be large."""
        return Estimate(-self.value, -self.high, -self.low)
