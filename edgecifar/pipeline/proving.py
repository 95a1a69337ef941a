"""verify: what each export cost, in the engines that will run it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edgecifar.artifacts import Bundle, Dataset, Gate, ParityReport, Preprocessing, Run
from edgecifar.choices import Source as DataSource
from edgecifar.choices import Split
from edgecifar.data import load_dataset
from edgecifar.errors import EngineMissingError, VerificationError
from edgecifar.host import core_count, cpu_flags, cpu_name, tool_versions
from edgecifar.pipeline.subjects import (
    Subject,
    check_classes,
    open_reference,
    open_subjects,
    place_of,
    source_of,
)
from edgecifar.progress import SILENT, Progress
from edgecifar.recipe import DataSpec
from edgecifar.runtimes import get_runtime
from edgecifar.verification.parity import (
    Candidate,
    Circumstances,
    Reference,
    balanced_order,
    verify_parity,
)

Model = Run | Bundle | Path | str
"""What can be verified: the objects, their folders, or model files."""
SUBSET_RUNTIMES = ("litert-reference",)
"""Kernels that are for checking, not for speed: 10,000 images would take many minutes."""
SUBSET_IMAGES = 200


def verify(
    models: Model | Sequence[Model],
    *,
    against: Model | None = None,
    split: Split = Split.TEST,
    gate: Gate | None = None,
    runtimes: Sequence[str] = (),
    source: DataSource | None = None,
    data_dir: Path | str | None = None,
    limit: int | None = None,
    subset: int = SUBSET_IMAGES,
    preprocessing: Preprocessing | None = None,
    command: str | None = None,
    progress: Progress = SILENT,
) -> ParityReport:
    """Runs every model in every runtime that can load it, and compares it with the reference.

    Args:
        models: Bundles, runs, their folders, or model files; one or more.
        against: The reference: a run (its model before compression), a bundle (its reference) or a file;
            None: that of the first of `models`.
        split: Which images; only the test split says what an export cost, the others are for choosing.
        gate: What each must hold; None: nothing.
        runtimes: Their names; none: those that are usual for each file.
        source: Where the images come from; None: where the first model's did, or CIFAR-10.
        data_dir: Where they lie, as for `train`.
        limit: Most images for each model, balanced over the classes; None: all.
        subset: Most images for the reference kernels, which are slow.
        preprocessing: What model files see that lie in no bundle or run.
        command: What repeats this, for the report; None: the plain command.
        progress: Told of each model.

    Raises:
        EdgecifarError: Any of its kinds: see `edgecifar.errors`.
    """
    paths = [place_of(model) for model in _as_list(models)]
    if not paths:
        raise VerificationError("There is nothing to verify.", "Name a bundle or a model file.")
    subjects = [subject for path in paths for subject in open_subjects(path, preprocessing)]
    reference = open_reference(_reference_path(paths[0], against), preprocessing)
    data = _images(paths[0], split, source, None if data_dir is None else Path(data_dir), progress)
    for subject in (reference, *subjects):
        check_classes(subject, data)
    candidates, skipped = _candidates(subjects, runtimes, subset)
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
    loaded = get_runtime(reference.runtimes[0]).load(reference.path, core_count())
    return verify_parity(
        Reference(reference.path.name, loaded, reference.feeding, reference.sha256),
        candidates,
        data,
        gate or Gate(),
        circumstances,
        progress,
    )


def _as_list(models: Model | Sequence[Model]) -> list[Model]:
    return [models] if isinstance(models, (Run, Bundle, Path, str)) else list(models)


def _reference_path(first: Path, against: Model | None) -> Path:
    if against is not None:
        return place_of(against)
    if first.is_dir():
        return first
    if (first.parent / "manifest.json").is_file() or (first.parent / "run.json").is_file():
        return first.parent
    raise VerificationError(
        f"{first} has no reference of its own.", "Name a run, bundle or model with --against."
    )


def _images(
    model: Path, split: Split, source: DataSource | None, data_dir: Path | None, progress: Progress
) -> Dataset:
    """Returns the images to compare on: those of the model's recipe, unless another source is asked for."""
    made_with = source_of(model)
    spec, seed = (made_with.data, made_with.seed) if made_with else (DataSpec(), 0)
    if source is not None:
        spec = spec.model_copy(update={"source": source})
    return load_dataset(spec, split, seed=seed, data_dir=data_dir, progress=progress)


def _candidates(
    subjects: Sequence[Subject], runtimes: Sequence[str], subset: int
) -> tuple[list[Candidate], tuple[str, ...]]:
    """Returns each subject in each runtime, and one sentence for each usual runtime that is not here."""
    candidates, skipped = [], dict[str, None]()
    for subject in subjects:
        names = [
            name for name in runtimes or subject.runtimes if subject.path.suffix in get_runtime(name).suffixes
        ]
        for name in names:
            reason = get_runtime(name).missing()
            if reason is None:
                candidates.append(_candidate(subject, name, subset if name in SUBSET_RUNTIMES else None))
            elif runtimes:
                raise EngineMissingError(reason)
            else:
                skipped[f"{name}: {reason}"] = None
    used = {subject.path.suffix for subject in subjects}
    for name in runtimes:
        if not used & set(get_runtime(name).suffixes):
            raise VerificationError(f"The runtime {name} reads none of these models.")
    return candidates, tuple(skipped)


def _candidate(subject: Subject, runtime: str, limit: int | None) -> Candidate:
    return Candidate(
        name=subject.path.name,
        format=subject.format,
        precision=subject.precision,
        size_bytes=subject.path.stat().st_size,
        sha256=subject.sha256,
        feeding=subject.feeding,
        load=lambda: get_runtime(runtime).load(subject.path, core_count()),
        bundle=str(subject.origin) if subject.origin else None,
        limit=limit,
    )
