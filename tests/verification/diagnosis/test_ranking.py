import numpy as np
import pytest

from edgecifar.artifacts import Dataset
from edgecifar.artifacts.diagnosis import Conclusion
from edgecifar.errors import VerificationError
from edgecifar.verification.diagnosis import Logged, Site, diagnose, try_mistakes
from edgecifar.verification.diagnosis.ranking import distance
from edgecifar.verification.feeding import Feeding
from edgecifar.verification.inputs import InputSpec


def log(site: Site, tensor: np.ndarray) -> Logged:
    return Logged(site.model.predict(tensor.astype(np.float32)), "app.npy")


def test_distance_is_the_mean_of_half_the_differences() -> None:
    one = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]], np.float32)
    other = np.array([[0.0, 1.0, 0.0], [0.5, 0.25, 0.25]], np.float32)
    assert distance(one, other) == pytest.approx((1 + 0.25) / 2)


def test_right_outputs_are_sound(site: Site, data: Dataset) -> None:
    found = diagnose("m", try_mistakes("m", site, data), log(site, site.right(data.images)))
    assert found.conclusion is Conclusion.SOUND
    assert found.right.distance == 0
    assert found.right.agreement == 1


def test_the_mistake_is_named_with_its_evidence(site: Site, data: Dataset) -> None:
    found = diagnose("m", try_mistakes("m", site, data), log(site, (data.images[..., ::-1] - 100.0) / 50))
    first = found.ranking[0]
    assert found.conclusion is Conclusion.MISTAKE
    assert first.name == "red and blue swapped"
    assert first.distance == pytest.approx(0, abs=1e-6)
    assert first.agreement == 1
    assert found.right.agreement is not None
    assert found.right.agreement < 0.6
    assert found.logged_accuracy == first.accuracy


def test_labels_in_another_order_are_found_out(site: Site, data: Dataset) -> None:
    right = log(site, site.right(data.images)).scores
    found = diagnose("m", try_mistakes("m", site, data), Logged(right[:, [1, 0, 2]], "app.npy"))
    assert found.ranking[0].name == "labels in another order"
    assert found.ranking[0].variant == "red is called green; green is called red"


def test_what_nothing_explains_is_called_none_of_them(site: Site, data: Dataset) -> None:
    noise = np.random.default_rng(1).dirichlet(np.ones(3), len(data)).astype(np.float32)
    found = diagnose("m", try_mistakes("m", site, data), Logged(noise, "app.npy"))
    assert found.conclusion is Conclusion.NONE


def test_what_a_model_cannot_show_is_excluded_with_a_reason(site: Site, data: Dataset) -> None:
    trials = try_mistakes("m", site, data)
    assert dict(trials.excluded) == {
        "uint8 for int8": "its input is not of bytes",
        "output not dequantized": "its output is of floats",
    }


def test_a_low_accuracy_is_explained_by_what_restores_it(site: Site, data: Dataset) -> None:
    # The model wants pixels of −2 to 3.1, whose colours someone calls BGR.
    said = Feeding(InputSpec(1.0, (100.0,), (50.0,), channels="bgr"))  # type: ignore[arg-type]
    wrong = Site(site.model, said, site.class_names)
    found = diagnose("m", try_mistakes("m", wrong, data))
    assert found.conclusion is Conclusion.MISTAKE
    assert found.ranking[0].name == "red and blue swapped"
    assert found.ranking[0].accuracy > found.right.accuracy + 0.3
    assert found.ranking[0].distance is None
    assert found.ranking[0].finding.startswith("The model wants")


@pytest.mark.parametrize(
    ("scores", "problem"),
    [
        (np.zeros((60, 4), np.float32), "shape"),
        (np.zeros((59, 3), np.float32), "shape"),
        (np.full((60, 3), np.nan, np.float32), "row 0 holds a value that is no number"),
    ],
)
def test_outputs_that_are_not_of_these_images_are_refused(
    site: Site, data: Dataset, scores: np.ndarray, problem: str
) -> None:
    with pytest.raises(VerificationError, match=problem):
        diagnose("m", try_mistakes("m", site, data), Logged(scores, "app.npy"))
