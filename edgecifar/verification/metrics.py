"""Parity metrics: pure functions over the outputs of two models for the same images.

Scores are (N, classes), probabilities or anything that orders the classes alike. The top-1 class is the one
with the highest score, and the first of them at a tie, as in NumPy, TensorFlow and ONNX Runtime.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecifar.errors import VerificationError
from edgecifar.protocol import Array


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


def _require_same_shape(one: Array, other: Array) -> None:
    if one.shape != other.shape:
        raise VerificationError(f"Outputs of shape {one.shape} and {other.shape} cannot be compared.")
