"""Inference engines by name. An engine's module is imported when it is asked for, not before."""

from importlib import import_module

from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.protocol import Runtime

_ADAPTERS = {
    "keras": ("edgecifar.runtimes.keras", "KERAS"),
    "litert": ("edgecifar.runtimes.litert", "XNNPACK"),
    "litert-builtin": ("edgecifar.runtimes.litert", "BUILTIN"),
    "litert-reference": ("edgecifar.runtimes.litert", "REFERENCE"),
    "ort-cpu": ("edgecifar.runtimes.onnxruntime", "CPU"),
    "ort-cuda": ("edgecifar.runtimes.onnxruntime", "CUDA"),
}

_DEFAULTS = {
    ".keras": ("keras",),
    ".h5": ("keras",),
    ".tflite": ("litert", "litert-reference"),
    ".onnx": ("ort-cpu", "ort-cuda"),
}

RUNTIME_NAMES = tuple(_ADAPTERS)
MODEL_SUFFIXES = tuple(_DEFAULTS)


def get_runtime(name: str) -> Runtime:
    """Returns the adapter of that name; `missing()` tells whether its engine is here.

    Raises:
        EngineMissingError: There is no adapter of that name.
    """
    if name not in _ADAPTERS:
        raise EngineMissingError(
            f"There is no runtime named {name}.", f"Known runtimes: {', '.join(RUNTIME_NAMES)}."
        )
    module, attribute = _ADAPTERS[name]
    runtime: Runtime = getattr(import_module(module), attribute)
    return runtime


def default_runtimes_for(suffix: str) -> tuple[str, ...]:
    """Returns the names of the runtimes that a file with this ending is verified in, the most used first.

    Args:
        suffix: A file ending with its dot: ".tflite".

    Raises:
        ModelError: No runtime reads such files.
    """
    if suffix not in _DEFAULTS:
        known = ", ".join(MODEL_SUFFIXES)
        raise ModelError(
            f"No runtime reads files that end in {suffix or 'nothing'}.", f"Known endings: {known}."
        )
    return _DEFAULTS[suffix]
