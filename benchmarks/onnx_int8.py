"""Int8 ONNX in ONNX Runtime, made in several ways of one network: time and accuracy on several x86 CPUs.

All of one run: its float ONNX; stock tf2onnx of the int8 TFLite that TensorFlow's converter makes; ONNX
Runtime's `quantize_static` of the float file with its defaults, with scales per channel, and with
reduce_range; and this tool's file, with and without saturation-safe weights. On each CPU all run in turn, one
image on one thread, and classify all images.

    python benchmarks/onnx_int8.py RUN --data-dir DIR --masked avx2 --masked sse4 --plot PLOT.png

measures this CPU, and this CPU with VNNI, AVX-512 and (sse4) AVX2 hidden from the engines: the kernels of
older ones, at full speed (see masked.py). `--cpu-level haswell` runs the int8 files in an emulator
(qemu-user-static) too, on fewer images and without times. Above the tables stand the goals, reached or not.
"""

import argparse
import json
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
from masked import Level
from numpy.typing import NDArray
from onnx_measuring import CALLS, Made, Measurement, Variant, classify, measure
from onnx_plot import draw
from onnx_results import Cpu, Measured, OnCpu, Row, bits_table, figures, speed_table
from onnx_variants import CALIBRATION_IMAGES, make_files
from timing import HIDDEN_FLAGS, Machine, Outcome, Spread, positive, ratios, tell

from edgecifar.artifacts import Dataset, Preprocessing, Run, open_trained
from edgecifar.choices import Split
from edgecifar.data import load_dataset
from edgecifar.errors import EdgecifarError, EngineMissingError
from edgecifar.runtimes import EMULATED, get_runtime
from edgecifar.runtimes.emulated import EmulatedModel
from edgecifar.runtimes.onnx_inspection import inspect
from edgecifar.verification import balanced_order

MASKED_NAMES = {Level.AVX2: "AVX2", Level.SSE4: "SSE 4.2"}
_SAME = 1e-4
"""Outputs are multiples of 1 / 256: closer ones are the same integers."""
Outputs = dict[Variant, NDArray[np.floating]]


def compare(run: Run, arguments: argparse.Namespace, machine: Machine) -> Measured:
    """Returns what was measured of a run's variants."""
    recipe = run.record.recipe
    test, train = (
        load_dataset(recipe.data, split, seed=recipe.seed, data_dir=arguments.data_dir)
        for split in (Split.TEST, Split.TRAIN)
    )
    test = test.select(np.sort(balanced_order(test.labels)[: arguments.images]))
    preprocessing = run.record.preprocessing
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(run, train, Path(folder))
        found = {}
        for cpu, level in _cpus(machine, arguments.masked, len(test)):
            tell(f"measuring {cpu.name}")
            found[cpu] = measure(files, test.images, preprocessing, arguments.repeats, level)
        here = next(iter(found))
        emulated = _emulate(files, arguments.cpu_level, test, preprocessing, arguments.emulated)
        rows = {variant: _row(variant, made) for variant, made in files.items()}
    for cpu, measurement in found.items():
        for variant, row in rows.items():
            row.on[cpu.name] = _on_cpu(variant, measurement, found[here], test.labels)
    for cpu, (chosen, outputs) in emulated.items():
        for variant, there in outputs.items():
            reference = found[here].outputs[variant][chosen]
            rows[variant].on[cpu.name] = _compared(there, reference, test.labels[chosen])
    stock = {
        cpu.name: Spread.of(ratios(one.seconds[Variant.STOCK_TWIN], one.seconds[Variant.OURS]))
        for cpu, one in found.items()
    }
    return Measured((*found, *emulated), rows, stock)


def _cpus(machine: Machine, levels: list[Level], images: int) -> list[tuple[Cpu, Level | None]]:
    """Returns this processor and what masked.py makes of it."""
    flags = machine.cpu_flags
    kind = "VNNI" if any("vnni" in flag for flag in flags) else "AVX2" if "avx2" in flags else "SSE 4.2"
    cpus: list[tuple[Cpu, Level | None]] = [(Cpu(kind, flags, images), None)]
    for level in dict.fromkeys(levels):
        left = tuple(flag for flag in flags if flag not in level.hidden)
        name = MASKED_NAMES[level]
        cpus.append((Cpu(f"{name}, masked" if name == kind else name, left, images), level))
    return cpus


def _emulate(
    files: dict[Variant, Made], levels: list[str], test: Dataset, preprocessing: Preprocessing, images: int
) -> dict[Cpu, tuple[NDArray[np.intp], Outputs]]:
    """Returns the int8 files' outputs on emulated CPUs, side by side, and for which images."""
    chosen = np.sort(balanced_order(test.labels)[:images])

    def emulate(level: str) -> tuple[Cpu, tuple[NDArray[np.intp], Outputs]]:
        runtime, outputs = get_runtime(EMULATED[level]), Outputs()
        flags: tuple[str, ...] = ()
        for variant, made in files.items():
            if variant is Variant.FLOAT:
                continue
            tell(f"  {variant.value} on an emulated {level}")
            model = runtime.load(made.path, 1)
            flags = model.cpu_flags if isinstance(model, EmulatedModel) else ()
            outputs[variant] = classify(model, preprocessing, test.images[chosen])
        return Cpu(f"{level}, emulated", flags, len(chosen)), (chosen, outputs)

    with ThreadPoolExecutor(max_workers=max(1, len(levels))) as pool:
        return dict(pool.map(emulate, levels))


