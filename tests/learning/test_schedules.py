import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecifar.learning.schedules import learning_rates
from edgecifar.recipe import OptimizerSpec, ScheduleSpec

PEAK = OptimizerSpec(learning_rate=2.0)


def test_constant() -> None:
    rates = learning_rates(ScheduleSpec(name="constant"), PEAK, epochs=2, steps_per_epoch=3)
    assert rates.dtype == np.float32
    assert rates.tolist() == [2.0] * 6


def test_triangular_by_hand() -> None:
    schedule = ScheduleSpec(name="triangular", warmup=0.5, start=0.1, end=0.2)
    # Steps 0 to 8: up from a tenth of the peak in four steps, down to a fifth in four.
    expected = 2 * np.array([0.1, 0.325, 0.55, 0.775, 1, 0.8, 0.6, 0.4, 0.2])
    np.testing.assert_allclose(learning_rates(schedule, PEAK, 3, 3), expected, rtol=1e-6)


def test_cosine_by_hand() -> None:
    schedule = ScheduleSpec(name="cosine", warmup=0.0, end=0.0)
    # cos 0, 60, 120 and 180 degrees are 1, 0.5, -0.5 and -1.
    np.testing.assert_allclose(learning_rates(schedule, PEAK, 4, 1), [2, 1.5, 0.5, 0], rtol=1e-6, atol=1e-7)


def test_the_seeds_steps_and_decay() -> None:
    schedule = ScheduleSpec(name="steps", steps=[(75, 5e-4), (100, 3e-4)])
    optimizer = OptimizerSpec(name="rmsprop", learning_rate=1e-3, decay=1e-6)
    rates = learning_rates(schedule, optimizer, epochs=125, steps_per_epoch=704)
    # The seed's script: `if epoch > 75` with epochs from 0, and Keras's rate / (1 + decay x iterations).
    assert rates[0] == pytest.approx(1e-3)
    assert rates[76 * 704 - 1] == pytest.approx(1e-3 / (1 + 1e-6 * (76 * 704 - 1)))
    assert rates[76 * 704] == pytest.approx(5e-4 / (1 + 1e-6 * 76 * 704))
    assert rates[101 * 704 - 1] == pytest.approx(5e-4 / (1 + 1e-6 * (101 * 704 - 1)))
    assert rates[101 * 704] == pytest.approx(3e-4 / (1 + 1e-6 * 101 * 704))
    assert rates[-1] == pytest.approx(3e-4 / (1 + 1e-6 * (125 * 704 - 1)))


@pytest.mark.parametrize("name", ["cosine", "triangular"])
def test_one_step_is_enough(name: str) -> None:
    schedule = ScheduleSpec.model_validate({"name": name})
    assert learning_rates(schedule, PEAK, 1, 1).tolist() == pytest.approx([0.2])


@given(
    name=st.sampled_from(["cosine", "triangular"]),
    warmup=st.floats(0, 0.99),
    start=st.floats(0, 1),
    end=st.floats(0, 1),
    epochs=st.integers(1, 20),
    steps=st.integers(1, 20),
)
def test_rates_lie_between_their_ends_and_the_peak(
    name: str, warmup: float, start: float, end: float, epochs: int, steps: int
) -> None:
    schedule = ScheduleSpec.model_validate({"name": name, "warmup": warmup, "start": start, "end": end})
    rates = learning_rates(schedule, PEAK, epochs, steps)
    assert rates.shape == (epochs * steps,)
    assert 2 * min(start, end) - 1e-6 <= rates.min() <= rates.max() <= 2 + 1e-6
    if epochs * steps > 1:
        assert rates[-1] == pytest.approx(2 * end, abs=1e-5)
    rises = np.diff(rates) > 1e-6
    assert (np.diff(rises.astype(int)) <= 0).all(), "no rise after the first fall"
