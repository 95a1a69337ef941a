"""Bundle: everything that an app embeds, and the manifest that says what each file is."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, field_validator, model_validator

from edgecifar.artifacts.dataset import Preprocessing
from edgecifar.artifacts.files import sha256
from edgecifar.artifacts.record import Record, not_newer
from edgecifar.artifacts.run import Run, RunRecord
from edgecifar.errors import ModelError
from edgecifar.protocol import TensorInfo

SCHEMA_VERSION: Final = 2
"""Of manifests that are written; 1, which has no targets, is read too."""


def inside(name: str) -> str:
    """Returns `name` if it is the plain path of a file below a folder, with / between its parts.

    Raises:
        ValueError: It is absolute, leads upwards, or is not written as `PurePosixPath` writes it.
    """
    path = PurePosixPath(name)
    # A colon is a drive or a stream on Windows.
    if path.is_absolute() or ".." in path.parts or any(mark in name for mark in "\\:\0"):
        raise ValueError(f"{name!r} leads out of the bundle")
    if name in {"", "."} or path.as_posix() != name:
        raise ValueError(f"{name!r} is not the plain name of a file")
    return name


InsidePath = Annotated[str, AfterValidator(inside)]


class Weights(StrEnum):
    """How the integers or floats of an artifact came to be."""

    TRAINED = "trained"
    """float32, as trained (and pruned, where the run was)."""
    ROUNDED = "rounded to float16"
    DYNAMIC = "int8 weights, float activations"
    CALIBRATED = "post-training calibration"
    QAT = "quantization-aware training"


class ArtifactEntry(Record):
    """One model file."""

    file: InsidePath
    format: Literal["keras", "tflite", "onnx"]
    precision: Literal["float32", "float16", "dynamic", "int8"]
    size_bytes: int
    sha256: str
    input: TensorInfo
    output: TensorInfo
    raw_pixels: bool
    """Whether the input takes pixels of 0-255 as bytes; else it takes preprocessed values (quantized by
    the input's own scale and zero point where it has them)."""
    output_step: float | None
    """Real value of one quantization step of an int8 model's output, even where it is given dequantized."""
    weights: Weights
    made_by: str
    """Converter and version: "TensorFlow 2.21.0 TFLiteConverter"."""


class FileEntry(Record):
    """A file of the bundle that is not a model: labels, golden images, the run's history."""

    file: InsidePath
    size_bytes: int
    sha256: str


class TargetEntry(Record):
    """A folder that holds all that one platform embeds."""

    name: str
    """As `edgecifar export --target` takes it: "android"."""
    folder: InsidePath
    artifacts: tuple[InsidePath, ...]
    """The bundle's artifacts whose copies lie in the folder, or from which its model was compiled."""


class Manifest(Record):
    """What `manifest.json` says."""

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    name: str
    run: str
    recipe: str
    """Name of the recipe; the recipe itself is `run.json`'s."""
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    reference: InsidePath
    """The artifact before any compression, which `verify` holds the others against."""
    artifacts: tuple[ArtifactEntry, ...]
    files: tuple[FileEntry, ...]
    calibration_fingerprint: str | None
    """Of the training images that gave the int8 artifacts ranges: all after post-training calibration, those
    that are not trained after quantization-aware training; None if none was needed."""
    calibration_images: int
    golden_images: int
    golden_twin_steps: int | None
    """Largest difference in output steps between the int8 TFLite and ONNX files on the golden images; None
    where the bundle does not hold both."""
    tool_versions: dict[str, str]
    targets: tuple[TargetEntry, ...] = ()

    @property
    def entries(self) -> tuple[ArtifactEntry | FileEntry, ...]:
        """Every file of the bundle but the manifest, with its hash."""
        return (*self.artifacts, *self.files)

    @field_validator("schema_version", mode="before")
    @classmethod
    def _is_not_newer(cls, version: object) -> object:
        return not_newer(version, SCHEMA_VERSION)

    @model_validator(mode="after")
    def _each_file_is_named_once(self) -> Self:
        seen: set[str] = set()
        for name in ("manifest.json", *(entry.file for entry in self.entries)):
            # Two names that differ by case alone are one file on Windows and macOS.
            if name.casefold() in seen:
                raise ValueError(f"{name} is named twice")
            seen.add(name.casefold())
        return self

    @model_validator(mode="after")
    def _reference_is_an_artifact(self) -> Self:
        known = {entry.file for entry in self.artifacts}
        if self.reference not in known:
            raise ValueError(f"reference {self.reference} is none of the artifacts")
        for target in self.targets:
            if not known.issuperset(target.artifacts):
                raise ValueError(f"target {target.name} has an artifact that is none of the bundle's")
        return self


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle's folder and its manifest."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Returns the bundle in `folder`, each file checked against its SHA-256.

        Raises:
            ModelError: No manifest, a newer schema, or a file that is missing or altered.
        """
        if not (folder / "manifest.json").is_file():
            raise ModelError(f"{folder}: not a bundle (no manifest.json).")
        manifest = Manifest.read(folder / "manifest.json")
        for entry in manifest.entries:
            path = folder / entry.file
            if not path.is_file():
                raise ModelError(f"{path}: the manifest names it, but it is not there.")
            if path.stat().st_size != entry.size_bytes or sha256(path) != entry.sha256:
                raise ModelError(f"{path}: altered since it was exported.", "Export the bundle again.")
        return cls(folder, manifest)

    @property
    def reference_path(self) -> Path:
        """The model that the artifacts are held against."""
        return self.folder / self.manifest.reference

    @property
    def run(self) -> Run:
        """Of the run that it was exported from, the record and the model before any compression.

        Raises:
            ModelError: The bundle has no `run.json`, or a damaged one.
        """
        return Run(self.folder, RunRecord.read(self.folder / "run.json"), is_bundled=True)


def open_trained(folder: Path) -> Run:
    """Returns the finished run in `folder`, or that from which the bundle there was exported.

    Raises:
        ModelError: There is neither, or the bundle was altered.
    """
    return Bundle.open(folder).run if (folder / "manifest.json").is_file() else Run.open(folder)
