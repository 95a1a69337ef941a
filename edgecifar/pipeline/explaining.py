"""verify --layers and diagnose: why an export lost, and why an app's outputs are not the model's."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecifar.artifacts import Dataset, Preprocessing
from edgecifar.artifacts.diagnosis import Diagnosis
from edgecifar.artifacts.layers import LayersReport
from edgecifar.chatter import diverted
from edgecifar.choices import Source, Split
from edgecifar.errors import EdgecifarError, VerificationError
from edgecifar.exporting.options import Io, Precision
from edgecifar.host import core_count
from edgecifar.pipeline.proving import Model, as_list, comparison_images, reference_place, with_known_names
from edgecifar.pipeline.straying import asked_for, find_strays
from edgecifar.pipeline.subjects import (
    Subject,
    check_classes,
    open_file,
    open_model,
    open_reference,
    open_subjects,
    place_of,
)
from edgecifar.progress import SILENT, Progress
from edgecifar.runtimes import get_runtime
from edgecifar.runtimes.tapping import TAPPED_RUNTIMES, open_tapped
from edgecifar.verification.diagnosis import Site, diagnose, try_mistakes
from edgecifar.verification.diagnosis.logged import read_logged
from edgecifar.verification.inputs import InputSpec
from edgecifar.verification.layers import compare_layers, measure_what_if
from edgecifar.verification.running import balanced_order

LAYER_IMAGES = 50
"""Every element of every layer counts: fifty images give millions in the first layers, 500 in the last."""
WHAT_IF_IMAGES = 500
DIAGNOSIS_IMAGES = 200


@dataclass(frozen=True, slots=True)
class Explained:
    """What was found in the layers of several files."""

    reports: tuple[LayersReport, ...]
    failures: tuple[tuple[str, EdgecifarError], ...]
    """Files that could not be looked into, by name, and why."""


def explain_layers(
    models: Model | Sequence[Model],
    *,
    against: Model | None = None,
    split: Split = Split.TEST,
    source: Source | None = None,
    data_dir: Path | str | None = None,
    limit: int | None = None,
    what_if: int = 0,
    runtimes: Sequence[str] = (),
    preprocessing: Preprocessing | InputSpec | None = None,
    against_preprocessing: Preprocessing | InputSpec | None = None,
    progress: Progress = SILENT,
) -> Explained:
    """Returns for each compressed TFLite and ONNX file what each of its layers lost, and where it begins.

    A file that cannot be looked into leaves the others as they are.

    Args:
        models: As for `verify`.
        against: The reference, as for `verify`; a bundle's or run's is taken as its float32 TFLite or ONNX
            file, and converted to one where there is none.
        split: Which images.
        source: Where they come from, as for `verify`.
        data_dir: Where they lie.
        limit: Most images, balanced over the classes, where LAYER_IMAGES and WHAT_IF_IMAGES are more.
        what_if: So many of the worst layers are kept in float, each alone and all together; 0: none.
        runtimes: In which to look, "all" for each that is here; none: the usual one for each file. The
            first that gives all layers is compared with the reference, the others with it.
        preprocessing: What model files see that lie in no bundle or run.
        against_preprocessing: What such a file sees if it is the reference, as for `verify`.
        progress: Told of each model.

    Raises:
        EdgecifarError: Any of its kinds, where no file can be looked into for it: see `edgecifar.errors`.
    """
    paths = [place_of(model) for model in as_list(models)]
    subjects = [one for path in paths for one in open_subjects(path, preprocessing) if _is_compressed(one)]
    if not subjects:
        raise VerificationError(
            "There is no layer to compare: --layers looks into compressed TFLite and ONNX files.",
            "Name a bundle or a file of int8, float16 or dynamic range.",
        )
    subjects = asked_for(subjects, runtimes)
    place = reference_place(paths[0], against)
    resize = preprocessing.resize if isinstance(preprocessing, InputSpec) else None
    folder = None if data_dir is None else Path(data_dir)
    data = with_known_names(comparison_images(paths[0], split, source, folder, resize, progress), subjects)
    data = data.select(np.sort(balanced_order(data.labels)[: min(limit or WHAT_IF_IMAGES, WHAT_IF_IMAGES)]))
    few = data.select(np.sort(balanced_order(data.labels)[:LAYER_IMAGES]))
    reports, failures = [], []
    for subject in subjects:
        try:
            check_classes(subject, data)
            with _float_file(place, subject, against_preprocessing, preprocessing) as reference:
                reports.append(
                    _explain(reference, subject, few, data if what_if else None, what_if, runtimes, progress)
                )
        except EdgecifarError as error:
            failures.append((subject.path.name, error))
    return Explained(tuple(reports), tuple(failures))


def diagnose_model(
    model: Path | str,
    *,
    predictions: Path | str | None = None,
    split: Split = Split.TEST,
    source: Source | None = None,
    data_dir: Path | str | None = None,
    limit: int = DIAGNOSIS_IMAGES,
    runtime: str | None = None,
    preprocessing: Preprocessing | InputSpec | None = None,
    progress: Progress = SILENT,
) -> Diagnosis:
    """Returns which mistake of embedding explains an app's outputs, or a model's low accuracy.

    Args:
        model: A model file, a bundle (its reference) or a run.
        predictions: The outputs that the app logged, see `read_logged`; None: the accuracy is explained.
        split: Of the images that were logged.
        source: Where the images come from, as for `verify`.
        data_dir: Where they lie.
        limit: Most images.
        runtime: Name of the engine; None: the usual one.
        preprocessing: What a model file is said to see that lies in no bundle or run.
        progress: Told of the mistakes.

    Raises:
        EdgecifarError: Any of its kinds: see `edgecifar.errors`.
    """
    model = Path(model)
    subject = open_model(model, preprocessing)
    resize = preprocessing.resize if isinstance(preprocessing, InputSpec) else None
    folder = None if data_dir is None else Path(data_dir)
    data = with_known_names(comparison_images(model, split, source, folder, resize, progress), [subject])
    check_classes(subject, data)
    logged = None
    if predictions is None:
        data = data.select(np.sort(balanced_order(data.labels)[:limit]))
    else:
        logged, indices = read_logged(Path(predictions), len(data), limit)
        data = data.select(indices)
    loaded = get_runtime(runtime or subject.runtimes[0]).load(subject.path, core_count())
    subject.feeding.check(subject.path.name, loaded, data)
    site = Site(loaded, subject.feeding, data.class_names)
    return diagnose(subject.path.name, try_mistakes(subject.path.name, site, data, progress), logged)


def _is_compressed(subject: Subject) -> bool:
    return subject.suffix in TAPPED_RUNTIMES and subject.precision != "float32"


@contextmanager
def _float_file(
    place: Path,
    candidate: Subject,
    preprocessing: Preprocessing | InputSpec | None,
    otherwise: Preprocessing | InputSpec | None,
) -> Iterator[Subject]:
    """Yields the reference as a file that can be looked into, if it can be of the candidate's format."""
    if (place / "manifest.json").is_file():
        floats = [one for one in open_subjects(place) if one.precision == "float32"]
        alike = [one for one in floats if one.format == candidate.format]
        if alike or floats:
            yield (alike or floats)[0]
            return
    reference = open_reference(place, preprocessing, otherwise)
    if reference.suffix in TAPPED_RUNTIMES:
        yield reference
        return
    if reference.format != "keras" or not isinstance(reference.preprocessing, Preprocessing):
        raise VerificationError(
            f"{reference.path}: the layers of such a reference cannot be looked into.",
            "Export it to float32 TFLite or ONNX, and name that file with --against.",
        )
    with diverted():
        from edgecifar.exporting import tflite
        from edgecifar.models import load_model

    network = load_model(reference.path)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{reference.path.stem}.float32.tflite"
        path.write_bytes(tflite.convert(network, Precision.FLOAT32, Io.FLOAT32, reference.preprocessing))
        yield open_file(path, InputSpec(1.0, (reference.preprocessing.mean,), (reference.preprocessing.std,)))


def _explain(
    reference: Subject,
    subject: Subject,
    few: Dataset,
    many: Dataset | None,
    what_if: int,
    runtimes: Sequence[str],
    progress: Progress,
) -> LayersReport:
    known = TAPPED_RUNTIMES[subject.suffix]
    runtime = next((name for name in runtimes if name in known), known[0])
    threads = core_count()
    expected = open_tapped(reference.path, None, threads)
    actual = open_tapped(subject.path, runtime, threads)
    report = compare_layers(
        (reference.path.name, expected, reference.feeding),
        (subject.path.name, actual, subject.feeding),
        get_runtime(runtime).load(subject.path, threads),
        few,
        progress,
    )
    strayed, not_looked_into = find_strays(subject, actual, few, runtimes)
    cost = None
    if many is not None:
        cost = measure_what_if(
            (expected, reference.feeding), (actual, subject.feeding), report, what_if, many, progress
        )
    update = {"strayed": strayed, "not_looked_into": not_looked_into, "what_if": cost}
    return report.model_copy(update=update)
