"""Generated C on this machine against the engines whose bits it gives, and on emulated microcontrollers.

    python benchmarks/microcontroller.py BUNDLE [--repeats N] [--limit N] [--cores [CORE ...]] [--json]

The C of the bundle's int8 TFLite file, compiled by gcc at -O3 for this processor with and without its loops
for x86, and with those for AVX2 alone; LiteRT with XNNPACK and TensorFlow Lite Micro: one image at a time on
one thread, in turn. The C is called once for all images; LiteRT by its adapter for each, which copies inputs
and outputs, and by Interpreter.invoke alone, and the ratios are to both. XNNPACK takes the kernels that suit
the processor and cannot be told to take others: with AVX-512 VNNI the C for AVX2 is compared with those.

With --cores also under qemu, compiled with -Os, -O2 and -O3: instructions of an inference (counted, no time),
flash (code and constants of the whole program, its startup and streaming among them) and RAM (variables, with
buffers for one input and one output, and the deepest stack).
"""

import argparse
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from timing import (
    TIMES,
    Bound,
    Figure,
    Goal,
    Machine,
    Outcome,
    Spread,
    interleave,
    make_parser,
    positive,
    run,
    tell,
)
from timing import ratios as divided

from edgecifar.artifacts import Bundle
from edgecifar.choices import Numerics
from edgecifar.errors import VerificationError
from edgecifar.host import cpu_flags
from edgecifar.microcontroller.translating import Translation, translate
from edgecifar.protocol import Array
from edgecifar.runtimes import get_runtime
from edgecifar.runtimes.boards import BOARDS, LEVELS, Board, build, execute

FLAGS = ("-std=c99", "-O3")
PORTABLE, AVX2, NATIVE = "C, portable", "C, AVX2", "C"
VARIANTS = {
    PORTABLE: ("-march=native", "-DMODEL_PORTABLE"),
    AVX2: ("-march=haswell",),
    NATIVE: ("-march=native",),
}
XNNPACK, TFLM = "LiteRT, XNNPACK", "TensorFlow Lite Micro"
ENGINES = {XNNPACK: "litert", TFLM: "tflm"}
INVOKE = "LiteRT, XNNPACK, invoke alone"
TIMES_AS_FAST = Goal(Bound.AT_LEAST, 25)
AS_SLOW_AS = {PORTABLE: 4.0, AVX2: 2.5, NATIVE: 1.3}
"""Goals for the times of XNNPACK's; the last where the processor has AVX-512 VNNI."""
BOARD_IMAGES = 4
"""Under qemu; the count of instructions hardly depends on the image."""
GOALS = {
    ("tiny-resnet8", "m3 -O2: instructions"): Goal(Bound.AT_MOST, 30e6),
    ("tiny-resnet8", "m4 -O2: instructions"): Goal(Bound.AT_MOST, 20e6),
    ("tiny-resnet8", "m33 -O2: instructions"): Goal(Bound.AT_MOST, 20e6),
    ("tiny-resnet8", "m55 -O2: instructions"): Goal(Bound.AT_MOST, 5.5e6),
    ("tiny-resnet8", "m4 -Os: flash beyond constants"): Goal(Bound.AT_MOST, 5120),
}
DRIVER = """
#include "model.h"
void run_all(const uint8_t *pixels, int8_t *outputs, int count);
void run_all(const uint8_t *pixels, int8_t *outputs, int count)
{
    for (int k = 0; k < count; ++k) {
        model_run_uint8(pixels + k * MODEL_INPUT_SIZE, outputs + k * MODEL_OUTPUT_SIZE);
    }
}
"""


def measure(arguments: argparse.Namespace) -> Outcome:
    """Returns the times of an image in each, their ratios, and the memory that the C needs."""
    machine = Machine.here(("ai-edge-litert", "tflite-micro"))
    bundle = Bundle.open(arguments.bundle)
    model = next(
        bundle.folder / entry.file
        for entry in bundle.manifest.artifacts
        if (entry.format, entry.precision) == ("tflite", "int8")
    )
    images = np.load(bundle.folder / "golden" / "images.npy")[: arguments.limit]
    with tempfile.TemporaryDirectory() as folder:
        made = translate(model.read_bytes(), Numerics.XNNPACK, name=bundle.manifest.name)
        calls: dict[str, Callable[[], object]] = {
            name: _compiled(made, Path(folder), flags, images) for name, flags in _variants().items()
        }
        engines = {name: get_runtime(runtime).load(model, threads=1) for name, runtime in ENGINES.items()}
        calls |= {name: _engine(engine.predict, images) for name, engine in engines.items()}
        calls[INVOKE] = _invoke(model, images)
        seconds = interleave(calls, arguments.repeats)
        wanted = _signed(engines[XNNPACK].predict(images[:BOARD_IMAGES]))
        on_boards = [
            replace(figure, goal=GOALS.get((bundle.manifest.name, figure.name)))
            for core in arguments.cores
            for level in LEVELS
            for figure in _on_board(made, BOARDS[core], level, Path(folder), images[:BOARD_IMAGES], wanted)
        ]
    times = {name: [second / len(images) * 1000 for second in values] for name, values in seconds.items()}
    figures = [Figure(name, "ms an image", Spread.of(values)) for name, values in times.items()]
    for name in _variants():
        goal = TIMES_AS_FAST if name == PORTABLE else None
        micro = divided(times[TFLM], times[name])
        figures.append(Figure(f"{TFLM} / {name}", TIMES, Spread.of(micro), goal))
        for engine in (XNNPACK, INVOKE):
            as_slow = Spread.of(divided(times[name], times[engine]))
            figures.append(Figure(f"{name} / {engine}", TIMES, as_slow, _goal(name)))
    figures += on_boards
    memory = (
        f"Arena {made.plan.arena_bytes:,} bytes; {made.plan.bound_bytes:,} in use at once; "
        f"{made.plan.unstreamed_bytes:,} layer by layer; constants {made.constant_bytes:,} bytes."
    )
    return Outcome(
        "microcontroller",
        machine,
        {"bundle": bundle.manifest.name, "images": len(images), "repeats": arguments.repeats},
        tuple(figures),
        (memory, *(f"{TFLM} {fact}." for fact in engines[TFLM].info.facts)),
    )


