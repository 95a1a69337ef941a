"""Parity metrics: pure functions over the outputs of two models for the same images.

Scores are (N, classes), probabilities or anything that orders the classes alike. The top-1 class is the one
with the highest score, and the first of them at a tie, as in NumPy, TensorFlow and ONNX Runtime.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from edgecifar.artifacts import Bin, Calibration, Confusion, Distribution, FlippedImage, Unit
from edgecifar.errors import VerificationError
from edgecifar.protocol import Array

BINS = 15
"""Of the calibration: as many as the paper that `Calibration` names takes."""
STEP_EDGES = tuple(0.5 * 2**power for power in range(10))
"""From half a step, which rounding alone makes, up to 256: all that eight bits have."""
PROBABILITY_EDGES = tuple(2.0**power for power in range(-24, 1))
"""From float32's own rounding, 2^-24, up to 1."""
MOST_LOST, MOST_WON = 12, 6
"""Images in a gallery."""


@dataclass(frozen=True, slots=True)
class Flips:
    """Images whose classification a change of model turned, in both directions."""

    right_to_wrong: int
    wrong_to_right: int


def top1(scores: Array) -> NDArray[np.int64]:
    """Returns the class of the highest score of each image, int64 (N,).

    Args:
        scores: (N, classes).
    """
    classes: NDArray[np.int64] = np.argmax(scores, axis=1)
    return classes


def count_correct(scores: Array, labels: NDArray[np.int64]) -> int:
    """Returns how many images have their label as top-1 class.

    Args:
        scores: (N, classes).
        labels: (N,).
    """
    return int(np.count_nonzero(top1(scores) == labels))


def count_agreements(reference: Array, candidate: Array) -> int:
    """Returns for how many images both name the same top-1 class, right or wrong.

    Args:
        reference: Scores (N, classes).
        candidate: Scores (N, classes).

    Raises:
        VerificationError: The shapes differ.
    """
    _require_same_shape(reference, candidate)
    return int(np.count_nonzero(top1(reference) == top1(candidate)))


def count_flips(reference: Array, candidate: Array, labels: NDArray[np.int64]) -> Flips:
    """Returns how many images the candidate lost and won against the reference.

    Args:
        reference: Scores (N, classes).
        candidate: Scores (N, classes).
        labels: (N,).

    Raises:
        VerificationError: The shapes differ.
    """
    _require_same_shape(reference, candidate)
    was_right, is_right = top1(reference) == labels, top1(candidate) == labels
    return Flips(
        right_to_wrong=int(np.count_nonzero(was_right & ~is_right)),
        wrong_to_right=int(np.count_nonzero(~was_right & is_right)),
    )


def max_difference(reference: Array, candidate: Array) -> float:
    """Returns the largest absolute difference of one score.

    Raises:
        VerificationError: The shapes differ.
    """
    return float(_differences(reference, candidate).max())


def mean_difference(reference: Array, candidate: Array) -> float:
    """Returns the mean absolute difference over images and classes.

    Raises:
        VerificationError: The shapes differ.
    """
    return float(_differences(reference, candidate).mean())


def max_steps(one: Array, other: Array, step: float) -> int:
    """Returns the largest difference between two quantized outputs, in quantization steps.

    Args:
        one: Dequantized, multiples of `step`, (N, classes).
        other: As `one`.
        step: Real value of one quantization step, the same in both.

    Raises:
        VerificationError: The shapes differ.
    """
    return round(float(_differences(one, other).max()) / step)


def count_by_class(images: NDArray[np.bool_], labels: NDArray[np.int64], classes: int) -> tuple[int, ...]:
    """Returns how many of the marked images each class has.

    Args:
        images: (N,), which images count.
        labels: (N,).
        classes: How many there are.
    """
    return tuple(np.bincount(labels[images], minlength=classes).tolist())


def confusion(scores: Array, labels: NDArray[np.int64]) -> Confusion:
    """Returns how many images of each class are said to be of which.

    Args:
        scores: (N, classes).
        labels: (N,).
    """
    classes = scores.shape[1]
    matrix = confusion_matrix(labels, top1(scores), labels=np.arange(classes))
    rows, columns = np.nonzero(matrix)
    cells = zip(rows.tolist(), columns.tolist(), matrix[rows, columns].tolist(), strict=True)
    return Confusion(classes=classes, cells=tuple(cells))


