"""ONNX Runtime on CPUs that this machine is not: the engine in an emulator, as a process of its own.

The engine chooses its kernels by what the emulated CPU offers, so results are that CPU's; times are not. An
x86 CPU runs this machine's own Python; arm64 has a folder with Python, NumPy and ONNX Runtime for itself.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import weakref
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.protocol import Array
from edgecifar.runtimes.worker import read_about, read_tensor, write_tensor

EMULATOR = "qemu-x86_64-static"
ARM_EMULATOR = "qemu-aarch64-static"
ARM_ROOT = "EDGECIFAR_ARM64_ROOT"
"""Environment variable: a folder with an arm64 system's `lib` and `usr`, Python among it, `site-packages`
with NumPy and ONNX Runtime, and `proc/cpuinfo`: ONNX Runtime reads this machine's else, and crashes."""
CHUNK = 20
"""Images sent at a time: an emulated one takes tens of milliseconds."""


class EmulatedOnnxRuntime:
    """ONNX Runtime's CPU provider on an emulated x86 CPU."""

    suffixes = (".onnx",)
    emulator = EMULATOR

    def __init__(self, name: str, cpu: str) -> None:
        self.name = name
        self.cpu = cpu

    def missing(self) -> str | None:
        """Returns why this cannot be emulated here and how to get it, or None where it can."""
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            return f"{self.name} runs on x86-64 Linux only."
        if shutil.which(self.emulator) is None:
            return f"{self.emulator} is not installed. Install it with: apt-get install qemu-user-static"
        return None

    def identity(self) -> dict[str, str] | None:
        """Returns None: only a model that is loaded tells which emulator runs it."""
        return None

    def command(self) -> list[str]:
        """Returns what starts Python in the emulator."""
        return [self.emulator, "-cpu", self.cpu, sys.executable]

    def environment(self) -> dict[str, str]:
        """Returns the variables that it needs besides this process's."""
        # NumPy's OpenBLAS takes an emulated CPU without AVX for one that has it.
        return {"OPENBLAS_CORETYPE": self.cpu}

    def load(self, path: Path, threads: int) -> "EmulatedModel":
        """Returns the model of an `.onnx` file; one thread runs, however many are asked for.

        Raises:
            EngineMissingError: There is no emulator here.
            ModelError: ONNX Runtime refuses the file, or does not start in the emulator.
        """
        reason = self.missing()
        if reason is not None:
            raise EngineMissingError(reason)
        return EmulatedModel(path, self)


class EmulatedArm(EmulatedOnnxRuntime):
    """ONNX Runtime's CPU provider on an emulated arm64 CPU."""

    emulator = ARM_EMULATOR

    def missing(self) -> str | None:
        """Returns why this cannot be emulated here and how to get it, or None where it can."""
        reason = super().missing()
        if reason is not None:
            return reason
        if ARM_ROOT not in os.environ:
            return (
                f"{self.name} needs a folder with Python and ONNX Runtime for arm64, named by {ARM_ROOT}. "
                "How to fill one: docs/onnx.md"
            )
        root = Path(os.environ[ARM_ROOT])
        for file in ("usr/bin/python3.*", "proc/cpuinfo", "site-packages/onnxruntime"):
            if not any(root.glob(file)):
                return f"{root}, named by {ARM_ROOT}, has no {file}. How to fill it: docs/onnx.md"
        return None

    def command(self) -> list[str]:
        """Returns what starts Python in the emulator."""
        root = Path(os.environ[ARM_ROOT]).resolve()
        python = max(root.glob("usr/bin/python3.*"))
        return [self.emulator, "-cpu", self.cpu, "-L", str(root), str(python)]

    def environment(self) -> dict[str, str]:
        """Returns the variables that it needs besides this process's: its packages come before this one's."""
        packages = (Path(os.environ[ARM_ROOT]).resolve() / "site-packages", Path(__file__).parents[2])
        return {"PYTHONPATH": os.pathsep.join(map(str, packages))}


class EmulatedModel:
    """A model in an emulated process."""

    def __init__(self, path: Path, runtime: EmulatedOnnxRuntime) -> None:
        self._path = path
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        cpu = runtime.cpu
        self._process = subprocess.Popen(  # noqa: S603 - the emulator, by name
            [*runtime.command(), "-m", "edgecifar.runtimes.worker", str(path), "1"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | runtime.environment(),
        )
        weakref.finalize(self, _end, self._process, self._log)
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            raise ModelError(
                f"{path}: ONNX Runtime does not start on an emulated {cpu}: {self._last_words()}."
            )
        if "error" in json.loads(line):
            raise ModelError(json.loads(line)["error"])
        self.input, self.output, info, flags = read_about(line)
        self.cpu_flags = flags
        self.info = replace(
            info,
            runtime=runtime.name,
            device=f"{info.device} on an emulated {cpu}",
            emulator=f"{_version(runtime.emulator)} -cpu {cpu}",
            facts=(*info.facts, f"the emulated CPU reports {', '.join(flags) or 'no extensions'}"),
        )

    def predict(self, batch: Array) -> Array:
        """Returns the raw outputs for a batch of any size.

        Raises:
            ModelError: The batch is not of the input's shape or dtype, or the engine fails on it.
        """
        problem = self.input.mismatch(batch)
        if problem:
            raise ModelError(f"{self._path}: {problem}")
        pieces = [self._ask(batch[start : start + CHUNK]) for start in range(0, len(batch), CHUNK)]
        return np.concatenate(pieces) if pieces else self.output.empty()

    def _ask(self, batch: Array) -> Array:
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise ModelError(f"{self._path}: the emulated process has no pipes.")
        try:
            write_tensor(process.stdin, batch)
            answer = read_tensor(process.stdout)
        except (OSError, ValueError) as error:
            raise ModelError(f"{self._path}: the emulated engine fails on it: {error}.") from error
        if answer is None:
            raise ModelError(f"{self._path}: the emulated engine ended: {self._last_words()}.")
        return answer

    def _last_words(self) -> str:
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self._process.returncode}"


def _end(process: "subprocess.Popen[bytes]", log: IO[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.terminate()
    process.wait()
    log.close()


def _version(emulator: str) -> str:
    shown = subprocess.run([emulator, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    return shown.splitlines()[0].partition(" (")[0]


NEHALEM = EmulatedOnnxRuntime("ort-cpu-nehalem", "Nehalem")
HASWELL = EmulatedOnnxRuntime("ort-cpu-haswell", "Haswell")
ARM64 = EmulatedArm("ort-cpu-arm64", "cortex-a76")
