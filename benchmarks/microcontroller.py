"""Generated C on this machine against the engines whose bits it gives.

    python benchmarks/microcontroller.py BUNDLE [--repeats N] [--limit N] [--json]

The C of the bundle's int8 TFLite file, compiled by gcc at -O3 -march=native with and without its loops for
x86, LiteRT with XNNPACK and TensorFlow Lite Micro: one image at a time on one thread, in turn.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Callable
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
)
from timing import ratios as divided

from edgecifar.artifacts import Bundle
from edgecifar.choices import Numerics
from edgecifar.microcontroller.translating import Translation, translate
from edgecifar.protocol import Array
from edgecifar.runtimes import get_runtime

VARIANTS = {"C, portable": ("-DMODEL_PORTABLE",), "C": ()}
FLAGS = ("-std=c99", "-O3", "-march=native")
ENGINES = {"LiteRT, XNNPACK": "litert", "TensorFlow Lite Micro": "tflm"}
TIMES_AS_FAST = Goal(Bound.AT_LEAST, 25)
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
            name: _compiled(made, Path(folder), flags, images) for name, flags in VARIANTS.items()
        }
        for name, runtime in ENGINES.items():
            calls[name] = _engine(get_runtime(runtime).load(model, threads=1).predict, images)
        seconds = interleave(calls, arguments.repeats)
    times = {name: [second / len(images) * 1000 for second in values] for name, values in seconds.items()}
    figures = [Figure(name, "ms an image", Spread.of(values)) for name, values in times.items()]
    for name in VARIANTS:
        goal = TIMES_AS_FAST if name == "C, portable" else None
        micro = divided(times["TensorFlow Lite Micro"], times[name])
        figures.append(Figure(f"TensorFlow Lite Micro / {name}", TIMES, Spread.of(micro), goal))
        figures.append(
            Figure(f"{name} / XNNPACK", TIMES, Spread.of(divided(times[name], times["LiteRT, XNNPACK"])))
        )
    memory = (
        f"Arena {made.plan.arena_bytes:,} bytes; {made.plan.bound_bytes:,} in use at once; "
        f"{made.plan.unstreamed_bytes:,} layer by layer; constants {made.constant_bytes:,} bytes."
    )
    return Outcome(
        "microcontroller",
        machine,
        {"bundle": bundle.manifest.name, "images": len(images), "repeats": arguments.repeats},
        tuple(figures),
        (memory,),
    )


def _engine(predict: Callable[[Array], Array], images: Array) -> Callable[[], object]:
    """Returns what runs the images one by one in an engine."""
    return lambda: [predict(images[k : k + 1]) for k in range(len(images))]


def _compiled(made: Translation, folder: Path, flags: tuple[str, ...], images: Array) -> Callable[[], object]:
    """Returns what runs the images one by one in compiled C."""
    import ctypes

    place = folder / f"build{len(flags)}"
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


if __name__ == "__main__":
    parser = make_parser("Time generated C beside the engines whose bits it gives.", repeats=15)
    parser.add_argument("bundle", type=Path, help="A bundle with an int8 TFLite file.")
    parser.add_argument("--limit", type=positive, default=16, help="Golden images.  [default: 16]")
    run(measure, parser)
