"""Inference engines by name. An engine's module is imported when it is asked for, not before."""

from importlib import import_module

from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.protocol import Runtime

_ADAPTERS = {
    "keras": ("edgecifar.runtimes.keras", "KERAS"),
    "litert": ("edgecifar.runtimes.litert", "XNNPACK"),
    "litert-builtin": ("edgecifar.runtimes.litert", "BUILTIN"),
    "litert-reference": ("edgecifar.runtimes.litert", "REFERENCE"),
    "litert-web": ("edgecifar.runtimes.browser", "LITERT_WEB"),
    "tflm": ("edgecifar.runtimes.tflm", "MICRO"),
    "ort-cpu": ("edgecifar.runtimes.onnxruntime", "CPU"),
    "ort-cpu-haswell": ("edgecifar.runtimes.emulated", "HASWELL"),
    "ort-cpu-nehalem": ("edgecifar.runtimes.emulated", "NEHALEM"),
    "ort-cpu-arm64": ("edgecifar.runtimes.emulated", "ARM64"),
    "ort-cuda": ("edgecifar.runtimes.onnxruntime", "CUDA"),
    "ort-tensorrt": ("edgecifar.runtimes.onnxruntime", "TENSORRT"),
    "ort-web": ("edgecifar.runtimes.browser", "ORT_WEB"),
    "openvino": ("edgecifar.runtimes.openvino", "OPENVINO"),
    "c": ("edgecifar.runtimes.generated_c", "HOST"),
    "c-m3": ("edgecifar.runtimes.emulated_boards", "M3"),
    "c-m4": ("edgecifar.runtimes.emulated_boards", "M4"),
    "c-m33": ("edgecifar.runtimes.emulated_boards", "M33"),
    "c-m55": ("edgecifar.runtimes.emulated_boards", "M55"),
}

_DEFAULTS = {
    ".keras": ("keras",),
    ".h5": ("keras",),
    # A folder; `edgecifar.pipeline.subjects` gives it this name.
    ".savedmodel": ("keras",),
    ".tflite": ("litert", "litert-reference"),
    ".onnx": ("ort-cpu", "ort-cuda"),
    ".c": ("c",),
}

EMULATED = {"nehalem": "ort-cpu-nehalem", "haswell": "ort-cpu-haswell", "arm64": "ort-cpu-arm64"}
"""Runtimes on CPUs that an emulator plays, by the CPU's name: their results count, their times do not."""
EMULATED_BOARDS = ("c-m3", "c-m4", "c-m33", "c-m55")
"""Runtimes on microcontrollers that an emulator plays, as those."""
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
