"""Parity: runs a reference and its candidates over the same images and says what changed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts import Accuracy, Comparison, Dataset, Gate, ParityReport
from edgecifar.errors import VerificationError
from edgecifar.progress import SILENT, Progress
from edgecifar.protocol import Array, EngineInfo, LoadedModel, TensorInfo
from edgecifar.verification import metrics
from edgecifar.verification.feeding import Feeding, Outputs, are_probabilities, check_classes
from edgecifar.verification.gates import judge

TWIN_RUNTIME = "litert"
MAX_BATCH = 256
MAX_BATCH_BYTES = 2**26


@dataclass(frozen=True, slots=True)
class Reference:
    """The model that the others are held against."""

    name: str
    """As the report shows it."""
    model: LoadedModel
    feeding: Feeding
    sha256: str


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
    """Called when its turn comes; the model is let go after it, so that one is in memory at a time."""
    bundle: str | None = None
    """Which bundle it belongs to; artifacts of one bundle are compared in quantization steps."""
    limit: int | None = None
    """Most images to run, the first of `balanced_order`; None: all."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a report says beside its measurements: how, where and with what they were made."""

    title: str
    cpu: str
    cpu_flags: tuple[str, ...]
    tool_versions: dict[str, str]
    created: str
    """ISO 8601, UTC."""
    command: str
    """What to type to repeat it."""
    skipped: tuple[str, ...] = ()
    """What will not run, and why, one sentence each."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """One model's outputs for some images of a data set."""

    input: TensorInfo
    output: TensorInfo
    engine: EngineInfo
    indices: NDArray[np.int64]
    """(n,), rising: the images' places in the data set."""
    probabilities: NDArray[np.float32]
    """(n, classes)."""
    step: float | None
    """Real value of one quantization step of the output; None where it is not quantized."""
    images_per_s: float
    notes: tuple[str, ...]


def verify_parity(
    reference: Reference,
    candidates: Sequence[Candidate],
    data: Dataset,
    gate: Gate,
    circumstances: Circumstances,
    progress: Progress = SILENT,
) -> ParityReport:
    """Returns what each candidate changed against the reference, over the same images.

    A candidate with a limit is compared with the reference on the images that the candidate saw.

    Args:
        reference: Runs over all images.
        candidates: At least one; run one after the other, in order.
        data: Images and labels, neither of which any model learned from.
        gate: What each candidate must hold.
        circumstances: What else the report says.
        progress: Gets one task for each model.

    Raises:
        VerificationError: There is no candidate, or one gives NaN, other classes, or takes other images.
        ModelError: A model cannot be loaded or be fed images.
        EngineMissingError: A candidate's engine is not on this machine.
    """
    if not candidates:
        raise VerificationError(
            "There is nothing to compare with the reference.", " ".join(circumstances.skipped)
        )
    subject = f"{reference.name} in {reference.model.info.runtime}"
    expected = _measure(subject, reference.model, reference.feeding, data, np.arange(len(data)), progress)
    measured = [_measure_candidate(candidate, data, progress) for candidate in candidates]
    twins = [_find_twin(index, candidates, measured) for index in range(len(candidates))]
    comparisons = tuple(
        _compare(
            candidate,
            actual,
            expected,
            data,
            gate,
            None if twin is None else (candidates[twin], measured[twin]),
        )
        for candidate, actual, twin in zip(candidates, measured, twins, strict=True)
    )
    return ParityReport(
        title=circumstances.title,
        reference=reference.name,
        reference_sha256=reference.sha256,
        reference_engine=expected.engine,
        reference_accuracy=Accuracy(
            correct=metrics.count_correct(expected.probabilities, data.labels), total=len(data)
        ),
        data_source=data.source,
        data_split=data.split,
        data_fingerprint=data.fingerprint,
        gate=gate,
        comparisons=comparisons,
        skipped=circumstances.skipped,
        notes=tuple(dict.fromkeys(note for one in (expected, *measured) for note in one.notes)),
        cpu=circumstances.cpu,
        cpu_flags=circumstances.cpu_flags,
        tool_versions=circumstances.tool_versions,
        created=circumstances.created,
        command=circumstances.command,
    )


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


def _measure_candidate(candidate: Candidate, data: Dataset, progress: Progress) -> _Measured:
    if candidate.limit is not None and candidate.limit < 1:
        raise VerificationError(
            f"{candidate.name}: {candidate.limit} images are too few to compare anything on."
        )
    indices = np.sort(balanced_order(data.labels)[: candidate.limit])
    model = candidate.load()
    return _measure(_subject(candidate, model.info), model, candidate.feeding, data, indices, progress)