def calibration(probabilities: Array, labels: NDArray[np.int64]) -> Calibration:
    """Returns how often top-1 classes are right, by how probable the model calls them.

    Args:
        probabilities: (N, classes).
        labels: (N,).
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    is_right = top1(probabilities) == labels
    # Rounded sums can exceed one by a little.
    places = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    columns = (
        np.bincount(places, minlength=BINS),
        np.bincount(places[is_right], minlength=BINS),
        np.bincount(places, weights=confidence, minlength=BINS),
    )
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return Calibration(
        bins=tuple(Bin(images=images, correct=right, confidence_sum=total) for images, right, total in rows)
    )


def distribution(reference: Array, candidate: Array, step: float | None) -> Distribution:
    """Returns how the largest difference of a probability in each image is spread over the images.

    Args:
        reference: Probabilities (N, classes).
        candidate: Probabilities (N, classes).
        step: Real value of one step of the candidate's output, to count in; None: in probability.

    Raises:
        VerificationError: The shapes differ.
    """
    largest = _differences(reference, candidate).max(axis=1)
    edges = PROBABILITY_EDGES
    if step is not None:
        largest, edges = largest / step, STEP_EDGES
    places = np.minimum(np.searchsorted(edges, largest, side="left"), len(edges) - 1)
    median, percentile_90, percentile_99 = np.quantile(largest, (0.5, 0.9, 0.99)).tolist()
    return Distribution(
        unit=Unit.PROBABILITY if step is None else Unit.STEPS,
        edges=edges,
        counts=tuple(np.bincount(places, minlength=len(edges)).tolist()),
        median=median,
        percentile_90=percentile_90,
        percentile_99=percentile_99,
        maximum=float(largest.max()),
    )


def worst_flips(
    reference: Array, candidate: Array, labels: NDArray[np.int64], images: NDArray[np.int64]
) -> tuple[FlippedImage, ...]:
    """Returns the flips on which both models were surest of themselves, lost images first.

    Args:
        reference: Scores (N, classes).
        candidate: Scores (N, classes).
        labels: (N,).
        images: (N,), the images' places in their split.

    Raises:
        VerificationError: The shapes differ.
    """
    _require_same_shape(reference, candidate)
    was_right, is_right = top1(reference) == labels, top1(candidate) == labels
    flipped = np.flatnonzero(was_right != is_right)
    if not len(flipped):
        return ()
    margins = _margins(reference[flipped]), _margins(candidate[flipped])
    # Surest first; of equally sure ones the first image.
    order = np.argsort(-(margins[0] + margins[1]), kind="stable")
    lost, won = order[was_right[flipped[order]]][:MOST_LOST], order[is_right[flipped[order]]][:MOST_WON]
    return tuple(
        FlippedImage(
            image=int(images[row]),
            label=int(labels[row]),
            reference_class=int(reference[row].argmax()),
            candidate_class=int(candidate[row].argmax()),
            reference_probability=float(reference[row].max()),
            candidate_probability=float(candidate[row].max()),
            reference_margin=float(margins[0][place]),
            candidate_margin=float(margins[1][place]),
        )
        for place, row in ((place, flipped[place]) for place in (*lost, *won))
    )


def require_finite(scores: Array, subject: str, image_indices: NDArray[np.int64]) -> None:
    """Returns if every score is a number.

    Args:
        scores: (N, classes).
        subject: Who produced them, for the message.
        image_indices: (N,), the images' places in their data set.

    Raises:
        VerificationError: Naming the subject and the first image with NaN or infinity.
    """
    finite = np.isfinite(scores)
    if finite.all():
        return
    row = int(np.argmin(finite.all(axis=1)))
    what = "NaN" if np.isnan(scores[row]).any() else "infinity"
    raise VerificationError(
        f"{subject} produces {what} for image {image_indices[row]}.",
        "The model is damaged, or its arithmetic overflows in this engine: export it again, or leave it out.",
    )


def _differences(reference: Array, candidate: Array) -> NDArray[np.float64]:
    _require_same_shape(reference, candidate)
    return np.abs(candidate.astype(np.float64) - reference.astype(np.float64))


def _margins(scores: Array) -> NDArray[np.float64]:
    """Returns how far the highest score lies above the second, (N,)."""
    second, first = np.partition(scores.astype(np.float64), -2, axis=1)[:, -2:].T
    margins: NDArray[np.float64] = first - second
    return margins


def _require_same_shape(one: Array, other: Array) -> None:
    if one.shape != other.shape:
        raise VerificationError(f"Outputs of shape {one.shape} and {other.shape} cannot be compared.")
