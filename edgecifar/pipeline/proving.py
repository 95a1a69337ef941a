"""verify: what each export cost, in the engines that will run it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edgecifar.artifacts import Bundle, Dataset, Gate, ParityReport, Policy, Preprocessing, Run
from edgecifar.choices import ALL_RUNTIMES, CpuLevel, Split
from edgecifar.choices import Source as DataSource
from edgecifar.data import load_dataset, unnamed_classes
from edgecifar.errors import EngineMissingError, VerificationError
from edgecifar.host import core_count, cpu_flags, cpu_name, tool_versions
from edgecifar.pipeline.inspecting import describe
from edgecifar.pipeline.subjects import (
    Subject,
    check_classes,
    open_reference,
    open_subjects,
    place_of,
    source_of,
)
from edgecifar.progress import SILENT, Progress
from edgecifar.protocol import LoadedModel
from edgecifar.recipe import DataSpec
from edgecifar.runtimes import EMULATED, EMULATED_BOARDS, RUNTIME_NAMES, get_runtime
from edgecifar.verification.caching import PredictionCache
from edgecifar.verification.inputs import RESIZE_FILTER, InputSpec
from edgecifar.verification.parity import Circumstances, verify_parity
from edgecifar.verification.running import Candidate, Reference, Refusal, balanced_order

Model = Run | Bundle | Path | str
"""What can be verified: the objects, their folders, or model files."""
SUBSET_RUNTIMES = ("litert-reference", "litert-web", "tflm", "ort-web", *EMULATED.values(), *EMULATED_BOARDS)
"""Kernels that are for checking, or engines far away: 10,000 images would take minutes."""
SUBSET_IMAGES = 200


def verify(
    models: Model | Sequence[Model],
    *,
    against: Model | None = None,
    split: Split = Split.TEST,
    gate: Gate | Policy | None = None,
    runtimes: Sequence[str] = (),
    cpu_levels: Sequence[CpuLevel] = (),
    source: DataSource | None = None,
    data_dir: Path | str | None = None,
    limit: int | None = None,
    subset: int = SUBSET_IMAGES,
    preprocessing: Preprocessing | InputSpec | None = None,
    against_preprocessing: Preprocessing | InputSpec | None = None,
    cache_dir: Path | None = None,
    jobs: int | None = None,
    command: str | None = None,
    progress: Progress = SILENT,
) -> ParityReport:
    """Runs every model in every runtime that can load it, and compares it with the reference.

    Args:
        models: Bundles, runs, their folders, or model files; one or more.
        against: The reference: a run (its model before compression), a bundle (its reference) or a file;
            None: that of the first of `models`.
        split: Which images; only the test split says what an export cost, the others are for choosing.
        gate: What each must hold, or what which must hold; None: nothing.
        runtimes: Their names; none: those that are usual for each file, of which only the first has to
            take it; "all": every one that is on this machine. The report says which are not, or refuse a
            file.
        cpu_levels: CPUs on which ONNX Runtime runs too, in an emulator, on the subset.
        source: Where the images come from; None: where the first model's did, or CIFAR-10.
        data_dir: Where they lie, as for `train`.
        limit: Most images for each model, balanced over the classes; None: all.
        subset: Most images for the reference kernels, which are slow.
        preprocessing: What model files see that lie in no bundle or run; None: what they say themselves in
            their metadata; never guessed.
        against_preprocessing: What such a file sees if it is the reference; None: what it says itself, else
            `preprocessing`.
        cache_dir: Where engines' outputs are kept, so that another call with the same models and images does
            not run them again; None: nowhere.
        jobs: Most models that run at one time, sharing the cores between them; None: one for each core, but
            one after the other where a gate is on their speed.
        command: What repeats this, for the report; None: the plain command.
        progress: Told of each model.

    Raises:
        EdgecifarError: Any of its kinds: see `edgecifar.errors`.
    """
    paths = [place_of(model) for model in as_list(models)]
    if not paths:
        raise VerificationError("There is nothing to verify.", "Name a bundle or a model file.")
    subjects = [subject for path in paths for subject in open_subjects(path, preprocessing)]
    reference = open_reference(reference_place(paths[0], against), against_preprocessing, preprocessing)
    resize = preprocessing.resize if isinstance(preprocessing, InputSpec) else None
    data = comparison_images(
        paths[0], split, source, None if data_dir is None else Path(data_dir), resize, progress
    )
    data = with_known_names(data, (reference, *subjects))
    for subject in (reference, *subjects):
        check_classes(subject, data)
    used = {id(one.preprocessing) for one in (reference, *subjects)}
    if preprocessing is not None and id(preprocessing) not in used:
        progress.say("The options on preprocessing are not used: the models' own records say what they see.")
    if against_preprocessing is not None and id(against_preprocessing) not in used:
        progress.say("The --against- options are not used: the reference's own record says what it sees.")
    policy = gate if isinstance(gate, Policy) else Policy(gate=gate or Gate())
    jobs = jobs or _jobs(policy, len(subjects) + 1)
    threads = max(1, core_count() // jobs)
    candidates, skipped = _candidates(
        subjects, threads, runtimes, [EMULATED[level] for level in cpu_levels], subset
    )
    circumstances = Circumstances(
        title=" ".join(path.name for path in paths),
        cpu=cpu_name(),
        cpu_flags=cpu_flags(),
        tool_versions=tool_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command or f"edgecifar verify {' '.join(path.name for path in paths)}",
        skipped=skipped,
    )
    if limit is not None:
        data = data.select(np.sort(balanced_order(data.labels)[:limit]))
    report = verify_parity(
        Reference(
            reference.path.name,
            lambda: _load(reference, reference.runtimes[0], threads),
            reference.feeding,
            reference.sha256,
            _identity(reference.runtimes[0], threads),
        ),
        candidates,
        data,
        policy,
        circumstances,
        progress,
        None if cache_dir is None else PredictionCache(cache_dir),
        jobs,
    )
    return report.model_copy(update={"notes": (*report.notes, *describe(subjects, data))})


def _jobs(policy: Policy, models: int) -> int:
    """Returns how many models to run at one time: one where speed is judged, so that nothing disturbs it."""
    if any(gate.max_latency_ratio is not None for gate in (policy.gate, *policy.rules)):
        return 1
    return min(core_count(), models)


def as_list(models: Model | Sequence[Model]) -> list[Model]:
    """Returns the models that were named, one or several."""
    return [models] if isinstance(models, (Run, Bundle, Path, str)) else list(models)


def reference_place(first: Path, against: Model | None) -> Path:
    """Returns where the reference lies: what was named, else that of the first model.

    Raises:
        VerificationError: It has none of its own.
    """
    if against is not None:
        return place_of(against)
    if first.is_dir():
        return first
    if (first.parent / "manifest.json").is_file() or (first.parent / "run.json").is_file():
        return first.parent
    raise VerificationError(
        f"{first} has no reference of its own.", "Name a run, bundle or model with --against."
    )


def comparison_images(
    model: Path,
    split: Split,
    source: DataSource | None,
    data_dir: Path | None,
    resize: int | None,
    progress: Progress,
) -> Dataset:
    """Returns the images to compare on: those of the model's recipe, unless another source is asked for."""
    made_with = source_of(model)
    spec, seed = (made_with.data, made_with.seed) if made_with else (DataSpec(), 0)
    if source is not None:
        spec = spec.model_copy(update={"source": source})
    if spec.source is DataSource.FOLDER:
        # Files of any size are read at the size that the models take.
        spec = spec.model_copy(update={"image_size": resize or spec.image_size})
        progress.say(f"Images are read at {spec.image_size}×{spec.image_size} ({RESIZE_FILTER}).")
    return load_dataset(spec, split, seed=seed, data_dir=data_dir, progress=progress)


