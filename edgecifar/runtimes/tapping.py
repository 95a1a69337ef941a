"""Models opened for a look inside: with what each of their layers gives."""

from pathlib import Path

from edgecifar.errors import VerificationError
from edgecifar.protocol import Tapped

TAPPED_RUNTIMES = {
    ".tflite": ("litert", "litert-builtin", "litert-reference"),
    ".onnx": ("ort-cpu",),
}
"""By file ending: the runtimes that give intermediate tensors, the most used first."""


def open_tapped(path: Path, runtime: str | None, threads: int) -> Tapped:
    """Returns the model in a runtime that gives the outputs of its layers.

    Args:
        path: A `.tflite` or `.onnx` file.
        runtime: Its name; None: the usual one.
        threads: Of the engine.

    Raises:
        VerificationError: No runtime gives the layers of such a file, or not this one.
        ModelError: The file is missing, damaged, or no image classifier.
    """
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