def _row(variant: Variant, made: Made) -> Row:
    layers = inspect(made.path)
    return Row(
        variant=variant,
        size_bytes=made.path.stat().st_size,
        integer_layers=layers.integer_layers,
        layers=len(layers.layers),
        unsafe_pairs=layers.unsafe_pairs,
        on={},
    )


def _on_cpu(variant: Variant, found: Measurement, here: Measurement, labels: NDArray[np.integer]) -> OnCpu:
    outputs, twin = found.outputs[variant], found.twins.get(variant)
    return _compared(
        outputs, here.outputs[variant], labels,
        Spread.of([1e3 * one / CALLS for one in found.seconds[variant]]),
        Spread.of(ratios(found.seconds[Variant.FLOAT], found.seconds[variant])),
        twin,
    )  # fmt: skip


def _compared(
    outputs: NDArray[np.floating],
    reference: NDArray[np.floating],
    labels: NDArray[np.integer],
    ms: Spread | None = None,
    faster_than_float: Spread | None = None,
    twin: NDArray[np.floating] | None = None,
) -> OnCpu:
    """Returns a file's outputs on a CPU against those on this one, and against its TFLite twin's there."""
    accuracy = _accuracy(outputs, labels)
    return OnCpu(
        ms=ms,
        faster_than_float=faster_than_float,
        accuracy=accuracy,
        lost_points=100 * (_accuracy(reference, labels) - accuracy),
        flips=_count_flips(outputs, reference),
        unlike=_count_unlike(outputs, reference),
        unlike_xnnpack=None if twin is None else _count_unlike(outputs, twin),
        classes_unlike_xnnpack=None if twin is None else _count_flips(outputs, twin),
    )


def _accuracy(outputs: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    return float(np.mean(outputs.argmax(axis=1) == labels))


def _count_flips(one: NDArray[np.floating], other: NDArray[np.floating]) -> int:
    return int(np.count_nonzero(one.argmax(axis=1) != other.argmax(axis=1)))


def _count_unlike(one: NDArray[np.floating], other: NDArray[np.floating]) -> int:
    return int(np.any(np.abs(one - other) > _SAME, axis=1).sum())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run, or a bundle, of which the float model")
    parser.add_argument("--data-dir", type=Path, help="CIFAR-10's archive, or the folder that holds it")
    parser.add_argument("--repeats", type=positive, default=30, help="rounds that count, on each CPU")
    parser.add_argument("--images", type=positive, default=10_000, help="test images")
    parser.add_argument(
        "--masked", type=Level, action="append", choices=list(Level), default=[],
        help="a lesser CPU that the engines are shown, at full speed; repeatable",
    )  # fmt: skip
    parser.add_argument("--emulated", type=positive, default=1000, help="test images on each emulated CPU")
    parser.add_argument("--cpu-level", action="append", choices=sorted(EMULATED), default=[])
    parser.add_argument("--plot", type=Path, help="PNG of accuracy against time, a panel for each CPU")
    parser.add_argument("--json", type=Path, help="where the figures go unrounded")
    return parser


def _benchmark(arguments: argparse.Namespace) -> None:
    """Measures, prints and writes."""
    machine = Machine.here(("onnxruntime", "onnxruntime-gpu", "onnx", "tf2onnx", "ai-edge-litert"))
    for level in arguments.cpu_level:
        reason = get_runtime(EMULATED[level]).missing()
        if reason:
            raise EngineMissingError(reason)
    if arguments.masked and HIDDEN_FLAGS in os.environ:
        raise EngineMissingError("--masked measures from the whole processor on: run it without masked.py.")
    run = open_trained(arguments.run)
    measured = compare(run, arguments, machine)
    settings: dict[str, str | int | float] = {
        "run": run.record.name, "repeats": arguments.repeats, "calls a repeat": CALLS,
        "images": measured.cpus[0].images, "calibration images of quantize_static": CALIBRATION_IMAGES,
    }  # fmt: skip
    reached = tuple(figures(measured, run.record.recipe.model.name))
    notes = (
        *(f"{cpu.name}: the engines saw {', '.join(cpu.flags) or 'no flags'}" for cpu in measured.cpus[1:]),
        "Unlike: images whose outputs are other integers; in brackets, those of another class.",
    )
    outcome = Outcome("onnx_int8", machine, settings, reached, notes)
    print(outcome.text())
    for table in (speed_table, bits_table):
        print()
        print("\n".join(table(measured)))
    if arguments.json:
        rows = [asdict(row) for row in measured.rows.values()]
        cpus = [asdict(cpu) for cpu in measured.cpus]
        content = json.loads(outcome.json()) | {"cpus": cpus, "rows": rows}
        arguments.json.write_text(json.dumps(content, indent=2), encoding="utf-8")
    if arguments.plot:
        draw(measured, f"{run.record.name}: int8 ONNX in ONNX Runtime", arguments.plot)


def main() -> None:
    """Runs the benchmark; ends as edgecifar does where it refuses."""
    arguments = _parser().parse_args()
    try:
        _benchmark(arguments)
    except EdgecifarError as error:
        tell(f"error: {error}")
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
