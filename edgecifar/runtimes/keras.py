"""Keras models in TensorFlow: the reference that every export is held against."""

import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from edgecifar.chatter import diverted
from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.protocol import Array, EngineInfo
from edgecifar.runtimes.installed import installed
from edgecifar.runtimes.keras_files import check_whole, first_line, open_keras, open_saved_model

CHUNK = 250
_GPU_DEVICES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""Of NVIDIA, NVIDIA, Windows below WSL, and AMD."""
_PLUGINS = ("tensorflow-metal", "tensorflow-directml-plugin", "intel-extension-for-tensorflow")
_SETTINGS = ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "TF_XLA_FLAGS", "XLA_FLAGS")
"""Variables of the environment by which TensorFlow chooses its kernels."""


class Keras:
    """Keras 2 (tf_keras), Keras 3 and SavedModels, on the device that TensorFlow chooses."""

    name = "keras"
    suffixes = (".keras", ".h5", ".savedmodel")
    """A SavedModel is a folder of any name; the last one stands for it."""

    def missing(self) -> str | None:
        """Returns why Keras cannot run here, or None where it can."""
        for module, package in (("tensorflow", "tensorflow"), ("tf_keras", "tf-keras")):
            if importlib.util.find_spec(module) is None:
                return f"{package} is not installed. Install it with: pip install {package}"
        return None

    def identity(self) -> dict[str, str] | None:
        """Returns the installed versions, without starting TensorFlow; None where a GPU may compute."""
        if any(Path(device).exists() for device in _GPU_DEVICES) or any(map(installed, _PLUGINS)):
            return None
        versions = installed("tensorflow", "tf-keras", "keras")
        settings = {name: os.environ.get(name, "") for name in _SETTINGS}
        return versions and versions | settings

    def load(self, path: Path, threads: int) -> "KerasModel":
        """Returns the model of a `.keras` or `.h5` file, or of a SavedModel's folder.

        Raises:
            EngineMissingError: TensorFlow, or the Keras that wrote the file, is not installed.
            ModelError: The file is missing, damaged, or no image classifier.
        """
        reason = self.missing()
        if reason is not None:
            raise EngineMissingError(reason)
        if not path.is_dir():
            check_whole(path)
        return KerasModel(path, threads)


class KerasModel:
    """A Keras model or a SavedModel, as one TensorFlow function."""

    def __init__(self, path: Path, threads: int) -> None:
        with diverted():
            import tensorflow as tf

            # Banners about this CPU; and the first look for GPUs makes CUDA complain where there is none.
            tf.config.list_physical_devices("GPU")
        self._path = path
        # Before anything runs: TensorFlow takes the number of threads only until its first operation.
        used_threads = _set_threads(tf, threads)
        opened = open_saved_model(path) if path.is_dir() else open_keras(path)
        self.input, self.output = opened.input, opened.output
        self._opened = opened
        self._chunk = self.input.shape[0] or CHUNK
        shape = (self._chunk if self.input.shape[0] else 1, *(size or 32 for size in self.input.shape[1:]))
        trial = self._run(tf.zeros(shape, self.input.dtype))
        version = f"{opened.version} (TensorFlow {tf.__version__})"
        self.info = EngineInfo(
            Keras.name, opened.engine, version, _device_name(tf, trial.device), used_threads
        )

    def predict(self, batch: Array) -> Array:
        """Returns the outputs for a batch of any size.

        Raises:
            ModelError: The batch is not of the input's shape or dtype, or TensorFlow fails on it.
        """
        problem = self.input.mismatch(batch)
        if problem:
            raise ModelError(f"{self._path}: {problem}")
        pieces = [
            self._run_chunk(batch[start : start + self._chunk]) for start in range(0, len(batch), self._chunk)
        ]
        return np.concatenate(pieces) if pieces else self.output.empty()

    def _run_chunk(self, batch: Array) -> Array:
        count = len(batch)
        if self.input.shape[0] is not None and count < self._chunk:
            batch = np.concatenate([batch, np.repeat(batch[-1:], self._chunk - count, axis=0)])
        outputs: Array = self._run(batch).numpy()
        return outputs[:count]

    def _run(self, batch: Any) -> Any:
        import tensorflow as tf

        try:
            return self._opened.function(batch)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise ModelError(f"{self._path}: TensorFlow fails on it: {first_line(error)}.") from error


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


KERAS = Keras()
