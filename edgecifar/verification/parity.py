"""Parity: what each candidate changed against the reference, over the same images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts import (
    Accuracy,
    Calibration,
    Comparison,
    Dataset,
    Evidence,
    ParityReport,
    Policy,
)
from edgecifar.artifacts.gate import gravest
from edgecifar.artifacts.report import Steps
from edgecifar.errors import ModelError, VerificationError
from edgecifar.progress import SILENT, Progress
from edgecifar.protocol import TensorInfo
from edgecifar.verification import metrics, statistics
from edgecifar.verification.caching import PredictionCache
from edgecifar.verification.feeding import are_probabilities
from edgecifar.verification.gallery import encode_images
from edgecifar.verification.gates import Findings, Speed, judge
from edgecifar.verification.running import (
    Candidate,
    Measured,
    Reference,
    subject_of,
)
from edgecifar.verification.scheduling import measure_all

TWIN_RUNTIME = "litert"
EMULATED_TWIN_RUNTIME = "ort-cpu"
REFERENCE_RUNTIME = "litert-reference"
"""LiteRT's reference kernels: what the format's arithmetic is defined by."""


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


def verify_parity(
    reference: Reference,
    candidates: Sequence[Candidate],
    data: Dataset,
    policy: Policy,
    circumstances: Circumstances,
    progress: Progress = SILENT,
    cache: PredictionCache | None = None,
    jobs: int = 1,
) -> ParityReport:
    """Returns what each candidate changed against the reference, over the same images.

    A candidate with a limit is compared with the reference on the images that the candidate saw.

    Args:
        reference: Runs over all images.
        candidates: At least one; run one after the other, in order, unless there are several jobs.
        data: Images and labels, neither of which any model learned from.
        policy: What each candidate must hold.
        circumstances: What else the report says.
        progress: Gets one task for each model.
        cache: Where outputs are kept from one call to the next; None: nowhere.
        jobs: Most models that run at one time.

    Raises:
        VerificationError: There is no candidate, or one gives NaN, other classes, or takes other images.
        ModelError: A model cannot be loaded or be fed images.
        EngineMissingError: A candidate's engine is not on this machine.
    """
    if not candidates:
        raise VerificationError(
            "There is nothing to compare with the reference.", " ".join(circumstances.skipped)
        )
    expected, outcomes = measure_all(reference, candidates, data, progress, cache, jobs)
    candidates, measured, refused = _that_ran(candidates, outcomes)
    runs = _runs(reference, expected, candidates, measured)
    comparisons = tuple(_compare(run, expected, data, policy) for run in runs)
    shown = (flip.image for one in comparisons if one.evidence for flip in one.evidence.worst_flips)
    return ParityReport(
        title=circumstances.title,
        reference=reference.name,
        reference_sha256=reference.sha256,
        reference_engine=expected.engine,
        reference_accuracy=Accuracy(
            correct=metrics.count_correct(expected.probabilities, data.labels), total=len(data)
        ),
        reference_images_per_s=expected.images_per_s,
        class_names=data.class_names,
        data_source=data.source,
        data_split=data.split,
        data_fingerprint=data.fingerprint,
        policy=policy,
        comparisons=comparisons,
        images=encode_images(data, shown),
        skipped=(*circumstances.skipped, *refused),
        notes=tuple(dict.fromkeys(note for one in (expected, *measured) for note in one.notes)),
        cpu=circumstances.cpu,
        cpu_flags=circumstances.cpu_flags,
        tool_versions=circumstances.tool_versions,
        created=circumstances.created,
        command=circumstances.command,
    )


def _that_ran(
    candidates: Sequence[Candidate], outcomes: Sequence[Measured | ModelError]
) -> tuple[list[Candidate], list[Measured], list[str]]:
    """Returns the candidates that ran, what they gave, and why the others did not."""
    ran, measured, refused = [], [], []
    for candidate, outcome in zip(candidates, outcomes, strict=True):
        if isinstance(outcome, ModelError):
            refused.append(outcome.problem)
        else:
            ran.append(candidate)
            measured.append(outcome)
    if not ran:
        raise VerificationError("No engine can run any of these models.", " ".join(refused))
    return ran, measured, refused


def _find_twin(
    index: int, candidates: Sequence[Candidate], measured: Sequence[Measured], runtime: str
) -> int | None:
    """Returns whom to compare with in steps: the same file in `runtime`, else its int8 TFLite twin.

    Where a CPU is emulated, the same file on this machine's own CPU takes the place of the default kernels.
    """
    candidate = candidates[index]
    if measured[index].engine.emulator and runtime == TWIN_RUNTIME:
        runtime = EMULATED_TWIN_RUNTIME

    def is_same_file(other: Candidate) -> bool:
        return other.sha256 == candidate.sha256

    def is_int8_of_bundle(other: Candidate) -> bool:
        in_bundle = candidate.bundle is not None and other.bundle == candidate.bundle
        return in_bundle and (other.format, other.precision) == ("tflite", "int8")

    for matches in (is_same_file, is_int8_of_bundle):
        for place, other in enumerate(candidates):
            if measured[place].engine.runtime == runtime and matches(other):
                alike = measured[index].step is not None and measured[index].step == measured[place].step
                return place if place != index and alike else None
    return None


@dataclass(frozen=True, slots=True)
class _Run:
    """A candidate with what it gave, and whom it is held against."""

    candidate: Candidate
    actual: Measured
    twin: tuple[Candidate, Measured] | None
    reference_kernels: tuple[Candidate, Measured] | None
    speed: Speed

    @property
    def subject(self) -> str:
        return subject_of(self.candidate, self.actual.engine)


def _runs(
    reference: Reference, expected: Measured, candidates: Sequence[Candidate], measured: Sequence[Measured]
) -> list[_Run]:
    pairs = list(zip(candidates, measured, strict=True))
    twins, kernels = (
        [_find_twin(index, candidates, measured, runtime) for index in range(len(candidates))]
        for runtime in (TWIN_RUNTIME, REFERENCE_RUNTIME)
    )
    return [
        _Run(
            candidate,
            actual,
            None if twin is None else pairs[twin],
            None if kernel is None else pairs[kernel],
            _speed(actual, pairs, (reference.name, expected)),
        )
        for (candidate, actual), twin, kernel in zip(pairs, twins, kernels, strict=True)
    ]


def _speed(
    actual: Measured, pairs: Sequence[tuple[Candidate, Measured]], reference: tuple[str, Measured]
) -> Speed:
    """Returns the time for an image against the float32 candidate in the same runtime, else the reference."""
    name, base = next(
        (
            (candidate.name, other)
            for candidate, other in pairs
            if candidate.precision == "float32" and other.engine.runtime == actual.engine.runtime
        ),
        reference,
    )
    return Speed(_ratio(base.images_per_s, actual.images_per_s), f"{name} in {base.engine.runtime}")


def _ratio(base: float | None, actual: float | None) -> float | None:
    """Returns how many times as long an image takes as with `base`, both in images a second."""
    return None if base is None or actual is None else base / actual


def _compare(run: _Run, expected: Measured, data: Dataset, policy: Policy) -> Comparison:
    candidate, actual = run.candidate, run.actual
    reference, labels = expected.probabilities[actual.indices], data.labels[actual.indices]
    correct = metrics.count_correct(actual.probabilities, labels)
    reference_correct = metrics.count_correct(reference, labels)
    agreements = metrics.count_agreements(reference, actual.probabilities)
    flips = metrics.count_flips(reference, actual.probabilities, labels)
    evidence = _evidence(actual, expected, data)
    checks = judge(
        Findings(
            subject=run.subject,
            total=len(labels),
            saw_all=len(labels) == len(data),
            drop_pp=100 * (reference_correct - correct) / len(labels),
            agreement=agreements / len(labels),
            size_bytes=candidate.size_bytes,
            speed=run.speed,
            class_names=data.class_names,
            evidence=evidence,
        ),
        policy.gate_for(candidate.name, actual.engine.runtime),
    )
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
        agreements=agreements,
        wrong_to_right=flips.wrong_to_right,
        right_to_wrong=flips.right_to_wrong,
        max_difference=metrics.max_difference(reference, actual.probabilities),
        mean_difference=metrics.mean_difference(reference, actual.probabilities),
        output_step=actual.step,
        twin=None if run.twin is None else subject_of(run.twin[0], run.twin[1].engine),
        max_twin_steps=None
        if run.twin is None or actual.step is None
        else _steps(actual, run.twin, actual.step).max_steps,
        reference_kernels=None
        if run.reference_kernels is None or actual.step is None
        else _steps(actual, run.reference_kernels, actual.step),
        images_per_s=actual.images_per_s,
        verdict=gravest(check.verdict for check in checks),
        checks=checks,
        evidence=evidence,
    )


def _evidence(actual: Measured, expected: Measured, data: Dataset) -> Evidence:
    reference, candidate = expected.probabilities[actual.indices], actual.probabilities
    labels, total = data.labels[actual.indices], len(actual.indices)
    was_right, is_right = metrics.top1(reference) == labels, metrics.top1(candidate) == labels
    lost, won = was_right & ~is_right, ~was_right & is_right
    flips = (int(lost.sum()), int(won.sum()))
    agreements = metrics.count_agreements(reference, candidate)
    # Steps of logits are no steps of a probability.
    step = actual.step if np.array_equal(actual.outputs, candidate) else None
    return Evidence(
        accuracy_interval=statistics.proportion_interval(int(is_right.sum()), total),
        agreement_interval=statistics.proportion_interval(agreements, total),
        drop_interval_pp=statistics.bootstrap_interval_pp(*flips, total),
        drop_score_interval_pp=statistics.score_interval_pp(*flips, total),
        mcnemar_p=statistics.mcnemar_p(*flips),
        confusion=metrics.confusion(candidate, labels),
        reference_confusion=metrics.confusion(reference, labels),
        right_to_wrong=metrics.count_by_class(lost, labels, len(data.class_names)),
        wrong_to_right=metrics.count_by_class(won, labels, len(data.class_names)),
        calibration=_calibration(candidate, actual.output, labels),
        reference_calibration=_calibration(reference, expected.output, labels),
        differences=metrics.distribution(reference, candidate, step),
        worst_flips=metrics.worst_flips(reference, candidate, labels, data.split_places[actual.indices]),
    )


def _calibration(
    probabilities: NDArray[np.float32], output: TensorInfo, labels: NDArray[np.int64]
) -> Calibration | None:
    """Returns the calibration, or None where the outputs are no probabilities."""
    return metrics.calibration(probabilities, labels) if are_probabilities(probabilities, output) else None


def _steps(one: Measured, other: tuple[Candidate, Measured], step: float) -> Steps:
    candidate, measured = other
    # Both start the same balanced order, so the images that both saw are never none.
    _, rows, other_rows = np.intersect1d(
        one.indices, measured.indices, assume_unique=True, return_indices=True
    )
    ours, theirs = one.outputs[rows], measured.outputs[other_rows]
    return Steps(
        subject=subject_of(candidate, measured.engine),
        max_steps=metrics.max_steps(ours, theirs, step),
        exact_images=int(np.count_nonzero(np.all(ours == theirs, axis=1))),
        images=len(rows),
    )