def _measure(
    subject: str,
    model: LoadedModel,
    feeding: Feeding,
    data: Dataset,
    indices: NDArray[np.int64],
    progress: Progress,
) -> _Measured:
    feeding.check(subject, model, data)
    batch_size = max(1, min(MAX_BATCH, MAX_BATCH_BYTES // (data.images[0].size * 4)))
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
    probabilities = feeding.decode(np.concatenate(outputs), model.output)
    return _Measured(
        input=model.input,
        output=model.output,
        engine=model.info,
        indices=indices,
        probabilities=probabilities,
        step=model.output.scale or feeding.output_step,
        images_per_s=speed.images_per_s,
        notes=tuple(_notes(subject, model, feeding, probabilities, len(data))),
    )


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


def _notes(
    subject: str, model: LoadedModel, feeding: Feeding, probabilities: NDArray[np.float32], available: int
) -> list[str]:
    notes = []
    if len(probabilities) < available:
        notes.append(
            f"{model.info.runtime} ran on {len(probabilities):,} of {available:,} images, balanced by class, "
            "and is compared with the reference on those."
        )
    if feeding.outputs is Outputs.LOGITS:
        notes.append(f"{subject}: its outputs were taken as logits, and softmax applied to them.")
    elif not are_probabilities(probabilities, model.output):
        notes.append(
            f"{subject}: its outputs do not sum to one, so they are no probabilities; "
            "they are compared as they come."
        )
    return notes


def _find_twin(index: int, candidates: Sequence[Candidate], measured: Sequence[_Measured]) -> int | None:
    """Returns whom to compare with in steps: the same file in LiteRT, else the bundle's int8 TFLite there."""
    candidate = candidates[index]

    def is_same_file(other: Candidate) -> bool:
        return other.sha256 == candidate.sha256

    def is_int8_of_bundle(other: Candidate) -> bool:
        in_bundle = candidate.bundle is not None and other.bundle == candidate.bundle
        return in_bundle and (other.format, other.precision) == ("tflite", "int8")

    for matches in (is_same_file, is_int8_of_bundle):
        for place, other in enumerate(candidates):
            runs_by_default_kernels = measured[place].engine.runtime == TWIN_RUNTIME
            if runs_by_default_kernels and matches(other):
                alike = measured[index].step is not None and measured[index].step == measured[place].step
                return place if place != index and alike else None
    return None


def _compare(
    candidate: Candidate,
    actual: _Measured,
    expected: _Measured,
    data: Dataset,
    gate: Gate,
    twin: tuple[Candidate, _Measured] | None,
) -> Comparison:
    reference, labels = expected.probabilities[actual.indices], data.labels[actual.indices]
    correct = metrics.count_correct(actual.probabilities, labels)
    reference_correct = metrics.count_correct(reference, labels)
    flips = metrics.count_flips(reference, actual.probabilities, labels)
    drop_pp = 100 * (reference_correct - correct) / len(labels)
    verdict, broken_gates = judge(_subject(candidate, actual.engine), drop_pp, gate)
    return Comparison(
        artifact=candidate.name,
        format=candidate.format,
        precision=candidate.precision,
        size_bytes=candidate.size_bytes,
        sha256=candidate.sha256,
        input_dtype=actual.input.dtype,
        engine=actual.engine,
        accuracy=Accuracy(correct=correct, total=len(labels)),
        reference_correct=reference_correct,
        agreements=metrics.count_agreements(reference, actual.probabilities),
        wrong_to_right=flips.wrong_to_right,
        right_to_wrong=flips.right_to_wrong,
        max_difference=metrics.max_difference(reference, actual.probabilities),
        mean_difference=metrics.mean_difference(reference, actual.probabilities),
        output_step=actual.step,
        twin=None if twin is None else _subject(twin[0], twin[1].engine),
        max_twin_steps=None
        if twin is None or actual.step is None
        else _max_twin_steps(actual, twin[1], actual.step),
        images_per_s=actual.images_per_s,
        verdict=verdict,
        broken_gates=broken_gates,
    )


def _max_twin_steps(one: _Measured, other: _Measured, step: float) -> int:
    # Both start the same balanced order, so the images that both saw are never none.
    _, rows, other_rows = np.intersect1d(one.indices, other.indices, assume_unique=True, return_indices=True)
    return metrics.max_steps(one.probabilities[rows], other.probabilities[other_rows], step)


def _subject(candidate: Candidate, engine: EngineInfo) -> str:
    return f"{candidate.name} in {engine.runtime}"
