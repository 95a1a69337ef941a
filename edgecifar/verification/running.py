"""Running: a model's outputs for the images of a data set, and how fast they came."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts import Dataset
from edgecifar.errors import VerificationError
from edgecifar.progress import Progress
from edgecifar.protocol import Array, EngineInfo, LoadedModel, TensorInfo
from edgecifar.verification import metrics
from edgecifar.verification.caching import PredictionCache, Predictions, prediction_key
from edgecifar.verification.feeding import Feeding, Outputs, are_probabilities, check_classes

MAX_BATCH = 250
"""Images: what Keras runs in one call, and five times what LiteRT does, so that neither is left with a rest
of another size, for which it would prepare itself anew."""
MAX_BATCH_BYTES = 2**26


@dataclass(frozen=True, slots=True)
class Reference:
    """The model that the others are held against."""

    name: str
    """As the report shows it."""
    load: Callable[[], LoadedModel]
    """Called if it has to run; the model is let go after it."""
    feeding: Feeding
    sha256: str
    identity: Mapping[str, object] | None = None
    """As a candidate's."""


class Refusal(StrEnum):
    """What it means that an engine cannot load an artifact."""

    FAILS = "fails"
    """An error: the engine was asked for."""
    SKIPS = "skips"
    """A sentence in the report: all engines were tried."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One artifact in one runtime."""

    name: str
    """As the report shows it: the file's name."""
    format: str
    precision: str
    size_bytes: int
    sha256: str
    feeding: Feeding
    load: Callable[[], LoadedModel]
    """Called when its turn comes, if it has to run; the model is let go after it, so that one is in memory
    at a time."""
    bundle: str | None = None
    """Which bundle it belongs to; artifacts of one bundle are compared in quantization steps."""
    limit: int | None = None
    """Most images to run, the first of `balanced_order`; None: all."""
    refusal: Refusal = Refusal.FAILS
    identity: Mapping[str, object] | None = None
    """The engine, its version and threads, by which its outputs are found again without loading it; None:
    only a loaded model tells."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One model's outputs for some images of a data set."""

    input: TensorInfo
    output: TensorInfo
    engine: EngineInfo
    indices: NDArray[np.int64]
    """(n,), rising: the images' places in the data set."""
    outputs: NDArray[np.float32]
    """(n, classes): dequantized, as the model gives them; what quantization steps are counted in."""
    probabilities: NDArray[np.float32]
    """(n, classes): `outputs`, through softmax where they are logits."""
    step: float | None
    """Real value of one quantization step of the output; None where it is not quantized."""
    images_per_s: float | None
    """None on an emulated CPU, whose time says nothing."""
    notes: tuple[str, ...]


