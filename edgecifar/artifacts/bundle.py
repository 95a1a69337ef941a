"""Bundle: everything that an app embeds, and the manifest that says what each file is."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from edgecifar.artifacts.dataset import Preprocessing
from edgecifar.artifacts.files import sha256
from edgecifar.artifacts.record import Record
from edgecifar.errors import ModelError
from edgecifar.protocol import TensorInfo


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise ValueError(f"{name!r} leads out of the bundle")
    return name


InsidePath = Annotated[str, AfterValidator(_inside)]


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


class Manifest(Record):
    """What `manifest.json` says."""

    schema_version: Literal[1] = 1
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
    """Of the training images that calibrated the int8 artifacts; None if none was."""
    calibration_images: int
    golden_images: int
    golden_twin_steps: int | None
    """Largest difference in output steps between the int8 TFLite and ONNX files on the golden images; None
    where the bundle does not hold both."""
    tool_versions: dict[str, str]

    @model_validator(mode="after")
    def _reference_is_an_artifact(self) -> Self:
        if self.reference not in [entry.file for entry in self.artifacts]:
            raise ValueError(f"reference {self.reference} is none of the artifacts")
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
        entries: tuple[ArtifactEntry | FileEntry, ...] = (*manifest.artifacts, *manifest.files)
        for entry in entries:
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
