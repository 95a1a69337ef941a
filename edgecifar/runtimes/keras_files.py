"""Files that TensorFlow runs: `.keras` and `.h5` of Keras 2 and Keras 3, and SavedModels.

Keras 2 (tf_keras) and Keras 3 (keras) do not read each other's files; a file names the Keras that wrote it.
"""

import importlib.util
import json
import lzma
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecifar.chatter import diverted
from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.protocol import TensorInfo


@dataclass(frozen=True, slots=True)
class Opened:
    """A model as a TensorFlow function from one tensor to one tensor."""

    function: Callable[[Any], Any]
    model: Any
    """Held, because a SavedModel's signature does not keep its variables alive."""
    input: TensorInfo
    output: TensorInfo
    engine: str
    version: str


def open_keras(path: Path) -> Opened:
    """Returns the model of a `.keras` or `.h5` file, loaded by the Keras that wrote it.

    Raises:
        EngineMissingError: That Keras is not installed.
        ModelError: The file is damaged, would run code of its own, or is no image classifier.
    """
    import tensorflow as tf

    written_by = _version_of_writer(path)
    keras = _keras_package(path, written_by)
    try:
        with diverted():
            model = keras.models.load_model(path, compile=False)
    # Keras raises whatever the JSON or HDF5 reader below it does.
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError) as error:
        raise ModelError(f"{path}: not a Keras model that can be read: {first_line(error)}.") from error
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise ModelError(f"{path}: has no input of a known shape.", "Build the model before it is saved.")
    if len(inputs) != 1 or len(outputs) != 1:
        found = f"{len(inputs)} inputs and {len(outputs)} outputs"
        raise ModelError(f"{path}: has {found}; an image classifier has one of each.")
    image = _tensor_info(inputs[0], getattr(model, "input_names", None))
    classes = _tensor_info(outputs[0], getattr(model, "output_names", None))
    signature = tf.TensorSpec(image.shape, image.dtype)
    function = tf.function(lambda batch: model(batch, training=False), input_signature=[signature])
    return Opened(function, model, image, classes, "Keras", str(keras.__version__))


def open_saved_model(path: Path) -> Opened:
    """Returns the serving signature of a SavedModel.

    Raises:
        ModelError: The folder is damaged, or has no signature of one input and one output.
    """
    import tensorflow as tf

    try:
        with diverted():
            model = tf.saved_model.load(str(path))
    # The loader raises what protobuf, the checkpoint reader or the file system do.
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,
        tf.errors.OpError,
    ) as error:
        raise ModelError(f"{path}: not a SavedModel that can be read: {first_line(error)}.") from error
    if "serving_default" not in model.signatures:
        found = ", ".join(model.signatures) or "none"
        raise ModelError(f"{path}: has no signature named serving_default; it has {found}.")
    signature = model.signatures["serving_default"]
    inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
    if len(inputs) != 1 or len(outputs) != 1:
        found = f"{len(inputs)} inputs and {len(outputs)} outputs"
        raise ModelError(f"{path}: has {found}; an image classifier has one of each.")
    [(name, spec)] = inputs.items()
    [(output_name, output)] = outputs.items()

    def function(batch: Any) -> Any:
        return signature(**{name: tf.convert_to_tensor(batch)})[output_name]

    written_by = str(getattr(model, "tensorflow_version", tf.__version__))
    return Opened(
        function,
        model,
        TensorInfo(name, _shape(spec), spec.dtype.name),
        TensorInfo(output_name, _shape(output), output.dtype.name),
        "TensorFlow",
        f"SavedModel of {written_by}",
    )


def check_whole(path: Path) -> None:
    """Returns if the file is a whole zip (`.keras`) or begins as HDF5 (`.h5`).

    Raises:
        ModelError: It is not, saying where it ends.
    """
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
    # RuntimeError: a member is encrypted, or packed in a way that zipfile does not know.
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError) as error:
        raise ModelError(f"{path}: the archive is damaged ({error}).", "Copy or export it again.") from error
    if damaged is not None:
        raise ModelError(f"{path}: {damaged} in the archive is damaged.", "Copy or export it again.")


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message without its full stop, or its type's name."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


def _version_of_writer(path: Path) -> str:
    """Returns the version of the Keras that wrote a file; "2" where a file is older than such notes."""
    if path.suffix == ".keras":
        try:
            with zipfile.ZipFile(path) as archive:
                return str(json.loads(archive.read("metadata.json"))["keras_version"])
        except (KeyError, ValueError, TypeError) as error:
            raise ModelError(
                f"{path}: not a Keras model that can be read: the archive has no metadata.json."
            ) from error
    import h5py

    try:
        with h5py.File(path) as file:
            if "model_config" not in file.attrs:
                raise ModelError(
                    f"{path}: holds no model, only weights.", "Save the whole model: model.save(...)."
                )
            # Keras runs the code that a file of this format carries, without asking.
            if _holds_code(json.loads(_text(file.attrs["model_config"]))):
                raise ModelError(
                    f"{path}: a Lambda layer or function holds code of its own, which is not run.",
                    "Save it without, or export it to another format.",
                )
            return _text(file.attrs.get("keras_version", "2"))
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{path}: not an HDF5 file that can be read: {first_line(error)}.",
            "The file was cut short or damaged; copy or export it again.",
        ) from error


def _keras_package(path: Path, written_by: str) -> Any:
    """Returns tf_keras for a file of Keras 2 and older, and keras for one of Keras 3."""
    if written_by.partition(".")[0] in {"1", "2"}:
        import tf_keras

        return tf_keras
    if importlib.util.find_spec("keras") is None:
        raise EngineMissingError(
            f"{path} was written by Keras {written_by}, which is not installed.",
            "Install it with: pip install keras",
        )
    import keras

    if keras.backend.backend() != "tensorflow":
        raise EngineMissingError(
            f"Keras 3 is set to compute with {keras.backend.backend()}, not TensorFlow.",
            "Set KERAS_BACKEND=tensorflow.",
        )
    return keras


def _holds_code(config: Any) -> bool:
    """Returns whether a decoded configuration names a Lambda layer, or a function as "__lambda__"."""
    if isinstance(config, (dict, list)):
        return any(map(_holds_code, config.values() if isinstance(config, dict) else config))
    return isinstance(config, str) and config.strip("_").lower() == "lambda"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _tensor_info(tensor: Any, names: list[str] | None) -> TensorInfo:
    """Returns an input or output; its dtype is an object in Keras 2 and a name in Keras 3."""
    dtype = getattr(tensor.dtype, "name", tensor.dtype)
    return TensorInfo(names[0] if names else str(tensor.name), _shape(tensor), str(dtype))


def _shape(tensor: Any) -> tuple[int | None, ...]:
    if getattr(tensor.shape, "rank", 0) is None:
        return ()
    return tuple(None if size is None else int(size) for size in tensor.shape)
