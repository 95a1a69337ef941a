"""doctor MODEL.onnx: what ONNX Runtime makes of a quantized file, for one file or as notes of a report."""

from collections.abc import Iterable
from pathlib import Path

from edgecifar.artifacts import Bundle, Dataset, Preprocessing
from edgecifar.data.sample import read_sample
from edgecifar.data.splitting import Half
from edgecifar.errors import ModelError
from edgecifar.pipeline.places import is_bundle
from edgecifar.pipeline.subjects import Subject, open_file
from edgecifar.runtimes import get_runtime
from edgecifar.runtimes.onnx_findings import Inspection
from edgecifar.runtimes.onnx_inspection import inspect
from edgecifar.verification.inputs import InputSpec

IMAGES = 16
"""On which sums that saturate are counted: each takes tens of milliseconds where weights are not safe."""
_RUNTIME = "ort-cpu"


def inspect_models(path: Path, preprocessing: InputSpec | None = None) -> dict[Path, Inspection]:
    """Returns what ONNX Runtime makes of an ONNX file, or of each one in a bundle.

    Sums that saturate are counted on images of the sample, where the model takes such and its preprocessing
    is known; else only the weights are looked at.

    Args:
        path: An `.onnx` file or a bundle.
        preprocessing: What a file sees that lies in no bundle; None: nobody knows.

    Raises:
        ModelError: There is no ONNX file, or ONNX Runtime refuses it.
    """
    if is_bundle(path):
        entries = Bundle.open(path).manifest.artifacts
        files = [path / entry.file for entry in entries if entry.format == "onnx"]
    else:
        files = [path]
    if not files or any(file.suffix != ".onnx" or not file.is_file() for file in files):
        raise ModelError(f"{path}: no ONNX file, and no bundle with one.")
    return {file: _inspect(file, preprocessing) for file in files}


def describe(subjects: Iterable[Subject], data: Dataset) -> tuple[str, ...]:
    """Returns sentences on the quantized ONNX files among some models, for a report's notes.

    Args:
        subjects: Any models; those that are not quantized ONNX files are left out.
        data: Images that the models take.
    """
    notes = []
    for subject in subjects:
        if subject.suffix != ".onnx":
            continue
        try:
            model = get_runtime(_RUNTIME).load(subject.path, threads=1)
            found = inspect(subject.path, subject.feeding.encode(data.images[:IMAGES], model.input))
        except ModelError as error:
            # Another engine may have run it: a report is not given up for a note.
            notes.append(f"What {_RUNTIME} would make of its layers is not known: {error.problem}")
            continue
        if found.is_quantized:
            notes += [f"{subject.path.name}: {sentence}" for sentence in (*found.sentences, *found.advice)]
    return tuple(notes)


def _inspect(path: Path, preprocessing: Preprocessing | InputSpec | None) -> Inspection:
    in_bundle = is_bundle(path.parent)
    if preprocessing is None and not in_bundle:
        return inspect(path)
    subject = open_file(path, preprocessing)
    model = get_runtime(_RUNTIME).load(path, threads=1)
    sample = read_sample(Half.TEST)
    height, width = sample.images.shape[1:3]
    # Channels may come first or last: a picture's sides are the two that are equal to the sample's.
    if sum(size in {height, width, None} for size in model.input.shape[1:]) < 2:
        return inspect(path)
    return inspect(path, subject.feeding.encode(sample.images[:IMAGES], model.input))
