"""Vela: Arm's compiler for Ethos-U NPUs, and its estimates. It predicts no classes, so it is no Runtime."""

import csv
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgecifar.choices import Npu
from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.runtimes.litert import BUILTIN

_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class NpuEstimate:
    """What Vela says of a model on one NPU. Cycles and times are its performance model's, never measured."""

    npu: str
    vela: str
    """Vela's version."""
    system: str
    """Vela's configuration of clock and memories: "Ethos_U55_High_End_Embedded"."""
    memory_mode: str
    clock_hz: float
    npu_operators: int
    """Of the graph as Vela rewrites it, which is not the file's own count."""
    cpu_operators: tuple[str, ...]
    """Names of what falls back to the CPU beside the NPU."""
    sram_bytes: int
    flash_bytes: int
    """Off-chip and on-chip together."""
    dram_bytes: int
    multiply_adds: int
    cycles: int
    """Estimated, for the operators on the NPU alone."""
    inference_s: float
    """Estimated, as `cycles`."""


@dataclass(frozen=True, slots=True)
class NpuProgram:
    """A TFLite file whose operators the NPU runs, and the estimate for it."""

    content: bytes
    estimate: NpuEstimate


def missing() -> str | None:
    """Returns why Vela cannot run here, or None where it can."""
    if importlib.util.find_spec("ethosu") is None:
        return "Vela is not installed. Install it with: pip install 'edgecifar[vela]'"
    return None


def compile_for_npu(path: Path, npu: Npu) -> NpuProgram:
    """Returns an int8 TFLite model compiled for an Ethos-U NPU, with Vela's default system and memory.

    Raises:
        EngineMissingError: Vela is not installed.
        ModelError: The file is missing, damaged, or Vela refuses it.
    """
    reason = missing()
    if reason is not None:
        raise EngineMissingError(reason)
    # LiteRT checks the file: its messages on damaged ones can be acted on.
    BUILTIN.load(path, threads=1)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        # A process of its own: Vela keeps state in its modules and prints.
        command = [sys.executable, "-m", "ethosu.vela", str(path.resolve()), "--show-cpu-operations",
                   f"--accelerator-config={npu}", f"--output-dir={out}"]  # fmt: skip
        try:
            done = subprocess.run(  # noqa: S603  this Python
                command, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S, cwd=out
            )
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"{path}: Vela takes more than {_TIMEOUT_S:.0f} seconds.") from error
        summaries, programs = list(out.glob("*_summary_*.csv")), list(out.glob("*_vela.tflite"))
        if done.returncode or not summaries or not programs:
            lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            raise ModelError(f"{path}: Vela refuses it: {lines[-1] if lines else 'no reason given'}")
        with summaries[0].open(encoding="utf-8", newline="") as file:
            [row] = csv.DictReader(file)
        return NpuProgram(programs[0].read_bytes(), _estimate(npu, row, done.stdout))


def _estimate(npu: Npu, row: dict[str, str], printed: str) -> NpuEstimate:
    def kibibytes(*names: str) -> int:
        return round(1024 * sum(float(row[f"{name}_memory_used"]) for name in names))

    count = re.search(r"NPU operators = (\d+)", printed)
    if count is None:
        raise ModelError("This version of Vela does not tell how many operators the NPU runs.")
    return NpuEstimate(
        npu=str(npu),
        vela=importlib.metadata.version("ethos-u-vela"),
        system=row["system_config"],
        memory_mode=row["memory_mode"],
        clock_hz=float(row["core_clock"]),
        npu_operators=int(count[1]),
        cpu_operators=tuple(re.findall(r"^ +CPU: \w+ = (.+?)(?: \(outputs .*)?$", printed, re.MULTILINE)),
        sram_bytes=kibibytes("sram"),
        flash_bytes=kibibytes("on_chip_flash", "off_chip_flash"),
        dram_bytes=kibibytes("dram"),
        multiply_adds=round(float(row["nn_macs"])),
        cycles=round(float(row["cycles_total"])),
        inference_s=float(row["inference_time"]),
    )
