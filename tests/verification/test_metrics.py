import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from edgecifar.artifacts import Unit
from edgecifar.errors import VerificationError
from edgecifar.protocol import TensorInfo
from edgecifar.verification import metrics

LABELS = np.array([0, 1, 2, 1])
REFERENCE = np.array(
    [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2], [0.1, 0.8, 0.1]], np.float32
)  # 0 1 0 1
CANDIDATE = np.array(
    [[0.6, 0.3, 0.1], [0.1, 0.4, 0.5], [0.1, 0.3, 0.6], [0.2, 0.7, 0.1]], np.float32
)  # 0 2 2 1

INT8 = TensorInfo("int8", (None, 3), "int8", 1 / 256, -128)
UINT8 = TensorInfo("uint8", (None, 3), "uint8", 1 / 256, 0)


def test_counts_of_a_hand_computed_pair() -> None:
    assert metrics.count_correct(REFERENCE, LABELS) == 3
    assert metrics.count_correct(CANDIDATE, LABELS) == 3
    assert metrics.count_agreements(REFERENCE, CANDIDATE) == 2
    assert metrics.count_flips(REFERENCE, CANDIDATE, LABELS) == metrics.Flips(
        right_to_wrong=1, wrong_to_right=1
    )


def test_disagreement_of_two_wrong_answers_is_no_flip() -> None:
    one, other = np.array([[0.9, 0.1, 0.0]]), np.array([[0.1, 0.9, 0.0]])
    assert metrics.count_agreements(one, other) == 0
    assert metrics.count_flips(one, other, np.array([2])) == metrics.Flips(0, 0)


def test_first_class_wins_a_tie() -> None:
    assert metrics.top1(np.array([[0.2, 0.4, 0.4]])).tolist() == [1]


def test_differences_are_absolute_and_over_images_and_classes() -> None:
    one, other = np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[0.25, 0.75], [1.0, 0.0]])
    assert metrics.max_difference(one, other) == 0.25
    assert metrics.mean_difference(one, other) == 0.125


def test_steps_count_how_far_quantized_outputs_lie_apart() -> None:
    one, other = np.array([[0.0, 255 / 256, 0.5]], np.float32), np.array([[0.0, 252 / 256, 0.5]], np.float32)
    assert metrics.max_steps(one, other, 1 / 256) == 3
    assert metrics.max_steps(one, one, 1 / 256) == 0


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_values_that_are_no_numbers_are_named_with_their_image(value: float, word: str) -> None:
    scores = np.zeros((3, 2), np.float32)
    scores[1, 1] = value
    with pytest.raises(VerificationError, match=rf"^model\.onnx in ort-cpu produces {word} for image 17\."):
        metrics.require_finite(scores, "model.onnx in ort-cpu", np.array([4, 17, 30]))
    metrics.require_finite(scores[[0, 2]], "model.onnx in ort-cpu", np.array([4, 30]))


def test_shapes_must_match() -> None:
    with pytest.raises(VerificationError, match=r"\(4, 3\) and \(3, 3\)"):
        metrics.count_agreements(REFERENCE, CANDIDATE[:3])
    with pytest.raises(VerificationError, match="cannot be compared"):
        metrics.max_difference(REFERENCE, CANDIDATE[:, :2])


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40),
)
def test_flips_account_for_the_whole_change_of_accuracy(rows: list[tuple[int, int, int]]) -> None:
    labels, before, after = (np.array(column) for column in zip(*rows, strict=True))
    reference, candidate = np.eye(3)[before], np.eye(3)[after]
    flips = metrics.count_flips(reference, candidate, labels)
    change = metrics.count_correct(candidate, labels) - metrics.count_correct(reference, labels)
    assert flips.wrong_to_right - flips.right_to_wrong == change
    assert flips.wrong_to_right + flips.right_to_wrong <= len(rows) - metrics.count_agreements(
        reference, candidate
    )


def test_confusion_by_hand() -> None:
    found = metrics.confusion(CANDIDATE, LABELS)
    assert found.matrix.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert found.cells == ((0, 0, 1), (1, 1, 1), (1, 2, 1), (2, 2, 1))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_scores_of_classes_are_scikit_learns(rows: list[tuple[int, int]]) -> None:
    labels, predictions = (np.array(column) for column in zip(*rows, strict=True))
    found = metrics.confusion(np.eye(4)[predictions], labels).scores
    expected = precision_recall_fscore_support(labels, predictions, labels=range(4), zero_division=np.nan)
    for score, precision, recall, f1, support in zip(found, *expected, strict=True):
        assert score.images == support
        nothing = float("nan")
        assert (nothing if score.precision is None else score.precision) == pytest.approx(
            precision, nan_ok=True
        )
        assert (nothing if score.recall is None else score.recall) == pytest.approx(recall, nan_ok=True)
        if score.f1 is not None:
            assert score.f1 == pytest.approx(f1)


def test_calibration_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [1.0, 0.0]])
    found = metrics.calibration(probabilities, np.array([0, 1, 1, 0]))
    filled = {place: one for place, one in enumerate(found.bins) if one.images}
    assert len(found.bins) == 15
    # 0.9 lies in the 14th fifteenth, 0.6 on the 9th's upper edge, 1 in the last.
    assert {place: (one.images, one.correct) for place, one in filled.items()} == {
        8: (1, 1),
        13: (2, 1),
        14: (1, 1),
    }
    assert found.expected_error == pytest.approx((0.4 + abs(1 - 1.8) + 0) / 4)


def test_distribution_in_steps_by_hand() -> None:
    reference = np.zeros((4, 2))
    candidate = np.array([[0.0, 0.0], [0.25, 0.125], [0.5, 0.0], [1.0, 0.0]])
    found = metrics.distribution(reference, candidate, 1 / 4)
    assert found.unit is Unit.STEPS
    assert dict(zip(found.edges, found.counts, strict=True)) == dict.fromkeys(found.edges, 0) | {
        0.5: 1, 1: 1, 2: 1, 4: 1,
    }  # fmt: skip
    assert (found.median, found.maximum) == (1.5, 4)


def test_distribution_of_differences_beyond_the_last_edge() -> None:
    found = metrics.distribution(np.zeros((1, 2)), np.array([[3.0, 0.0]]), None)
    assert (found.unit, found.counts[-1], found.maximum) == (Unit.PROBABILITY, 1, 3)


def test_the_worst_flips_come_first_and_lost_before_won() -> None:
    labels = np.array([0, 0, 0, 1, 0])
    reference = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.7, 0.3], [0.1, 0.9]])
    candidate = np.array([[0.1, 0.9], [0.4, 0.6], [0.9, 0.1], [0.2, 0.8], [0.2, 0.8]])
    found = metrics.worst_flips(reference, candidate, labels, np.array([10, 11, 12, 13, 14]))
    assert [(flip.image, flip.is_loss) for flip in found] == [(10, True), (11, True), (13, False)]
    first = found[0]
    assert (first.label, first.reference_class, first.candidate_class) == (0, 0, 1)
    assert (first.reference_margin, first.candidate_margin) == pytest.approx((0.8, 0.8))


def test_a_single_class_has_no_flips() -> None:
    one = np.ones((3, 1))
    assert metrics.worst_flips(one, one, np.zeros(3, np.int64), np.arange(3)) == ()