def _variants() -> dict[str, tuple[str, ...]]:
    """Returns the flags of those variants that this processor runs."""
    return {name: flags for name, flags in VARIANTS.items() if name != AVX2 or "avx2" in cpu_flags()}


def _goal(name: str) -> Goal | None:
    """Returns how many times as slow as XNNPACK a variant may be."""
    if name == NATIVE and "avx512_vnni" not in cpu_flags():
        return None
    return Goal(Bound.AT_MOST, AS_SLOW_AS[name])


def _invoke(model: Path, images: Array) -> Callable[[], object]:
    """Returns what computes as many images in LiteRT, without copies of inputs and outputs."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images[:1])
    return lambda: [interpreter.invoke() for _ in images]


def _engine(predict: Callable[[Array], Array], images: Array) -> Callable[[], object]:
    """Returns what runs the images one by one in an engine."""
    return lambda: [predict(images[k : k + 1]) for k in range(len(images))]


def _compiled(made: Translation, folder: Path, flags: tuple[str, ...], images: Array) -> Callable[[], object]:
    """Returns what runs the images one by one in compiled C."""
    import ctypes

    place = folder / "-".join(flag.strip("-") for flag in flags)
    place.mkdir()
    for file, text in {**made.files, "driver.c": DRIVER}.items():
        (place / file).write_text(text)
    library = place / "model.so"
    sources = [str(place / name) for name in ("driver.c", "model.c")]
    command = ["gcc", *FLAGS, *flags, "-shared", "-fPIC", "-o", str(library), *sources]
    subprocess.run(command, check=True)  # noqa: S603  the user's compiler
    function = ctypes.CDLL(str(library)).run_all
    pixels = np.ascontiguousarray(images)
    outputs = np.empty((len(images), made.network.output.elements), np.int8)
    arguments = ctypes.c_void_p(pixels.ctypes.data), ctypes.c_void_p(outputs.ctypes.data), len(images)

    def call() -> object:
        function(*arguments)
        return pixels, outputs

    return call


def _on_board(
    made: Translation, board: Board, level: str, folder: Path, images: Array, wanted: Array
) -> Iterator[Figure]:
    """Yields what an inference takes on an emulated board, which has to give the wanted outputs."""
    tell(f"  {board.name} {level}")
    for file, text in made.files.items():
        (folder / file).write_text(text)
    program = build(folder / "model.c", board, level, folder)
    done = execute(program, _signed(images), folder)
    if not np.array_equal(done.outputs, wanted):
        raise VerificationError(f"{board.core} at {level} gives other bytes than LiteRT.")
    sizes = {
        "flash": program.flash_bytes,
        "flash beyond constants": program.flash_bytes - made.constant_bytes,
        "RAM": program.static_bytes + done.stack_bytes,
    }
    yield Figure(f"{board.name} {level}: instructions", "instructions", Spread.of(done.instructions.tolist()))
    for name, size in sizes.items():
        yield Figure(f"{board.name} {level}: {name}", "bytes", Spread.of([size]))


def _signed(values: Array) -> Array:
    """Returns bytes as the C has them: b is the integer b - 128."""
    return (values ^ np.uint8(0x80)).view(np.int8)


if __name__ == "__main__":
    parser = make_parser("Time generated C beside the engines whose bits it gives.", repeats=15)
    parser.add_argument("bundle", type=Path, help="A bundle with an int8 TFLite file.")
    parser.add_argument("--limit", type=positive, default=16, help="Golden images.  [default: 16]")
    parser.add_argument(
        "--cores", nargs="*", choices=BOARDS, default=[], help="Cortex-M cores to emulate.  [default: none]"
    )
    run(measure, parser)