def balanced_order(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns an order of the images whose every beginning is balanced by class: one of each class in turn.

    Args:
        labels: (N,).

    Returns:
        int64 (N,), a permutation: the first image of each class, then the second of each, and so on.
    """
    by_class = np.argsort(labels, kind="stable")
    grouped = labels[by_class]
    turn = np.empty(len(labels), np.int64)
    turn[by_class] = np.arange(len(labels)) - np.searchsorted(grouped, grouped)
    return np.lexsort((labels, turn))


@dataclass(frozen=True, slots=True)
class Memory:
    """Where a model's outputs are kept."""

    cache: PredictionCache
    sha256: str
    """Of the model's content."""
    jobs: int = 1
    """How many models run at one time."""
    identity: Mapping[str, object] | None = None
    """Of its engine; None: only a loaded model tells."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model that is ready to run, or what it gave before, for which it need not be loaded."""

    subject: str
    """How messages call it."""
    ready: LoadedModel | Predictions
    key: str = ""
    """Under which its outputs are kept; empty: they are not."""


def prepare(
    name: str,
    load: Callable[[], LoadedModel],
    feeding: Feeding,
    data: Dataset,
    indices: NDArray[np.int64],
    progress: Progress,
    memory: Memory | None = None,
) -> Prepared:
    """Returns what a model gave before for these images, or the model, loaded.

    Args:
        name: How messages call the model, without its engine.
        load: Called where it has to run, or where only the loaded model tells which engine it is.
        feeding: What it takes and gives.
        data: The images.
        indices: (n,), rising: which of them.
        progress: Told where outputs are kept that cannot be read.
        memory: Where outputs are kept; None: nowhere.

    Raises:
        ModelError: The model cannot be loaded.
        EngineMissingError: Its engine is not on this machine.
    """
    if memory is None:
        model = load()
        return Prepared(f"{name} in {model.info.runtime}", model)

    def key_with(engine: Mapping[str, object]) -> str:
        return prediction_key(memory.sha256, engine, feeding, data, indices, memory.jobs)

    key = "" if memory.identity is None else key_with(memory.identity)
    found = memory.cache.find(key, progress) if key else None
    if found is not None:
        return Prepared(f"{name} in {found.engine.runtime}", found, key)
    model = load()
    if not key:
        key = key_with(asdict(model.info))
        found = memory.cache.find(key, progress)
    return Prepared(f"{name} in {model.info.runtime}", model if found is None else found, key)


def prepare_reference(
    reference: Reference,
    data: Dataset,
    progress: Progress,
    cache: PredictionCache | None = None,
    jobs: int = 1,
) -> Prepared:
    """Returns the reference, ready for `measure` on all images of `data`. Arguments and errors: `prepare`."""
    memory = None if cache is None else Memory(cache, reference.sha256, jobs, reference.identity)
    everything = np.arange(len(data))
    return prepare(reference.name, reference.load, reference.feeding, data, everything, progress, memory)


def measure_candidate(
    candidate: Candidate,
    data: Dataset,
    progress: Progress,
    cache: PredictionCache | None = None,
    jobs: int = 1,
) -> Measured:
    """Returns the outputs of a candidate, loaded for this and let go after it, for its images of `data`.

    Raises:
        VerificationError: Its limit is below one; else as `measure`.
        ModelError: The model cannot be loaded or be fed images.
        EngineMissingError: Its engine is not on this machine.
    """
    if candidate.limit is not None and candidate.limit < 1:
        raise VerificationError(
            f"{candidate.name}: {candidate.limit} images are too few to compare anything on."
        )
    indices = np.sort(balanced_order(data.labels)[: candidate.limit])
    memory = None if cache is None else Memory(cache, candidate.sha256, jobs, candidate.identity)
    feeding = candidate.feeding
    prepared = prepare(candidate.name, candidate.load, feeding, data, indices, progress, memory)
    return measure(prepared, feeding, data, indices, progress, cache)


def measure(
    prepared: Prepared,
    feeding: Feeding,
    data: Dataset,
    indices: NDArray[np.int64],
    progress: Progress,
    cache: PredictionCache | None = None,
) -> Measured:
    """Returns a model's outputs for some images, run in batches, or kept from when they ran before.

    Args:
        prepared: The model, or what it gave.
        feeding: What it takes and gives.
        data: The images.
        indices: (n,), rising: which of them.
        progress: Gets one task if the model runs.
        cache: Where its outputs are kept if it runs; None: nowhere.

    Raises:
        VerificationError: The outputs are NaN, of another shape or number of classes, or the images' size is
            not the model's.
        ModelError: The model cannot be fed images.
    """
    subject, ready = prepared.subject, prepared.ready
    feeding.check(subject, ready, data)
    notes = []
    if isinstance(ready, Predictions):
        found = ready
        notes.append(f"{subject}: its outputs and images/s are kept from an earlier run on these images.")
        progress.say(notes[0])
    else:
        found = _run(subject, ready, feeding, data, indices, progress)
        if cache is not None:
            cache.keep(prepared.key, found, progress)
    outputs = found.output.dequantize(found.outputs)
    return Measured(
        input=found.input,
        output=found.output,
        engine=found.engine,
        indices=indices,
        outputs=outputs,
        probabilities=feeding.decode(found.outputs, found.output),
        step=found.output.scale or feeding.output_step,
        images_per_s=None if found.engine.emulator else found.images_per_s,
        notes=(*notes, *_notes(subject, found, feeding, outputs, len(data))),
    )


def _run(
    subject: str,
    model: LoadedModel,
    feeding: Feeding,
    data: Dataset,
    indices: NDArray[np.int64],
    progress: Progress,
) -> Predictions:
    batch_size = max(1, min(MAX_BATCH, MAX_BATCH_BYTES // (_input_values(model, data) * 4)))
    outputs: list[Array] = []
    speed = _Speed()
    with progress.task(subject, total=len(indices), unit="images") as task:
        for start in range(0, len(indices), batch_size):
            batch = indices[start : start + batch_size]
            tensor = feeding.encode(data.images[batch], model.input)
            began_ns = time.perf_counter_ns()
            raw = model.predict(tensor)
            speed.add(len(batch), time.perf_counter_ns() - began_ns)
            _check_output(subject, raw, len(batch), len(data.class_names))
            metrics.require_finite(raw, subject, batch)
            outputs.append(raw)
            task.advance(len(batch), images_per_s=speed.images_per_s)
    return Predictions(np.concatenate(outputs), speed.images_per_s, model.input, model.output, model.info)


def _input_values(model: LoadedModel, data: Dataset) -> int:
    """Returns how many values one image is, as it lies in the data or as the model takes it."""
    return max(int(data.images[0].size), math.prod(size or 1 for size in model.input.shape[1:]))


class _Speed:
    """Images per second; the first batch, in which engines warm up, counts only while it is alone."""

    def __init__(self) -> None:
        self._batches: list[tuple[int, int]] = []

    def add(self, images: int, duration_ns: int) -> None:
        self._batches.append((images, duration_ns))

    @property
    def images_per_s(self) -> float:
        counted = self._batches[1:] or self._batches
        images = sum(images for images, _ in counted)
        return images * 1e9 / max(1, sum(duration_ns for _, duration_ns in counted))


def _check_output(subject: str, raw: Array, images: int, classes: int) -> None:
    if raw.ndim != 2 or len(raw) != images:
        raise VerificationError(f"{subject} gives an output of shape {raw.shape} for {images} images.")
    check_classes(subject, raw.shape[1], classes)


def _notes(subject: str, found: Predictions, feeding: Feeding, outputs: Array, available: int) -> list[str]:
    notes = [f"{subject}: {fact}." for fact in found.engine.facts]
    # What is the same for one file in every engine stands once in a report.
    detected = feeding.outputs is Outputs.DETECTED
    if feeding.origin:
        fed = f"{feeding.origin}: a model sees {feeding.describe(found.input)}."
        if detected and feeding.are_logits(outputs, found.output):
            fed += " Its outputs do not sum to one: taken as logits, softmax applied."
        elif detected:
            fed += " Its outputs sum to one: taken as probabilities."
        notes.append(fed)
    misfit = feeding.misfit(found.input)
    if misfit:
        notes.append(f"{feeding.origin or subject}: {misfit}")
    if len(outputs) < available:
        notes.append(
            f"{found.engine.runtime} ran on {len(outputs):,} of {available:,} images, balanced by class, "
            "and is compared with the reference on those."
        )
    if feeding.outputs is Outputs.LOGITS:
        notes.append(f"{subject}: its outputs were taken as logits, and softmax applied to them.")
    elif not detected and not are_probabilities(outputs, found.output):
        notes.append(
            f"{subject}: its outputs do not sum to one, so they are no probabilities; "
            "they are compared as they come."
        )
    return notes


def subject_of(candidate: Candidate, engine: EngineInfo) -> str:
    """Returns how messages and reports call a candidate in an engine: "model.tflite in litert"."""
    return f"{candidate.name} in {engine.runtime}"