def with_known_names(data: Dataset, subjects: Sequence[Subject]) -> Dataset:
    """Returns the images with the classes' names from a model, where the images came without names."""
    if data.class_names != unnamed_classes(len(data.class_names)):
        return data
    known = next((subject.class_names for subject in subjects if subject.class_names), None)
    return replace(data, class_names=known) if known and len(known) >= len(data.class_names) else data


def _candidates(
    subjects: Sequence[Subject], threads: int, runtimes: Sequence[str], emulated: Sequence[str], subset: int
) -> tuple[list[Candidate], tuple[str, ...]]:
    """Returns each subject in each runtime, and one sentence for each usual runtime that is not here."""
    candidates, skipped = [], dict[str, None]()
    everything = ALL_RUNTIMES in runtimes
    # Asked for by name, an engine that is missing or refuses a file is an error.
    named = () if everything else tuple(runtimes)
    # To ask whether a GPU starts takes time.
    missing: dict[str, str | None] = {}
    for subject in subjects:
        wanted = dict.fromkeys((*(RUNTIME_NAMES if everything else named or subject.runtimes), *emulated))
        for name in (name for name in wanted if subject.suffix in get_runtime(name).suffixes):
            if name not in missing:
                missing[name] = get_runtime(name).missing()
            reason = missing[name]
            if reason is None:
                limit = subset if name in SUBSET_RUNTIMES else None
                # The engine that is most used for such files has to take it: else a damaged one would pass.
                must = name in (*named, *emulated) or (not everything and name == subject.runtimes[0])
                refusal = Refusal.FAILS if must else Refusal.SKIPS
                candidates.append(_candidate(subject, name, threads, limit, refusal))
            elif named or name in emulated:
                raise EngineMissingError(reason)
            else:
                skipped[f"{name}: {reason}"] = None
    used = {subject.suffix for subject in subjects}
    for name in (*named, *emulated):
        if not used & set(get_runtime(name).suffixes):
            raise VerificationError(f"The runtime {name} reads none of these models.")
    return candidates, tuple(skipped)


def _candidate(
    subject: Subject, runtime: str, threads: int, limit: int | None, refusal: Refusal
) -> Candidate:
    return Candidate(
        name=subject.path.name,
        format=subject.format,
        precision=subject.precision,
        size_bytes=subject.size_bytes,
        sha256=subject.sha256,
        feeding=subject.feeding,
        load=lambda: _load(subject, runtime, threads),
        bundle=str(subject.origin) if subject.origin else None,
        limit=limit,
        refusal=refusal,
        identity=_identity(runtime, threads),
    )


def _load(subject: Subject, runtime: str, threads: int) -> LoadedModel:
    return get_runtime(runtime).load(subject.path, _threads_of(runtime, threads))


def _identity(runtime: str, threads: int) -> dict[str, object] | None:
    """Returns what tells an engine's outputs from another's before it starts; None: only starting does."""
    known = get_runtime(runtime).identity()
    if known is None:
        return None
    return {"runtime": runtime, "threads": _threads_of(runtime, threads), **known}


def _threads_of(runtime: str, threads: int) -> int:
    # TensorFlow takes a number once in a process, also for trainings that may follow: all cores.
    return core_count() if runtime == "keras" else threads
