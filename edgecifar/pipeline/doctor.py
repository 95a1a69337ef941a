"""doctor: what this machine has, what is missing, and how to get it."""

import platform
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import edgecifar
from edgecifar.choices import Device
from edgecifar.data import find_cifar10, keras_cache
from edgecifar.errors import DataError
from edgecifar.host import TOOLS, cpu_flags, cpu_name, tool_versions
from edgecifar.learning.devices import list_gpus, place
from edgecifar.recipe import Precision
from edgecifar.runtimes import RUNTIME_NAMES, get_runtime, vela


class State(StrEnum):
    """Of a check."""

    FOUND = "found"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked for."""

    name: str
    state: State
    finding: str
    mend: str = ""
    """How to get what is missing."""


def examine(data_dir: Path | None = None) -> list[Check]:
    """Returns what was found, in the order in which people ask for it.

    Args:
        data_dir: Where CIFAR-10 is said to lie.
    """
    return [*_basics(), *_packages(), *_gpus(), *_runtimes(), _data(data_dir)]


def _basics() -> list[Check]:
    flags = ", ".join(cpu_flags()) or "none known here"
    precision = place(Device.CPU).precision(Precision.AUTO)
    return [
        Check("edgecifar", State.FOUND, f"{edgecifar.__version__} on Python {platform.python_version()}"),
        Check("CPU", State.FOUND, cpu_name()),
        Check("CPU flags that change results or speed", State.FOUND, flags),
        Check("Training on the CPU", State.FOUND, f"in {precision}"),
    ]


def _packages() -> list[Check]:
    versions = tool_versions()
    checks = [Check(name, State.FOUND, found) for name, found in versions.items()]
    # ONNX Runtime goes by one of two names; the checks of its runtimes tell if both are missing.
    missing = [name for name in TOOLS if name not in versions and not name.startswith("onnxruntime")]
    return checks + [Check(name, State.MISSING, "not installed", f"pip install {name}") for name in missing]


def _gpus() -> list[Check]:
    gpus = list_gpus()
    names = ", ".join(place(Device.GPU).names) if gpus else ""
    gpu = (
        Check("GPU in TensorFlow", State.FOUND, names)
        if gpus
        else Check(
            "GPU in TensorFlow",
            State.MISSING,
            "none; training uses the CPU",
            "pip install 'edgecifar[gpu]' (NVIDIA)",
        )
    )
    return [gpu]


def _runtimes() -> list[Check]:
    checks = []
    for name in RUNTIME_NAMES:
        runtime = get_runtime(name)
        reason = runtime.missing()
        endings = ", ".join(runtime.suffixes)
        checks.append(
            Check(f"runtime {name}", State.FOUND, f"reads {endings}")
            if reason is None
            else Check(f"runtime {name}", State.MISSING, reason)
        )
    reason = vela.missing()
    checks.append(
        Check("Vela, for estimate", State.FOUND, "compiles int8 .tflite for Arm Ethos-U")
        if reason is None
        else Check("Vela, for estimate", State.MISSING, reason)
    )
    return checks


def _data(data_dir: Path | None) -> Check:
    get = "The first training downloads it, or name its place with --data-dir. `--data sample` works at once."
    try:
        location = find_cifar10(data_dir)
    except DataError as error:
        return Check("CIFAR-10", State.MISSING, error.problem, error.mend or get)
    if location is None:
        return Check("CIFAR-10", State.MISSING, f"not in {keras_cache()}", get)
    return Check("CIFAR-10", State.FOUND, f"{location.path} ({location.layout} layout)")
