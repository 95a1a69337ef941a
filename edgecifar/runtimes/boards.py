"""Arm Cortex-M boards that qemu emulates: generated C compiled for them, and run over a file of images."""

import shutil
import subprocess
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecifar.errors import ModelError
from edgecifar.protocol import Array
from edgecifar.runtimes.c_header import read_definitions

COMPILER = "arm-none-eabi-gcc"
SIZER = "arm-none-eabi-size"
EMULATOR = "qemu-system-arm"
PACKAGES = "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
LEVELS = ("-Os", "-O2", "-O3")
FIRMWARE = (
    "startup.c", "startup.h", "semihosting.c", "semihosting.h", "counting.c", "counting.h", "board.ld",
)  # fmt: skip
"""What a program on a board needs beside itself: files of the folder `firmware`."""
_STREAM = "stream.c"
_COMPILE_TIMEOUT_S = 600
_START_TIMEOUT_S, _IMAGE_TIMEOUT_S = 60, 30


@dataclass(frozen=True, slots=True)
class Board:
    """A board that qemu emulates, and how to compile for it."""

    name: str
    """"m4"."""
    core: str
    """"cortex-m4"."""
    machine: str
    """qemu's name: "mps2-an386"."""
    flash: int
    """Address."""
    ram: int
    """Address."""
    more: tuple[str, ...] = ("-mfloat-abi=soft",)

    @property
    def flags(self) -> tuple[str, ...]:
        """What the compiler takes for the core."""
        return (f"-mcpu={self.core}", "-mthumb", *self.more)

    @property
    def link_flags(self) -> tuple[str, ...]:
        """What the linker takes for the board's memory, but for the script's place."""
        return (
            "-nostartfiles",
            "-Wl,--gc-sections",
            f"-Wl,--defsym=FLASH_START={self.flash:#x}",
            f"-Wl,--defsym=RAM_START={self.ram:#x}",
        )

    @property
    def emulation(self) -> tuple[str, ...]:
        """The emulator's command but for the program: each instruction takes a nanosecond of its clock."""
        return (
            EMULATOR, "-M", self.machine, "-nographic", "-monitor", "none", "-serial", "none",
            "-semihosting-config", "enable=on,target=native", "-icount", "shift=0", "-kernel",
        )  # fmt: skip


BOARDS = {
    board.name: board
    for board in (
        Board("m3", "cortex-m3", "mps2-an385", 0x00000000, 0x20000000),
        Board("m4", "cortex-m4", "mps2-an386", 0x00000000, 0x20000000),
        Board("m33", "cortex-m33", "mps2-an505", 0x10000000, 0x38000000),
        # Without hardware floats the compiler leaves the vector instructions out and says nothing.
        Board("m55", "cortex-m55", "mps3-an547", 0x10000000, 0x30000000, ("-mfloat-abi=hard", "-DNEEDS_MVE")),
    )
}


@dataclass(frozen=True, slots=True)
class Program:
    """A model compiled for a board, with what runs it over a file of images."""

    board: Board
    level: str
    """Of optimization: "-O2"."""
    path: Path
    """The ELF file."""
    model: Path
    """The `model.c`."""
    flash_bytes: int
    """Code and constants, and the first values of variables."""
    static_bytes: int
    """Variables, with the arena and buffers for one input and one output."""


@dataclass(frozen=True, slots=True, eq=False)
class Execution:
    """What a program gave for images."""

    outputs: Array
    """int8 (N, output size)."""
    stack_bytes: int
    """How deep the painted stack was used."""
    instructions: NDArray[np.int64]
    """(N,), of each image."""


def missing() -> str | None:
    """Returns why nothing can run on an emulated board here, or None where it can."""
    absent = [tool for tool in (COMPILER, SIZER, EMULATOR) if shutil.which(tool) is None]
    if absent:
        verb = "is" if len(absent) == 1 else "are"
        return f"{', '.join(absent)} {verb} not installed. Install with: {PACKAGES}"
    return None


def firmware(name: str) -> bytes:
    """Returns a file of `FIRMWARE`."""
    return files("edgecifar.runtimes").joinpath("firmware", name).read_bytes()


def build(model: Path, board: Board, level: str, folder: Path) -> Program:
    """Returns a generated `model.c` compiled for a board.

    Args:
        model: The file; its headers lie beside it.
        board: Where it is to run.
        level: One of `LEVELS`.
        folder: Where the program is written.

    Raises:
        ModelError: It does not compile, or does not fit into the board's memory.
    """
    for name in (*FIRMWARE, _STREAM):
        (folder / name).write_bytes(firmware(name))
    sources = [str(folder / name) for name in (*FIRMWARE, _STREAM) if name.endswith(".c")]
    program = folder / f"{board.name}{level}.elf"
    command = [
        COMPILER, *board.flags, "-std=c99", level, "-ffunction-sections", "-fdata-sections",
        f"-I{model.parent.resolve()}", *board.link_flags, "-T", str(folder / "board.ld"),
        "-o", str(program), *sources, str(model),
    ]  # fmt: skip
    done = _call(command, model, _COMPILE_TIMEOUT_S)
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
        raise ModelError(f"{model}: {COMPILER} cannot compile it for {board.core}: {first}")
    sizes = _call([SIZER, str(program)], model, _COMPILE_TIMEOUT_S).stdout.splitlines()[1].split()
    text, data, bss = (int(size) for size in sizes[:3])
    return Program(board, level, program, model, flash_bytes=text + data, static_bytes=data + bss)


def execute(program: Program, images: Array, folder: Path) -> Execution:
    """Returns what an emulated board gives for images.

    Args:
        program: Compiled for it.
        images: int8 (N, ...), of the model's input.
        folder: For files that program and host exchange: used by nothing else at the same time.

    Raises:
        ModelError: The program ends with an error, or not at all.
    """
    definitions = read_definitions(program.model)
    (folder / "images.bin").write_bytes(np.ascontiguousarray(images).tobytes())
    seconds = _START_TIMEOUT_S + _IMAGE_TIMEOUT_S * len(images)
    done = _call([*program.board.emulation, str(program.path)], program.model, seconds, folder)
    if done.returncode:
        raise ModelError(
            f"{program.model}: on an emulated {program.board.core} the program ends with the status "
            f"{done.returncode}. {done.stderr.strip()}".rstrip()
        )
    outputs = np.fromfile(folder / "outputs.bin", np.int8).reshape(-1, int(definitions["MODEL_OUTPUT_SIZE"]))
    known, ticks, stack, *each = np.fromfile(folder / "measured.bin", "<u4").tolist()
    if not len(outputs) == len(each) == len(images):
        raise ModelError(f"{program.model}: {len(outputs)} of {len(images)} images were answered.")
    instructions = np.array(each, np.int64) * known // ticks
    return Execution(outputs, stack, instructions)


def emulator_version() -> str:
    """Returns the emulator's name and version: "QEMU emulator version 7.2.22"."""
    done = subprocess.run([EMULATOR, "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.splitlines()[0].partition(" (")[0]


def _call(
    command: list[str], model: Path, seconds: int, folder: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(  # noqa: S603  the tools by name
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{model}: {command[0]} takes more than {seconds} seconds.") from error
