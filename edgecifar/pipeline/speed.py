"""benchmark: how fast, how large and how right each artifact is in each runtime."""

import os
import statistics
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edgecifar.artifacts import Bundle, Dataset, Preprocessing
from edgecifar.artifacts.speed import SpeedReport, SpeedRow
from edgecifar.benchmarking import Contender, Plan, measure_speed
from edgecifar.choices import ALL_RUNTIMES, Split
from edgecifar.choices import Source as DataSource
from edgecifar.data import load_dataset
from edgecifar.errors import EngineMissingError, VerificationError
from edgecifar.host import cpu_flags, cpu_name, tool_versions
from edgecifar.pipeline.subjects import (
    Subject,
    check_classes,
    model_files,
    open_subjects,
    place_of,
    source_of,
)
from edgecifar.progress import SILENT, Progress
from edgecifar.protocol import Array, TensorInfo
from edgecifar.recipe import DataSpec
from edgecifar.runtimes import EMULATED, EMULATED_BOARDS, RUNTIME_NAMES, get_runtime
from edgecifar.verification import metrics
from edgecifar.verification.inputs import InputSpec
from edgecifar.verification.running import balanced_order

USUAL_RUNTIMES = ("litert", "ort-cpu", "ort-cuda")
"""Those that apps use; reference kernels and interpreters are for checking, not for speed."""
LIMIT = 500
BASE = ("model.float32.onnx", "ort-cpu")
"""Artifact and runtime that ratios are to."""

_X86_FLAGS = frozenset({"sse4_2", "avx2"})
_DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})


def benchmark(
    model: Bundle | Path | str,
    *,
    runtimes: Sequence[str] = (),
    plan: Plan | None = None,
    limit: int = LIMIT,
    source: DataSource | None = None,
    data_dir: Path | str | None = None,
    preprocessing: Preprocessing | InputSpec | None = None,
    command: str | None = None,
    progress: Progress = SILENT,
) -> SpeedReport:
    """Returns the times, sizes, memory and accuracy of a bundle's artifacts in runtimes.

    Args:
        model: A bundle, a run, or one model file.
        runtimes: Their names; none: those that apps use; "all": every one on this machine.
        plan: How long to measure; None: as `Plan` says.
        limit: Images for the accuracy, balanced over the classes.
        source: Where they come from; None: where the model's did.
        data_dir: Where they lie, as for `train`.
        preprocessing: What a model file outside a bundle or run sees.
        command: What repeats this, for the report; None: the plain command.
        progress: Told of the measurements.

    Raises:
        EdgecifarError: Any of its kinds: see `edgecifar.errors`.
    """
    path = place_of(model)
    subjects = open_subjects(path, preprocessing)
    if preprocessing is not None and all(one.preprocessing is not preprocessing for one in subjects):
        progress.say("The options on preprocessing are not used: the models' own records say what they see.")
    data = _images(path, source, None if data_dir is None else Path(data_dir), limit, progress)
    for subject in subjects:
        check_classes(subject, data)
    contenders, missing = _contenders(subjects, runtimes, data)
    if not contenders:
        raise VerificationError("There is nothing to measure.", " ".join(missing))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    chosen = plan or Plan()
    rows, refused = measure_speed(contenders, chosen, progress)
    if not rows:
        raise VerificationError("There is nothing to measure.", " ".join((*missing, *refused)))
    base = next((row for row in rows if (row.artifact, row.engine.runtime) == BASE), None)
    return SpeedReport(
        title=path.name,
        base=None if base is None else base.subject,
        rows=tuple(_with_ratio(row, base) for row in rows),
        rounds=chosen.rounds,
        data_source=data.source,
        data_fingerprint=data.fingerprint,
        skipped=(*missing, *refused),
        notes=tuple(_notes(rows, base)),
        cpu=cpu_name(),
        cpu_flags=cpu_flags(),
        load_before=load,
        tool_versions=tool_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command or f"edgecifar benchmark {path.name}",
    )


def _images(
    path: Path, source: DataSource | None, data_dir: Path | None, limit: int, progress: Progress
) -> Dataset:
    made_with = source_of(path)
    spec, seed = (made_with.data, made_with.seed) if made_with else (DataSpec(), 0)
    if source is not None:
        spec = spec.model_copy(update={"source": source})
    data = load_dataset(spec, Split.TEST, seed=seed, data_dir=data_dir, progress=progress)
    return data.select(np.sort(balanced_order(data.labels)[:limit]))


