import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecifar.artifacts import Dataset
from edgecifar.progress import SILENT, Task
from edgecifar.protocol import LoadedModel, TensorInfo
from edgecifar.verification import Feeding, balanced_order, running
from edgecifar.verification.inputs import InputSpec


def test_images_run_in_batches_and_progress_is_told(
    monkeypatch: pytest.MonkeyPatch,
    make_model: Callable[..., LoadedModel],
    make_data: Callable[..., Dataset],
    feeding: Feeding,
) -> None:
    monkeypatch.setattr(running, "MAX_BATCH", 2)
    labels = [0, 1, 2, 0, 1]
    table = np.eye(3, dtype=np.float32)[labels]
    model = make_model(table)
    told: list[tuple[str, int, str, int, float]] = []

    class Recorder:
        def task(self, name: str, total: int, unit: str) -> AbstractContextManager[Task]:
            class Advance:
                def advance(self, amount: int = 1, **figures: float) -> None:
                    told.append((name, total, unit, amount, figures["images_per_s"]))

            @contextmanager
            def context() -> Iterator[Task]:
                yield Advance()

            return context()

        def say(self, message: str) -> None:
            raise AssertionError(message)

    measured = running.measure(
        running.Prepared("the model", model), feeding, make_data(labels), np.arange(5), Recorder()
    )
    assert measured.probabilities.tolist() == table.tolist()
    assert measured.engine == model.info
    assert [len(batch) for batch in model.batches] == [2, 2, 1]  # type: ignore[attr-defined]
    assert [row[:4] for row in told] == [
        ("the model", 5, "images", 2),
        ("the model", 5, "images", 2),
        ("the model", 5, "images", 1),
    ]


def test_speed_leaves_the_first_batch_out_unless_it_is_alone() -> None:
    speed = running._Speed()
    speed.add(10, 5_000_000_000)
    assert speed.images_per_s == 2.0
    speed.add(10, 100_000_000)
    assert speed.images_per_s == 100.0


def test_balanced_order_of_a_hand_made_list() -> None:
    assert balanced_order(np.array([2, 0, 0, 1, 2, 0])).tolist() == [1, 3, 0, 2, 4, 5]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_every_beginning_of_the_balanced_order_is_balanced(labels: list[int]) -> None:
    array = np.array(labels)
    order = balanced_order(array)
    assert sorted(order.tolist()) == list(range(len(labels)))
    for length in range(1, len(labels) + 1):
        seen = np.bincount(array[order[:length]], minlength=5)
        left = np.bincount(array, minlength=5) - seen
        # A class with images to spare is never more than one behind another.
        assert all(seen[a] + 1 >= seen.max() for a in range(5) if left[a] > 0)


def test_memory_does_not_grow_with_the_images(
    make_model: Callable[..., LoadedModel], feeding: Feeding
) -> None:
    count, side = 20_000, 32
    spec = InputSpec(scale=1 / 255)
    info = TensorInfo("image", (None, 3, side, side), "float32")
    images = np.zeros((count, side, side, 3), np.uint8)
    data = Dataset(images, np.arange(count) % 3, ("ant", "bee", "cat"), "made", "test")
    model = make_model(
        np.eye(3, dtype=np.float32), feeding=replace(feeding, preprocessing=spec), image_input=info
    )
    model.predict = lambda batch: np.full((len(batch), 3), 1 / 3, np.float32)  # type: ignore[method-assign]
    tracemalloc.start()
    measured = running.measure(running.Prepared("m", model), Feeding(spec), data, np.arange(count), SILENT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert measured.probabilities.shape == (count, 3)
    # All images as the model takes them would be 246 MB.
    assert peak < 60e6
