"""Models opened for a look inside: with what each of their layers gives."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgecifar.errors import VerificationError
from edgecifar.protocol import Probed, Tapped

if TYPE_CHECKING:
    from edgecifar.runtimes.onnx_layers import TappedOnnx
    from edgecifar.runtimes.tflite_layers import TappedTFLite

TAPPED_RUNTIMES = {
    ".tflite": ("litert", "litert-builtin", "litert-reference", "tflm"),
    ".onnx": ("ort-cpu",),
}
"""By file ending: the runtimes that give all intermediate tensors of a run, the most used first."""
PROBED_RUNTIMES = ("openvino",)
"""Those that give one layer at a time, of files with any of these endings."""


def open_tapped(path: Path, runtime: str | None, threads: int) -> Tapped:
    """Returns the model in a runtime that gives the outputs of its layers.

    Args:
        path: A `.tflite` or `.onnx` file.
        runtime: Its name; None: the usual one.
        threads: Of the engine.

    Raises:
        VerificationError: No runtime gives the layers of such a file, or not this one.
        EngineMissingError: The runtime is not installed.
        ModelError: The file is missing, damaged, no image classifier, or refused by the runtime.
    """
    return _open(path, runtime, threads)


def open_probed(path: Path, threads: int) -> Probed:
    """Returns the model in OpenVINO, which gives the output of one layer at a time.

    Args:
        path: A `.tflite` or `.onnx` file.
        threads: Of the engine.

    Raises:
        VerificationError: The layers of such a file cannot be looked into.
        EngineMissingError: OpenVINO is not installed.
        ModelError: The file is missing, damaged, no image classifier, or refused by OpenVINO.
    """
    described = _open(path, None, threads)
    from edgecifar.runtimes.openvino_layers import ProbedOpenVINO

    return ProbedOpenVINO(path, described, threads)


def _open(path: Path, runtime: str | None, threads: int) -> "TappedOnnx | TappedTFLite":
    known = TAPPED_RUNTIMES.get(path.suffix)
    if known is None:
        raise VerificationError(
            f"{path}: the layers of such a file cannot be looked into.",
            f"Known: {', '.join(TAPPED_RUNTIMES)}. Export the model to one of them first.",
        )
    name = runtime or known[0]
    if name not in known:
        raise VerificationError(
            f"{name} does not give the layers of {path.name}.", f"These do: {', '.join(known)}."
        )
    if path.suffix == ".onnx":
        from edgecifar.runtimes.onnx_layers import TappedOnnx

        return TappedOnnx(path, name, threads)
    from edgecifar.runtimes.tflite_layers import TappedTFLite

    return TappedTFLite(path, name, threads)
