"""Run: a trained model with everything that says how it came to be."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from edgecifar.artifacts.dataset import Preprocessing
from edgecifar.artifacts.record import Record
from edgecifar.errors import ModelError
from edgecifar.recipe import Recipe


class Accuracy(Record):
    """Top-1 accuracy as counts."""

    correct: int
    total: int

    @property
    def rate(self) -> float:
        """Share of images classified rightly, 0 to 1."""
        return self.correct / self.total


class Environment(Record):
    """Where and with what a run was made."""

    edgecifar: str
    python: str
    tensorflow: str
    platform: str
    cpu: str
    cpu_flags: tuple[str, ...]
    """Those that change results or speed: avx2, avx512f, avx512_vnni, avx512_bf16, amx_int8 ..."""
    devices: tuple[str, ...]
    """The TensorFlow devices that trained: ("CPU",) or GPU names."""
    precision: str
    """Arithmetic of the training: float32, bfloat16 or float16."""


class Teacher(Record):
    """The network that a distilled one learned from."""

    name: str
    """Of its run."""
    sha256: str
    """Of its model before any compression."""
    validation: Accuracy


class Started(Record):
    """What `started.json` says, written when a training starts so that it can be resumed."""

    recipe: Recipe
    compress: bool = True
    """Whether the recipe's compression is part of it."""
    command: str
    """What to type to repeat the run."""


class RunRecord(Record):
    """What `run.json` says."""

    schema_version: Literal[1] = 1
    name: str
    recipe: Recipe
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    train_fingerprint: str
    """Of the training split that was learned from, validation images left out."""
    parent: str | None = None
    """Name of the run that this one compresses."""
    teacher: Teacher | None = None
    """What the training was distilled from; None: it learned from labels alone."""
    sparsity: float = 0.0
    """Measured share of zero weights in convolution and dense kernels."""
    parameters: int
    validation: Accuracy
    """The float model's; of the pruned one where the run was pruned."""
    validation_quantized: Accuracy | None = None
    """The quantization-aware model's, as Keras computes its fake quantization."""
    duration_s: float
    environment: Environment
    command: str
    """What to type to repeat the run."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folder and its record.

    The folder holds `run.json`; `model.keras`, the float model; `reference.keras`, the trained model before
    any compression (only in compressed runs); `qat.h5` (only after quantization-aware training);
    `history.csv`, `curves.png`, `events/` for TensorBoard, and `checkpoint/` while training.
    """

    folder: Path
    record: RunRecord
    is_bundled: bool = False
    """Whether the folder is a bundle, which keeps no float model but that before any compression."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Returns the finished run in `folder`.

        Raises:
            ModelError: There is no such folder, or no finished run in it.
        """
        if (folder / "manifest.json").is_file():
            raise ModelError(f"{folder}: a bundle, not a run.", "Name the run that it was exported from.")
        if not folder.exists():
            raise ModelError(f"{folder}: there is no such folder.")
        if not folder.is_dir():
            raise ModelError(f"{folder}: a file, not a run.", "Name the folder that holds its run.json.")
        if not (folder / "run.json").is_file():
            commands = {"started.json": "train", "compressing.json": "compress RUN"}
            begun = [command for name, command in commands.items() if (folder / name).is_file()]
            mend = f"Finish it with: edgecifar {begun[0]} --resume --out {folder}" if begun else ""
            raise ModelError(f"{folder}: there is no finished run (no run.json).", mend)
        return cls(folder, RunRecord.read(folder / "run.json"))

    @property
    def model_path(self) -> Path:
        """The float model, pruned where the run was pruned; of a bundle, that before any compression."""
        return self.folder / ("reference.keras" if self.is_bundled else "model.keras")

    @property
    def reference_path(self) -> Path:
        """The model before any compression: what every export is held against."""
        reference = self.folder / "reference.keras"
        return reference if reference.is_file() else self.model_path

    @property
    def qat_path(self) -> Path | None:
        """The quantization-aware model, where there is one."""
        qat = self.folder / "qat.h5"
        return qat if qat.is_file() else None

    @property
    def history_path(self) -> Path:
        """One row an epoch: epoch, phase, learning_rate, loss, accuracy, val_loss, val_accuracy, seconds."""
        return self.folder / "history.csv"
