import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edgecifar.artifacts import Dataset
from edgecifar.errors import ModelError, VerificationError
from edgecifar.progress import SILENT, Task
from edgecifar.protocol import Array, LoadedModel
from edgecifar.verification import Candidate, Feeding, Reference, running
from edgecifar.verification.caching import PredictionCache
from edgecifar.verification.running import Measured, Refusal
from edgecifar.verification.scheduling import measure_all

LABELS = [0, 1, 2, 0]
TABLE = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2], [0.9, 0.1, 0.0]], np.float32)

MakeModel = Callable[..., LoadedModel]
MakeData = Callable[..., Dataset]
MakeCandidate = Callable[..., Candidate]


@pytest.fixture
def make_candidate(feeding: Feeding) -> MakeCandidate:
    def make(
        load: Callable[[], LoadedModel], name: str = "m.tflite", refusal: Refusal = Refusal.FAILS
    ) -> Candidate:
        return Candidate(name, "tflite", "float32", 1, f"sha of {name}", feeding, load, refusal=refusal)

    return make


@pytest.fixture
def reference(make_model: MakeModel, feeding: Feeding) -> Reference:
    return Reference("r.keras", lambda: make_model(TABLE, "keras"), feeding, "sha of r")


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_outcomes_come_in_order_whatever_runs_first(
    jobs: int, reference: Reference, make_model: MakeModel, make_data: MakeData, make_candidate: MakeCandidate
) -> None:
    tables = [np.roll(TABLE, shift, axis=1) for shift in range(3)]
    candidates = [make_candidate(lambda table=table: make_model(table)) for table in tables]
    expected, outcomes = measure_all(reference, candidates, make_data(LABELS), SILENT, jobs=jobs)
    np.testing.assert_array_equal(expected.probabilities, TABLE)
    for table, outcome in zip(tables, outcomes, strict=True):
        assert isinstance(outcome, Measured)
        np.testing.assert_array_equal(outcome.probabilities, table)
    at_once = f"images/s were measured with {jobs} models at a time."
    assert (at_once in expected.notes) == (jobs > 1)


def test_models_run_side_by_side(
    reference: Reference, make_model: MakeModel, make_data: MakeData, make_candidate: MakeCandidate
) -> None:
    # Each waits until the other has come as far: alone, the first would wait for ever.
    meeting = threading.Barrier(2, timeout=30)

    def load() -> LoadedModel:
        meeting.wait()
        return make_model(TABLE)

    measure_all(reference, [make_candidate(load), make_candidate(load)], make_data(LABELS), SILENT, jobs=3)
    assert not meeting.broken


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_an_engine_refuses_is_an_outcome_only_where_it_may_be(
    jobs: int, reference: Reference, make_model: MakeModel, make_data: MakeData, make_candidate: MakeCandidate
) -> None:
    def refuse() -> LoadedModel:
        raise ModelError("no such operator.")

    skipped = make_candidate(refuse, refusal=Refusal.SKIPS)
    good = make_candidate(lambda: make_model(TABLE))
    _, outcomes = measure_all(reference, [skipped, good], make_data(LABELS), SILENT, jobs=jobs)
    assert isinstance(outcomes[0], ModelError)
    assert isinstance(outcomes[1], Measured)
    with pytest.raises(ModelError, match="no such operator"):
        measure_all(reference, [make_candidate(refuse), good], make_data(LABELS), SILENT, jobs=jobs)


def test_an_error_ends_what_runs_beside_it(
    make_model: MakeModel,
    make_data: MakeData,
    make_candidate: MakeCandidate,
    feeding: Feeding,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "MAX_BATCH", 1)
    table, labels = np.tile(TABLE, (50, 1)), LABELS * 50
    begun, batches = threading.Event(), []
    broken, slow = make_model(table), make_model(table)

    def fail(batch: Array) -> Array:
        assert begun.wait(30)
        return np.full((len(batch), 3), np.nan, np.float32)

    def compute(batch: Array) -> Array:
        begun.set()
        batches.append(batch)
        time.sleep(0.02)
        return TABLE[: len(batch)]

    monkeypatch.setattr(broken, "predict", fail)
    monkeypatch.setattr(slow, "predict", compute)
    candidates = [make_candidate(lambda: slow, "slow"), make_candidate(lambda: broken, "broken")]
    reference = Reference("r.keras", lambda: make_model(table, "keras"), feeding, "sha of r")
    with pytest.raises(VerificationError, match="broken in litert produces NaN"):
        measure_all(reference, candidates, make_data(labels), SILENT, jobs=3)
    assert len(batches) < len(labels)


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_keeps_what_has_finished(
    jobs: int,
    reference: Reference,
    make_model: MakeModel,
    make_data: MakeData,
    make_candidate: MakeCandidate,
    tmp_path: Path,
) -> None:
    cache = PredictionCache(tmp_path)

    class Interrupting:
        """Progress of a person who presses Ctrl-C when the second model starts."""

        @contextmanager
        def task(self, name: str, total: int, unit: str) -> Iterator[Task]:
            if name.startswith("second"):
                raise KeyboardInterrupt
            with SILENT.task(name, total, unit) as task:
                yield task

        def say(self, message: str) -> None:
            raise AssertionError(message)

    candidates = [make_candidate(lambda: make_model(TABLE), name) for name in ("first", "second")]
    with pytest.raises(KeyboardInterrupt):
        measure_all(reference, candidates, make_data(LABELS), Interrupting(), cache, jobs)
    kept = len(list(tmp_path.iterdir()))
    assert kept == 2 if jobs == 1 else kept >= 1
    untouched = make_model(TABLE, "keras")
    again = Reference("r.keras", lambda: untouched, reference.feeding, "sha of r")
    measure_all(again, candidates, make_data(LABELS), SILENT, cache, jobs)
    assert untouched.batches == []  # type: ignore[attr-defined]
