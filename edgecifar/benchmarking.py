"""Benchmarking: latency, throughput, memory, load time and accuracy of artifacts in runtimes, in turn.

Each artifact and runtime has a process of its own, so that memory is its own and no engine's threads or
settings reach another. They take turns, round by round, so that a machine that slows down slows all alike.
"""

import gzip
import multiprocessing
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np

from edgecifar.artifacts import Accuracy
from edgecifar.artifacts.speed import Latency, SpeedRow, Throughput
from edgecifar.errors import EdgecifarError, ModelError
from edgecifar.progress import SILENT, Progress
from edgecifar.protocol import Array, ClockedModel, EngineInfo, TensorInfo
from edgecifar.runtimes import get_runtime

_LOADS = 3
_LEAST_CALLS = 3
_ANSWER_S = 900.0


@dataclass(frozen=True, slots=True)
class Contender:
    """One artifact in one runtime."""

    name: str
    """As the report shows it: the file's name."""
    path: Path
    files: tuple[Path, ...]
    """All of the model: itself, and weights beside it."""
    format: str
    precision: str
    runtime: str
    encode: Callable[[TensorInfo], Array]
    """Returns all images as the model takes them."""
    count_correct: Callable[[Array, TensorInfo], int]
    """Returns how many of the raw outputs for these images name the right class."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure."""

    rounds: int = 5
    calls: int = 100
    """Of one image, in a round."""
    round_s: float = 1.0
    """A round of one contender ends after so long, though it has made fewer calls."""
    batches: tuple[int, ...] = (1, 8, 32)
    threads: tuple[int, ...] = (1,)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a worker tells of a model that it has loaded."""

    input: TensorInfo
    output: TensorInfo
    engine: EngineInfo
    load_s: float


def measure_speed(
    contenders: Sequence[Contender], plan: Plan, progress: Progress = SILENT
) -> tuple[list[SpeedRow], list[str]]:
    """Returns a row for each contender, and one sentence for each that its engine refuses.

    Latency ratios are left to whoever knows the base.

    Args:
        contenders: Their processes live all at once and run one at a time.
        plan: How long to measure.
        progress: Gets one task.

    Raises:
        ModelError: A worker ended, or did not answer.
    """
    refused: list[str] = []
    with ExitStack() as stack:
        runners = []
        for contender in contenders:
            runner = stack.enter_context(_runner(contender))
            try:
                runner.start(plan)
            except EdgecifarError as error:
                refused.append(error.problem)
            else:
                runners.append(runner)
        steps = len(runners) * (plan.rounds * (1 + len(plan.threads) * len(plan.batches)))
        with progress.task("benchmark", total=steps, unit="measurements") as task:
            for runner in _in_turn(runners, plan.rounds):
                runner.time_calls(plan)
                task.advance()
            for runner in runners:
                runner.note_memory()
            for threads in plan.threads:
                for runner in runners:
                    runner.load(threads)
                for runner in _in_turn(runners, plan.rounds):
                    for batch in plan.batches:
                        runner.time_batch(batch, plan)
                        task.advance()
        return [runner.row() for runner in runners], refused


def _in_turn(runners: "Sequence[_Runner]", rounds: int) -> "Iterator[_Runner]":
    """Yields each runner once a round; each round starts with another, so that none is always the first."""
    for start in range(rounds):
        for offset in range(len(runners)):
            yield runners[(start + offset) % len(runners)]


class _Runner:
    """The owner's side of one worker, and what it has measured."""

    def __init__(self, contender: Contender, connection: Connection) -> None:
        self._contender = contender
        self._connection = connection
        self._calls: list[list[float]] = []
        self._rates: dict[tuple[int, int], list[float]] = {}
        self._memory: int | None = None

    def start(self, plan: Plan) -> None:
        """Loads the model, checks its answers, and warms it up."""
        # The first brings the engine into memory, which is no part of loading a model.
        self.load(1)
        loads = [self.load(1) for _ in range(_LOADS)]
        self._loaded = loads[-1]
        self._load_s = statistics.median(one.load_s for one in loads)
        self._images = self._contender.encode(self._loaded.input)
        raw: Array = self._ask("predict", self._images)
        self._correct = self._contender.count_correct(raw, self._loaded.output)
        self._ask("time_calls", self._images[:1], min(plan.calls, 10), plan.round_s)

    def load(self, threads: int) -> Loaded:
        """Loads the model with so many threads."""
        loaded: Loaded = self._ask("load", threads)
        self._threads = loaded.engine.threads
        return loaded

    def time_calls(self, plan: Plan) -> None:
        """Times images that come one by one."""
        self._calls.append(self._ask("time_calls", self._images[:1], plan.calls, plan.round_s))

    def time_batch(self, batch: int, plan: Plan) -> None:
        """Times batches of so many images."""
        images = np.resize(self._images, (batch, *self._images.shape[1:]))
        seconds: list[float] = self._ask("time_calls", images, plan.calls, plan.round_s / len(plan.batches))
        rate = batch / statistics.median(seconds)
        self._rates.setdefault((batch, self._threads), []).append(rate)

    def note_memory(self) -> None:
        """Notes the worker's peak memory so far: that of loading and running images one by one."""
        self._memory = self._ask("peak_memory")

    def row(self) -> SpeedRow:
        """Returns what was measured."""
        content = b"".join(file.read_bytes() for file in self._contender.files)
        calls = [seconds for one_round in self._calls for seconds in one_round]
        median, p90, p99 = np.percentile(calls, [50, 90, 99])
        return SpeedRow(
            artifact=self._contender.name,
            format=self._contender.format,
            precision=self._contender.precision,
            size_bytes=len(content),
            gzip_bytes=len(gzip.compress(content, 9, mtime=0)),
            engine=self._loaded.engine,
            load_s=self._load_s,
            latency=Latency(
                median_s=float(median),
                p90_s=float(p90),
                p99_s=float(p99),
                calls=len(calls),
                rounds_s=tuple(statistics.median(one_round) for one_round in self._calls),
            ),
            latency_ratio=None,
            throughput=tuple(
                Throughput(batch=batch, threads=threads, images_per_s=statistics.median(rates))
                for (batch, threads), rates in self._rates.items()
            ),
            peak_memory_bytes=self._memory,
            accuracy=Accuracy(correct=self._correct, total=len(self._images)),
        )

    def _subject(self) -> str:
        return f"{self._contender.path} in {self._contender.runtime}"

    def _ask(self, command: str, *arguments: object) -> Any:
        try:
            self._connection.send((command, arguments))
            if not self._connection.poll(_ANSWER_S):
                raise ModelError(f"{self._subject()} gave no answer within {_ANSWER_S:.0f} s.")
            answer = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise ModelError(f"The process of {self._subject()} ended by itself.") from error
        if isinstance(answer, _Refusal):
            raise answer.kind(answer.problem, answer.mend)
        return answer


