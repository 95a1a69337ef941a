"""ONNX Runtime on x86 CPUs that this machine is not: the same engine in an emulator, as a process of its own.

The engine chooses its kernels by what the emulated CPU offers, so results are that CPU's; times are not.
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
CHUNK = 20
"""Images sent at a time: an emulated one takes tens of milliseconds."""


class EmulatedOnnxRuntime:
    """ONNX Runtime's CPU provider on an emulated CPU."""

    suffixes = (".onnx",)

    def __init__(self, name: str, cpu: str) -> None:
        self.name = name
        self._cpu = cpu

    def missing(self) -> str | None:
        """Returns why this cannot be emulated here and how to get it, or None where it can."""
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            return f"{self.name} runs on x86-64 Linux only: it emulates this machine's own programs."
        if shutil.which(EMULATOR) is None:
            return f"{EMULATOR} is not installed. Install it with: apt-get install qemu-user-static"
        return None

    def identity(self) -> dict[str, str] | None:
        """Returns None: only a model that is loaded tells which emulator runs it."""
        return None

    def load(self, path: Path, threads: int) -> "EmulatedModel":
        """Returns the model of an `.onnx` file; one thread runs, however many are asked for.

        Raises:
            EngineMissingError: There is no emulator here.
            ModelError: ONNX Runtime refuses the file, or does not start in the emulator.
        """
        reason = self.missing()
        if reason is not None:
            raise EngineMissingError(reason)
        return EmulatedModel(path, self.name, self._cpu)


class EmulatedModel:
    """A model in an emulated process."""

    def __init__(self, path: Path, name: str, cpu: str) -> None:
        self._path = path
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        command = [EMULATOR, "-cpu", cpu, sys.executable, "-m", "edgecifar.runtimes.worker", str(path), "1"]
        self._process = subprocess.Popen(  # noqa: S603 - the emulator, by name
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            # NumPy's OpenBLAS takes an emulated CPU without AVX for one that has it.
            env=os.environ | {"OPENBLAS_CORETYPE": cpu},
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
            runtime=name,
            device=f"{info.device} on an emulated {cpu}",
            emulator=f"{_version()} -cpu {cpu}",
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


def _version() -> str:
    shown = subprocess.run([EMULATOR, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    return shown.splitlines()[0].partition(" (")[0]


NEHALEM = EmulatedOnnxRuntime("ort-cpu-nehalem", "Nehalem")
HASWELL = EmulatedOnnxRuntime("ort-cpu-haswell", "Haswell")
