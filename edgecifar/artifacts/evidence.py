"""Evidence: what a comparison rests on. Counts and unrounded figures, from which every view makes its own."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts.record import Record


class Interval(Record):
    """A 95 % confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How one class fared, as counts."""

    images: int
    """That are of the class."""
    predicted: int
    """That were said to be."""
    correct: int
    """Both."""

    @property
    def recall(self) -> float | None:
        """Share of the class's images that were recognised, its accuracy; None where it has no image."""
        return self.correct / self.images if self.images else None

    @property
    def precision(self) -> float | None:
        """Share of the images said to be of the class that are; None where none was said to be."""
        return self.correct / self.predicted if self.predicted else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None where no image is of the class or said to be."""
        both = self.images + self.predicted
        return 2 * self.correct / both if both else None


class Confusion(Record):
    """How many images of each class were said to be of which."""

    classes: int
    cells: tuple[tuple[int, int, int], ...]
    """(label, prediction, images) where there are any, rising: a thousand classes need no million zeros."""

    @property
    def matrix(self) -> NDArray[np.int64]:
        """Images by label (rows) and prediction (columns), int64 (classes, classes)."""
        matrix = np.zeros((self.classes, self.classes), np.int64)
        for label, prediction, images in self.cells:
            matrix[label, prediction] = images
        return matrix

    @property
    def scores(self) -> tuple[ClassScore, ...]:
        """Each class's counts."""
        matrix = self.matrix
        columns = (matrix.sum(axis=1), matrix.sum(axis=0), matrix.diagonal())
        return tuple(ClassScore(*map(int, counts)) for counts in zip(*columns, strict=True))


class Bin(Record):
    """The images whose top-1 probability lies in one of several ranges of equal width."""

    images: int
    correct: int
    confidence_sum: float
    """Of their top-1 probabilities."""


class Calibration(Record):
    """Whether top-1 probabilities mean what they say."""

    bins: tuple[Bin, ...]
    """Of equal width from 0 to 1; a probability on an edge belongs below it."""

    @property
    def expected_error(self) -> float:
        """Expected calibration error: mean distance of confidence and accuracy in a bin, by images.

        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3.
        """
        total = sum(one.images for one in self.bins)
        return sum(abs(one.correct - one.confidence_sum) for one in self.bins) / total


class Unit(StrEnum):
    """What differences of outputs are counted in."""

    STEPS = "quantization steps"
    PROBABILITY = "probability"


class Distribution(Record):
    """The largest difference of a probability in each image, over all images."""

    unit: Unit
    edges: tuple[float, ...]
    """Of the ranges, rising; the first range begins at 0 and the last holds all that is above."""
    counts: tuple[int, ...]
    """Images in each range: above one edge, up to the next."""
    median: float
    percentile_90: float
    percentile_99: float
    maximum: float


class FlippedImage(Record):
    """An image that reference and candidate classify differently, one of them rightly."""

    image: int
    """Its place in the data's split."""
    label: int
    reference_class: int
    candidate_class: int
    reference_probability: float
    """Of the class that the reference names."""
    candidate_probability: float
    reference_margin: float
    """From the reference's likeliest class down to its second."""
    candidate_margin: float

    @property
    def is_loss(self) -> bool:
        """Whether the reference was right."""
        return self.reference_class == self.label


class Evidence(Record):
    """What a comparison rests on; every interval is of 95 %."""

    accuracy_interval: Interval
    """Of the share of images classified rightly, 0 to 1; Wilson's."""
    agreement_interval: Interval
    """Of the share of images on which both name one class, 0 to 1; Wilson's."""
    drop_interval_pp: Interval
    """Of the loss of accuracy, by the paired bootstrap."""
    drop_score_interval_pp: Interval
    """Of the same by Tango's score, which doesn't shrink to nothing where no image flips."""
    mcnemar_p: float
    """Exact, two-sided: how likely flips so unevenly split are, were both models equally accurate."""
    confusion: Confusion
    reference_confusion: Confusion
    """Of the reference, on these same images."""
    right_to_wrong: tuple[int, ...]
    """Images that the candidate lost, by class."""
    wrong_to_right: tuple[int, ...]
    """Images that the candidate won, by class."""
    calibration: Calibration | None
    """None where the outputs are no probabilities."""
    reference_calibration: Calibration | None
    differences: Distribution
    worst_flips: tuple[FlippedImage, ...]
    """Those on which both models were surest of themselves, lost ones first."""

    @property
    def drop_bound_pp(self) -> float:
        """Upper confidence bound of the drop: the larger of the two intervals' upper ends."""
        return max(self.drop_interval_pp.high, self.drop_score_interval_pp.high)

    @property
    def drop_floor_pp(self) -> float:
        """Lower confidence bound of the drop: the smaller of the two intervals' lower ends."""
        return min(self.drop_interval_pp.low, self.drop_score_interval_pp.low)

    @property
    def class_drops_pp(self) -> tuple[float | None, ...]:
        """Loss of each class's accuracy in percentage points; None where it has no image."""
        pairs = zip(self.reference_confusion.scores, self.confusion.scores, strict=True)
        return tuple(
            100 * (before.correct - after.correct) / after.images if after.images else None
            for before, after in pairs
        )
