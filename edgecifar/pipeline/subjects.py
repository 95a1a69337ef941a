"""Subjects: whatever a person names on the command line as a model, opened."""

from dataclasses import dataclass
from pathlib import Path

from edgecifar.artifacts import ArtifactEntry, Bundle, Dataset, Preprocessing, Run
from edgecifar.artifacts.files import sha256, sha256_of_all
from edgecifar.artifacts.run import RunRecord
from edgecifar.errors import ModelError, VerificationError
from edgecifar.recipe import DataSpec
from edgecifar.runtimes import MODEL_SUFFIXES, default_runtimes_for
from edgecifar.verification.feeding import Feeding, Outputs
from edgecifar.verification.inputs import InputSpec
from edgecifar.verification.metadata import read_metadata

SAVED_MODEL = "saved_model.pb"
"""The file that makes a folder a SavedModel."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One model file with what is known about it."""

    path: Path
    format: str
    precision: str
    sha256: str
    preprocessing: Preprocessing | InputSpec
    described_by: str
    """Who says how pixels are fed: "the manifest of edge-vgg6"."""
    raw_pixels: bool
    """Whether the input takes the pixels' bytes."""
    output_step: float | None
    """Real value of one quantization step of an int8 model's output; None where nothing tells."""
    class_names: tuple[str, ...] | None
    """None where nothing beside the file names them."""
    origin: Path | None
    """The bundle that the file belongs to."""

    @property
    def runtimes(self) -> tuple[str, ...]:
        """Names of the runtimes that read such files, the most used first."""
        return default_runtimes_for(self.suffix)

    @property
    def suffix(self) -> str:
        """What runtimes know such models by: the file's ending, ".savedmodel" for a SavedModel's folder."""
        return model_suffix(self.path)

    @property
    def size_bytes(self) -> int:
        """The file's size, or that of all files in a SavedModel's folder."""
        return sum(file.stat().st_size for file in model_files(self.path))

    @property
    def feeding(self) -> Feeding:
        """How images become the model's input, and its output probabilities."""
        said_by_a_person = isinstance(self.preprocessing, InputSpec)
        return Feeding(
            self.preprocessing,
            raw_pixels=self.raw_pixels,
            # What edgecifar made gives probabilities; nobody says it of other files.
            outputs=Outputs.DETECTED if said_by_a_person else Outputs.PROBABILITIES,
            output_step=self.output_step,
            origin=self.described_by,
        )


@dataclass(frozen=True, slots=True)
class Source:
    """The images and the reference that belong to a subject."""

    data: DataSpec
    seed: int
    class_names: tuple[str, ...]


def place_of(thing: Run | Bundle | Path | str) -> Path:
    """Returns the folder of a run or bundle, or the path that was named."""
    return thing.folder if isinstance(thing, (Run, Bundle)) else Path(thing)


def model_suffix(path: Path) -> str:
    """Returns what runtimes know a model by: its file's ending, ".savedmodel" for a SavedModel's folder."""
    return ".savedmodel" if (path / SAVED_MODEL).is_file() else path.suffix


def model_files(path: Path) -> tuple[Path, ...]:
    """Returns all files of a model: itself, its weights where ONNX has them beside it, a SavedModel's."""
    if path.is_dir():
        return tuple(sorted(file for file in path.rglob("*") if file.is_file()))
    return (path, *_external_weights(path)) if path.suffix == ".onnx" else (path,)


