"""Checkpoints: everything that a training needs to go on as if it had never stopped."""

import errno
import json
from pathlib import Path

import tensorflow as tf
from pydantic import BaseModel, ConfigDict

from edgecifar.artifacts.files import flush, put_back, replacing_folder, write_text
from edgecifar.errors import TrainingError


class EpochRow(BaseModel):
    """One epoch of a history."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int
    """From 1."""
    phase: str
    """"train", "prune" or "quantize"."""
    learning_rate: float
    """Of the epoch's last step."""
    loss: float
    """Mean over the epoch's augmented images, with smoothing and penalties."""
    accuracy: float
    """Over the epoch's augmented images, while the weights moved; 0 to 1."""
    val_loss: float
    val_accuracy: float
    """Of the averaged weights where the recipe averages; 0 to 1."""
    seconds: float


class Progressed(BaseModel):
    """How far a training has come."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: str
    """Of recipe and data: a checkpoint goes on with the same only."""
    rows: tuple[EpochRow, ...]


class Checkpointer:
    """Saves and restores a training's state in one folder, replaced as a whole.

    Args:
        folder: Where the state lies.
        identity: Of recipe and data.
        state: The trackable objects: model, optimiser, averages.
    """

    def __init__(self, folder: Path, identity: str, state: dict[str, tf.Module]) -> None:
        self._folder = folder
        self._identity = identity
        self._checkpoint = tf.train.Checkpoint(**state)

    def save(self, rows: tuple[EpochRow, ...]) -> None:
        """Saves the state after the last of `rows`.

        Raises:
            OSError: It cannot be written; the one before is as it was.
        """
        with replacing_folder(self._folder) as folder:
            try:
                self._checkpoint.write(str(folder / "state"))
            except tf.errors.OpError as error:
                # TensorFlow's own kind of error: "{{node ...}} PATH; No space left on device [Op:SaveV2]".
                reason = str(error).rpartition("; ")[2].partition(" [Op:")[0]
                number = errno.ENOSPC if isinstance(error, tf.errors.ResourceExhaustedError) else errno.EIO
                raise OSError(number, reason, str(self._folder)) from error
            progressed = Progressed(identity=self._identity, rows=rows)
            write_text(folder / "progress.json", progressed.model_dump_json(indent=2))
            # The checkpoint before it is removed after this.
            flush(folder)

    def restore(self) -> tuple[EpochRow, ...]:
        """Restores the saved state and returns its epochs; empty if nothing was saved.

        Raises:
            TrainingError: The checkpoint is damaged, or of another recipe or data set.
        """
        put_back(self._folder)
        path = self._folder / "progress.json"
        if not path.is_file():
            return ()
        again = f"Remove {self._folder} to start afresh."
        try:
            progressed = Progressed.model_validate(json.loads(path.read_text(encoding="utf-8")))
            if progressed.identity != self._identity:
                raise TrainingError(
                    f"{self._folder}: the checkpoint is of another recipe or data set.", again
                )
            self._checkpoint.read(str(self._folder / "state")).assert_consumed()
        # TensorFlow's reader raises IndexError and RuntimeError for files that end too early.
        except (ValueError, IndexError, RuntimeError, AssertionError, tf.errors.OpError) as error:
            raise TrainingError(f"{self._folder}: the checkpoint is damaged.", again) from error
        return progressed.rows
