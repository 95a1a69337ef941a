"""Another benchmark on this processor without some of its instruction sets, at full speed.

    python benchmarks/masked.py avx2 benchmarks/onnx_int8.py RUN --data-dir DIR

ONNX Runtime and LiteRT choose their kernels by what the CPUID instruction says. Their packages are copied
into a temporary folder, with each CPUID in their libraries replaced by an illegal instruction of the same
length; a preloaded handler answers it as the processor does, less what is hidden. The engines then run the
kernels of an older processor: the results are those kernels', and their time is this processor's for them,
not an older one's. Nothing else is changed, and nothing is slower: engines ask once. x86-64 Linux; needs gcc
and objdump.
"""

import argparse
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from enum import StrEnum
from pathlib import Path

from timing import HIDDEN_FLAGS

from edgecifar.errors import EdgecifarError, EngineMissingError

LIBRARIES = {
    "onnxruntime": "capi/onnxruntime_pybind11_state*.so",
    "ai_edge_litert": "libpywrap_litert_common.so",
}
"""Of each engine's package, the library that asks the processor."""
CPUID, TRAP = b"\x0f\xa2", b"\x0f\x0b"
AVX512 = ("avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
AVX = ("avx2", "fma", "f16c")


class Level(StrEnum):
    """What is left."""

    AVX2 = "avx2"
    """AVX2 without VNNI, as on Intel's Haswell."""
    SSE4 = "sse4"
    """SSE 4.2 without AVX, as on Nehalem."""

    @property
    def hidden(self) -> tuple[str, ...]:
        """Linux's names of what the engines do not see."""
        return AVX512 if self is Level.AVX2 else AVX512 + AVX


def mask(level: Level, folder: Path) -> dict[str, str]:
    """Returns the environment in which Python's engines see a lesser processor.

    Args:
        level: What they see.
        folder: An existing one, for copies; needed as long as the engines run.

    Raises:
        EngineMissingError: Not x86-64 Linux, or a tool or an engine is missing.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise EngineMissingError("Instruction sets can be hidden on x86-64 Linux only.")
    for tool in ("gcc", "objdump", "readelf"):
        if shutil.which(tool) is None:
            raise EngineMissingError(f"{tool} is not installed. Install it with: apt-get install gcc")
    packages = folder / "packages"
    for package, pattern in LIBRARIES.items():
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise EngineMissingError(f"{package} is not installed.")
        _copy(Path(spec.origin).parent, packages / package, pattern)
    shim = folder / "masked.so"
    options = ["-DHIDE_AVX"] if level is Level.SSE4 else []
    source = Path(__file__).with_suffix(".c")
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", *options, "-o", shim, source], check=True)  # noqa: S603, S607
    paths = [str(packages), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "LD_PRELOAD": str(shim),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        HIDDEN_FLAGS: " ".join(level.hidden),
    }


def _copy(package: Path, target: Path, pattern: str) -> None:
    """Fills `target` with links to a package's files and a patched copy of the library."""
    (library,) = package.glob(pattern)
    for path in package.rglob("*"):
        copy = target / path.relative_to(package)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path == library:
            copy.write_bytes(_patch(path))
        elif path.is_file() and path.parent.name != "__pycache__":
            copy.symlink_to(path)


def _patch(library: Path) -> bytes:
    """Returns an ELF library with a trap for each CPUID instruction."""
    content = bytearray(library.read_bytes())
    segments = [
        (int(fields[1], 16), int(fields[2], 16), int(fields[4], 16))
        for fields in map(str.split, _output("readelf", "-lW", library).splitlines())
        if fields[:1] == ["LOAD"]
    ]
    code = _output("objdump", "-d", "--no-show-raw-insn", library)
    for found in re.finditer(r"^\s*([0-9a-f]+):\s+cpuid\b", code, re.MULTILINE):
        address = int(found[1], 16)
        at = next(address - start + offset for offset, start, size in segments if 0 <= address - start < size)
        if content[at : at + 2] != CPUID:
            raise EngineMissingError(f"{library}: objdump and readelf do not agree on its code.")
        content[at : at + 2] = TRAP
    return bytes(content)


def _output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603


def main() -> None:
    """Runs the script; ends with its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("level", type=Level, choices=list(Level))
    parser.add_argument("script", help="a Python script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            environment = mask(arguments.level, Path(folder))
        except EdgecifarError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(error.exit_status)
        command = [sys.executable, arguments.script, *arguments.arguments]
        sys.exit(subprocess.run(command, env=environment, check=False).returncode)  # noqa: S603


if __name__ == "__main__":
    main()