@contextmanager
def _runner(contender: Contender) -> Iterator[_Runner]:
    """Yields the owner's side of a new worker process, which ends with the block."""
    # A fresh interpreter: forked, it would start with this process's memory and TensorFlow's threads.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve, args=(theirs, contender.runtime, contender.path), daemon=True, name=contender.name
    )
    _start(process)
    theirs.close()
    try:
        yield _Runner(contender, ours)
    finally:
        ours.close()
        process.join(timeout=10)
        if process.is_alive():
            process.kill()
            process.join()


def _start(process: SpawnProcess) -> None:
    """Starts a process that Ctrl-C, which goes to all of a terminal's, leaves to its owner to end."""
    if not hasattr(signal, "pthread_sigmask"):
        # Windows: the process itself ignores it once it serves.
        process.start()
        return
    # A process has its starter's mask from its first moment, before any line of Python.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An error on its way through the pipe."""

    kind: type[EdgecifarError]
    problem: str
    mend: str


def _serve(connection: Connection, runtime: str, path: Path) -> None:
    """Answers the owner's commands until the connection closes: the worker's whole life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = _Worker(runtime, path)
    while True:
        try:
            command, arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = getattr(worker, command)(*arguments)
        except EdgecifarError as error:
            answer = _Refusal(type(error), error.problem, error.mend)
        try:
            connection.send(answer)
        except ConnectionError:
            # The owner was interrupted while this was at work.
            return


class _Worker:
    """One model in one engine, in a process of its own."""

    def __init__(self, runtime: str, path: Path) -> None:
        self._runtime, self._path = runtime, path
        self._model: Any = None

    def load(self, threads: int) -> Loaded:
        """Loads the model anew."""
        self._model = None
        runtime = get_runtime(self._runtime)
        began = time.perf_counter()
        self._model = runtime.load(self._path, threads)
        load_s = time.perf_counter() - began
        return Loaded(self._model.input, self._model.output, self._model.info, load_s)

    def predict(self, images: Array) -> Array:
        """Returns the raw outputs."""
        outputs: Array = self._model.predict(images)
        return outputs

    def time_calls(self, images: Array, calls: int, most_s: float) -> list[float]:
        """Returns the seconds of each call, all on the same images; fewer calls where the time is over."""
        seconds: list[float] = []
        deadline = time.perf_counter() + most_s
        while len(seconds) < calls and (len(seconds) < _LEAST_CALLS or time.perf_counter() < deadline):
            began = time.perf_counter()
            self._model.predict(images)
            took = time.perf_counter() - began
            seconds.append(self._model.last_call_s if isinstance(self._model, ClockedModel) else took)
        return seconds

    def peak_memory(self) -> int | None:
        """Returns the most bytes that this process has had in memory, where that is the engine's process."""
        status = Path("/proc/self/status")
        if isinstance(self._model, ClockedModel) or not status.is_file():
            return None
        # Not getrusage: its maximum survives from the parent over fork and exec.
        lines = status.read_text(encoding="ascii").splitlines()
        [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
        return 1024 * int(peak)