def _contenders(
    subjects: Sequence[Subject], runtimes: Sequence[str], data: Dataset
) -> tuple[list[Contender], tuple[str, ...]]:
    """Returns each subject in each runtime, and one sentence for each runtime that measures nothing.

    Of the runtimes that nobody asked for, only those that read a subject and are not here have one.
    """
    emulated = tuple(name for name in RUNTIME_NAMES if name in {*EMULATED.values(), *EMULATED_BOARDS})
    for name in emulated:
        if name in runtimes:
            raise VerificationError(f"{name} runs in an emulator, whose time is no CPU's.")
    everything = tuple(name for name in RUNTIME_NAMES if name not in emulated)
    wanted = everything if ALL_RUNTIMES in runtimes else tuple(runtimes) or _usual(subjects)
    contenders, missing = [], []
    for name in dict.fromkeys(wanted):
        suffixes = get_runtime(name).suffixes
        readable = [subject for subject in subjects if subject.suffix in suffixes]
        if not readable:
            if runtimes:
                missing.append(f"{name}: reads {', '.join(suffixes)}, and no file here to time is one.")
            continue
        reason = get_runtime(name).missing()
        if reason is None:
            contenders += [_contender(subject, name, data) for subject in readable]
        elif name in runtimes:
            raise EngineMissingError(reason)
        else:
            missing.append(f"{name}: {reason}")
    if ALL_RUNTIMES in runtimes:
        missing.append(f"{', '.join(emulated)}: run in an emulator, whose time is no CPU's.")
    # The tables are by artifact, then runtime.
    names = [subject.path for subject in subjects]
    return sorted(contenders, key=lambda one: names.index(one.path)), tuple(missing)


def _usual(subjects: Sequence[Subject]) -> tuple[str, ...]:
    """Returns the runtimes that nobody needs to ask for: those of apps, and another's for files of no app."""
    others = [
        subject.runtimes
        for subject in subjects
        if not any(subject.suffix in get_runtime(name).suffixes for name in USUAL_RUNTIMES)
    ]
    return (*USUAL_RUNTIMES, *(name for names in others for name in names))


def _contender(subject: Subject, runtime: str, data: Dataset) -> Contender:
    def count_correct(raw: Array, info: TensorInfo) -> int:
        return metrics.count_correct(subject.feeding.decode(raw, info), data.labels)

    return Contender(
        name=subject.path.name,
        path=subject.path,
        files=model_files(subject.path),
        format=subject.format,
        precision=subject.precision,
        runtime=runtime,
        encode=lambda info: subject.feeding.encode(data.images, info),
        count_correct=count_correct,
    )


def _with_ratio(row: SpeedRow, base: SpeedRow | None) -> SpeedRow:
    if base is None:
        return row
    return row.model_copy(update={"latency_ratio": row.latency.median_s / base.latency.median_s})


def _notes(rows: Sequence[SpeedRow], base: SpeedRow | None) -> list[str]:
    notes = [f"{row.subject}: {fact}." for row in rows for fact in row.engine.facts]
    if base is None:
        notes.append(f"No ratios: {BASE[0]} in {BASE[1]} did not run.")
    notes += [
        f"{row.subject}: bytes are of the source; `edgecifar verify --runtime c-m4` measures flash."
        for row in rows
        if row.format == "c"
    ]
    notes += _slow_integers(rows)
    return notes


def _slow_integers(rows: Sequence[SpeedRow]) -> Iterator[str]:
    """Yields a sentence for each int8 file that was slower than the float one there, in each round."""
    floats = {(row.format, row.engine.runtime): row for row in rows if row.precision == "float32"}
    for row in rows:
        base = floats.get((row.format, row.engine.runtime))
        if row.precision != "int8" or base is None:
            continue
        pairs = zip(row.latency.rounds_s, base.latency.rounds_s, strict=True)
        ratios = [ours / theirs for ours, theirs in pairs]
        if min(ratios) > 1:
            yield (
                f"{row.subject} is slower than {base.artifact} there: it takes "
                f"{statistics.median(ratios):.2f} times as long, and longer in each round, on this "
                f"CPU{_without_dot_products()}."
            )


def _without_dot_products() -> str:
    """Returns ", which has no integer dot products (VNNI)" of an x86 processor of which that is known."""
    flags = set(cpu_flags())
    has_none = bool(flags & _X86_FLAGS) and not flags & _DOT_PRODUCTS
    return ", which has no integer dot products (VNNI)" if has_none else ""
