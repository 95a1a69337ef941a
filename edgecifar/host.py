"""What this machine is and has, as far as it changes results or speed."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RELEVANT_FLAGS = (
    "sse4_2", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "avx512_bf16",
    "amx_bf16", "amx_int8", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip
"""x86-64 and arm64 flags on which kernels, and so roundings and times, depend."""

TOOLS = (
    "ai-edge-litert",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorflow",
    "tensorflow-model-optimization",
    "tf-keras",
    "tf2onnx",
)
"""Packages whose versions results depend on. ONNX Runtime is one engine under two names."""


def tool_versions() -> dict[str, str]:
    """Returns the versions of those of `TOOLS` that are installed, by name."""
    versions = {}
    for tool in TOOLS:
        try:
            versions[tool] = version(tool)
        except PackageNotFoundError:
            # One of the two names of ONNX Runtime is never installed.
            continue
    return versions


def cpu_name() -> str:
    """Returns the processor's model name, with the number of cores that this process may use."""
    fields = _cpuinfo()
    name = fields.get("model name") or platform.processor() or platform.machine()
    return f"{name}, {core_count()} cores"


def core_count() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_flags() -> tuple[str, ...]:
    """Returns those of `RELEVANT_FLAGS` that the processor has; empty where the system does not tell."""
    fields = _cpuinfo()
    present = set((fields.get("flags") or fields.get("Features") or "").split())
    return tuple(flag for flag in RELEVANT_FLAGS if flag in present)


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def cache_folder() -> Path:
    """Returns where this system keeps what can be made again, in a folder of our own; it need not exist.

    Raises:
        FileNotFoundError: Nothing says where: there is no home folder, as for some users of containers.
    """
    chosen = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(chosen) if chosen else _system_cache()) / "edgecifar"
    except RuntimeError as error:
        raise FileNotFoundError("There is no home folder: set HOME or XDG_CACHE_HOME") from error


def _system_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
