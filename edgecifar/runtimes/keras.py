"""Keras models in TensorFlow: the reference that every export is held against."""

import importlib.util
import os
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.protocol import Array, EngineInfo, TensorInfo

CHUNK = 250


class Keras:
    """Keras 2 (tf_keras) on the device that TensorFlow chooses."""

    name = "keras"
    suffixes = (".keras", ".h5")

    def missing(self) -> str | None:
        """Returns why Keras cannot run here, or None where it can."""
        for module, package in (("tensorflow", "tensorflow"), ("tf_keras", "tf-keras")):
            if importlib.util.find_spec(module) is None:
                return f"{package} is not installed. Install it with: pip install {package}"
        return None

    def load(self, path: Path, threads: int) -> "KerasModel":
        """Returns the model of a `.keras` or `.h5` file.

        Raises:
            EngineMissingError: TensorFlow or Keras is not installed.
            ModelError: The file is missing, damaged, or no image classifier.
        """
        reason = self.missing()
        if reason is not None:
            raise EngineMissingError(reason)
        _check_whole(path)
        return KerasModel(path, threads)


class KerasModel:
    """A Keras model, compiled into one TensorFlow function."""

    def __init__(self, path: Path, threads: int) -> None:
        import tensorflow as tf
        import tf_keras

        self._path = path
        # Before anything runs: TensorFlow takes the number of threads only until its first operation.
        used_threads = _set_threads(tf, threads)
        model = _load(path)
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            found = f"{len(model.inputs)} inputs and {len(model.outputs)} outputs"
            raise ModelError(f"{path}: has {found}; an image classifier has one of each.")
        self.input = _tensor_info(model.input, model.input_names[0])
        self.output = _tensor_info(model.output, model.output_names[0])
        signature = tf.TensorSpec((None, *self.input.shape[1:]), self.input.dtype)
        self._function = tf.function(lambda batch: model(batch, training=False), input_signature=[signature])
        trial = self._function(tf.zeros((1, *(size or 1 for size in self.input.shape[1:])), self.input.dtype))
        version = f"{tf_keras.__version__} (TensorFlow {tf.__version__})"
        self.info = EngineInfo(Keras.name, "Keras", version, _device_name(tf, trial.device), used_threads)

    def predict(self, batch: Array) -> Array:
        """Returns the outputs for a batch of any size.

        Raises:
            ModelError: The batch is not of the input's shape or dtype.
        """
        problem = self.input.mismatch(batch)
        if problem:
            raise ModelError(f"{self._path}: {problem}")
        pieces = [
            self._function(batch[start : start + CHUNK]).numpy() for start in range(0, len(batch), CHUNK)
        ]
        return np.concatenate(pieces) if pieces else self.output.empty()


def _set_threads(tf: Any, threads: int) -> int:
    """Asks TensorFlow for so many threads, and returns how many it really uses.

    TensorFlow fixes the number when it first runs something; a later wish is refused.
    """
    threading = tf.config.threading
    try:
        threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:
        return int(threading.get_intra_op_parallelism_threads()) or os.cpu_count() or 1
    return threads


def _device_name(tf: Any, device: str) -> str:
    """Returns "CPU", or a GPU's own name, for a tensor's device string."""
    found = re.search(r"device:(\w+):(\d+)", device)
    if found is None or found[1] == "CPU":
        return "CPU"
    gpu = tf.config.list_physical_devices(found[1])[int(found[2])]
    return str(tf.config.experimental.get_device_details(gpu).get("device_name", found[1]))


def _load(path: Path) -> Any:
    import tf_keras

    try:
        return tf_keras.models.load_model(path, compile=False)
    # Keras raises whatever the JSON or HDF5 reader below it does.
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = (
            str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        )
        raise ModelError(f"{path}: not a Keras model that can be read: {reason}.") from error


def _tensor_info(tensor: Any, name: str) -> TensorInfo:
    return TensorInfo(name, tuple(tensor.shape), tensor.dtype.name)


def _check_whole(path: Path) -> None:
    """Returns if the file is a whole zip (`.keras`) or begins as HDF5 (`.h5`)."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}).") from error
    if not content:
        raise ModelError(f"{path}: the file is empty.", "Copy or export it again.")
    if path.suffix == ".h5":
        if not content.startswith(b"\x89HDF\r\n\x1a\n"):
            raise ModelError(f"{path}: not a Keras model (no HDF5 file).")
        return
    if not content.startswith(b"PK\x03\x04"):
        raise ModelError(f"{path}: not a Keras model (no .keras archive).")
    if not zipfile.is_zipfile(path):
        raise ModelError(
            f"{path}: ends after {len(content):,} bytes, without the directory of its archive.",
            "The file was cut short; copy or export it again.",
        )
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ModelError(f"{path}: the archive is damaged ({error}).", "Copy or export it again.") from error
    if damaged is not None:
        raise ModelError(f"{path}: {damaged} in the archive is damaged.", "Copy or export it again.")


KERAS = Keras()
