"""Scheduling: the reference and its candidates, one after the other or several at a time.

Engines let go of Python's lock while they compute, and small networks use one core better than many, so
models run side by side on one thread each where there are several.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from edgecifar.artifacts import Dataset
from edgecifar.errors import ModelError
from edgecifar.progress import Progress, Task
from edgecifar.verification.caching import PredictionCache
from edgecifar.verification.running import (
    Candidate,
    Measured,
    Reference,
    Refusal,
    measure,
    measure_candidate,
    prepare_reference,
)


def measure_all(
    reference: Reference,
    candidates: Sequence[Candidate],
    data: Dataset,
    progress: Progress,
    cache: PredictionCache | None = None,
    jobs: int = 1,
) -> tuple[Measured, list[Measured | ModelError]]:
    """Returns what the reference gave, and what each candidate gave, or why its engine cannot run it.

    What has been measured when something fails, or is interrupted, is in the cache.

    Args:
        reference: Runs over all images.
        candidates: Each over as many as its limit says.
        data: The images.
        progress: Gets one task for each model that runs.
        cache: Where outputs are kept; None: nowhere.
        jobs: Most models that run at one time; each on the threads that it was loaded with.

    Raises:
        VerificationError: As `measure`.
        ModelError: The reference, or a candidate that may not be skipped, cannot be loaded or be fed images.
        EngineMissingError: An engine is not on this machine.
    """

    def run(candidate: Candidate, progress: Progress) -> Measured | ModelError:
        try:
            return measure_candidate(candidate, data, progress, cache, jobs)
        except ModelError as error:
            if candidate.refusal is Refusal.FAILS:
                raise
            return error

    def run_reference(progress: Progress) -> Measured:
        return measure(prepared, reference.feeding, data, np.arange(len(data)), progress, cache)

    # Here and not beside the candidates: TensorFlow, which takes its time to start, prints while it does, and
    # what it prints can only be kept from the terminal together with what others print meanwhile.
    prepared = prepare_reference(reference, data, progress, cache, jobs)
    if jobs == 1:
        return run_reference(progress), [run(candidate, progress) for candidate in candidates]
    stop = threading.Event()
    quiet = _Stoppable(progress, stop)
    with ThreadPoolExecutor(jobs, thread_name_prefix="model") as pool, _stopping(pool, stop):
        first = pool.submit(run_reference, quiet)
        others = [pool.submit(run, candidate, quiet) for candidate in candidates]
        running: list[Future[Any]] = [first, *others]
        for future in wait(running, return_when=FIRST_EXCEPTION).done:
            # Raises what it raised, if it did.
            future.result()
        note = f"images/s were measured with {jobs} models at a time."
        outcomes = [future.result() for future in others]
        return replace(first.result(), notes=(*first.result().notes, note)), outcomes


@contextmanager
def _stopping(pool: ThreadPoolExecutor, stop: threading.Event) -> Iterator[None]:
    """Ends what runs in the pool, at its next batch, where the block is left by an error or by Ctrl-C."""
    try:
        yield
    except BaseException:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise


class _StoppedError(Exception):
    """Ends a model's run from within; never seen outside, because what stopped it is raised instead."""


class _Stoppable:
    """Progress whose tasks end their work when `stop` is set."""

    def __init__(self, progress: Progress, stop: threading.Event) -> None:
        self._progress = progress
        self._stop = stop

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[Task]:
        with self._progress.task(name, total, unit) as task:
            yield _StoppableTask(task.advance, self._stop)

    def say(self, message: str) -> None:
        self._progress.say(message)


class _StoppableTask:
    def __init__(self, advance: Callable[..., None], stop: threading.Event) -> None:
        self._advance = advance
        self._stop = stop

    def advance(self, amount: int = 1, **figures: float) -> None:
        if self._stop.is_set():
            raise _StoppedError
        self._advance(amount, **figures)