def _external_weights(path: Path) -> tuple[Path, ...]:
    """Returns the files beside an ONNX model that hold its weights; none for a file that is damaged."""
    # A model without any need not be parsed: the word is the key of the entry that names such a file.
    if b"location" not in path.read_bytes():
        return ()
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError:
        return ()
    names = {
        entry.value
        for tensor in model.graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return tuple(path.parent / name for name in sorted(names) if (path.parent / name).is_file())


def open_subjects(path: Path, preprocessing: Preprocessing | InputSpec | None = None) -> tuple[Subject, ...]:
    """Returns the models at a path: a bundle's artifacts, a run's float model, or one file.

    Args:
        path: Folder of a bundle or run, or a model file.
        preprocessing: What a file that is alone sees; one in a bundle or run is described there.

    Raises:
        ModelError: There is no model, or nothing says how its pixels are to be scaled.
    """
    if path.is_dir() and not (path / SAVED_MODEL).is_file():
        if (path / "manifest.json").is_file():
            bundle = Bundle.open(path)
            return tuple(
                _in_bundle(bundle, entry) for entry in bundle.manifest.artifacts if entry.format != "keras"
            )
        run = Run.open(path)
        return (_of_run(run, run.model_path),)
    return (open_file(path, preprocessing),)


def open_reference(
    path: Path,
    preprocessing: Preprocessing | InputSpec | None = None,
    otherwise: Preprocessing | InputSpec | None = None,
) -> Subject:
    """Returns the reference at a path: a bundle's, a run's model before compression, or a file.

    Args:
        path: As for `open_subjects`.
        preprocessing: What a file that is alone sees.
        otherwise: What it sees if nobody says that, and it does not say it itself.

    Raises:
        ModelError: As `open_subjects`.
    """
    if path.is_dir() and not (path / SAVED_MODEL).is_file():
        if (path / "manifest.json").is_file():
            bundle = Bundle.open(path)
            entries = {entry.file: entry for entry in bundle.manifest.artifacts}
            return _in_bundle(bundle, entries[bundle.manifest.reference])
        run = Run.open(path)
        return _of_run(run, run.reference_path)
    return open_file(path, preprocessing, otherwise)


def open_model(path: Path, preprocessing: Preprocessing | InputSpec | None = None) -> Subject:
    """Returns the one model at a path: a bundle's reference, a run's float model, or a file.

    Raises:
        ModelError: As `open_subjects`.
    """
    if (path / "run.json").is_file() and not (path / "manifest.json").is_file():
        run = Run.open(path)
        return _of_run(run, run.model_path)
    return open_reference(path, preprocessing)


def open_file(
    path: Path,
    preprocessing: Preprocessing | InputSpec | None,
    otherwise: Preprocessing | InputSpec | None = None,
) -> Subject:
    """Returns one model file, described by the bundle or run in whose folder it lies, the caller or itself.

    Args:
        path: The file, or a SavedModel's folder.
        preprocessing: What it sees if it is alone.
        otherwise: What it sees if nobody says that, and its own metadata is silent too.

    Raises:
        ModelError: There is no model, or nothing says how its pixels are to be scaled.
    """
    if not path.exists():
        raise ModelError(f"{path}: there is no such file or folder.")
    if model_suffix(path) not in MODEL_SUFFIXES:
        raise ModelError(f"{path}: no model that is known here.", f"Known: {', '.join(MODEL_SUFFIXES)}.")
    if (path.parent / "manifest.json").is_file():
        bundle = Bundle.open(path.parent)
        for entry in bundle.manifest.artifacts:
            if entry.file == path.name:
                return _in_bundle(bundle, entry)
    elif (path.parent / "run.json").is_file():
        run = Run.open(path.parent)
        if path in {run.model_path, run.reference_path}:
            return _of_run(run, path)
    return _alone(path, preprocessing, otherwise)


def _alone(
    path: Path,
    preprocessing: Preprocessing | InputSpec | None,
    otherwise: Preprocessing | InputSpec | None,
) -> Subject:
    metadata = read_metadata(path)
    used = preprocessing or metadata.spec or otherwise
    if used is None:
        raise ModelError(
            f"{path}: nothing in or beside the file says how its pixels are scaled.",
            "Give --scale, or --mean and --std: the model sees (pixel * scale - mean) / std.",
        )
    by_itself = used is metadata.spec
    who = "its metadata" if by_itself else "as the options say"
    if metadata.spec is not None and isinstance(used, InputSpec) and not metadata.spec.is_like(used):
        who += f"; its metadata says otherwise: {metadata.spec.describe()}"
    return Subject(
        path=path,
        format=model_suffix(path).removeprefix("."),
        precision="unknown",
        sha256=_content_hash(path),
        preprocessing=used,
        described_by=f"{path.name} ({who})",
        raw_pixels=by_itself and metadata.raw_pixels,
        output_step=None,
        class_names=metadata.class_names,
        origin=None,
    )


def _content_hash(path: Path) -> str:
    files = model_files(path)
    return sha256(path) if files == (path,) else sha256_of_all(files, path.parent)


def source_of(path: Path) -> Source | None:
    """Returns the images that a bundle or run (or a file in one) was made with; None for other files."""
    folder = path if path.is_dir() else path.parent
    if not (folder / "run.json").is_file():
        return None
    record = RunRecord.read(folder / "run.json")
    return Source(record.recipe.data, record.recipe.seed, record.class_names)


def check_classes(subject: Subject, data: Dataset) -> None:
    """Refuses images of other classes than those that a model knows.

    Raises:
        VerificationError: Naming both.
    """
    if subject.class_names in (None, data.class_names) or _calls_them_otherwise(subject, data):
        return
    if subject.class_names is not None:
        raise VerificationError(
            f"{subject.path} knows the classes {', '.join(subject.class_names or ())}; "
            f"the images have {', '.join(data.class_names)}."
        )


def _calls_them_otherwise(subject: Subject, data: Dataset) -> bool:
    """Returns whether a lone file has words of its own for the classes: "Plane", "plane, aeroplane".

    Those may be in any language; the same words in another order are another order of the classes.
    """
    if not isinstance(subject.preprocessing, InputSpec):
        return False
    theirs = [name.casefold() for name in subject.class_names or ()]
    ours = [name.casefold() for name in data.class_names]
    return theirs == ours or sorted(theirs) != sorted(ours)


def _in_bundle(bundle: Bundle, entry: ArtifactEntry) -> Subject:
    return Subject(
        path=bundle.folder / entry.file,
        format=entry.format,
        precision=entry.precision,
        sha256=entry.sha256,
        preprocessing=bundle.manifest.preprocessing,
        described_by=f"{bundle.folder.name} (its manifest)",
        raw_pixels=entry.raw_pixels and entry.input.scale is None,
        output_step=entry.output_step,
        class_names=bundle.manifest.class_names,
        origin=bundle.folder,
    )


def _of_run(run: Run, path: Path) -> Subject:
    return Subject(
        path=path,
        format="keras",
        precision="float32",
        sha256=sha256(path),
        preprocessing=run.record.preprocessing,
        described_by=f"{run.folder.name} (its run.json)",
        raw_pixels=False,
        output_step=None,
        class_names=run.record.class_names,
        origin=None,
    )
