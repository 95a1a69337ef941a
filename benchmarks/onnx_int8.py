"""Int8 ONNX in ONNX Runtime, made in several ways of one network: time, and accuracy on several x86 CPUs.

All of one run: its float ONNX; stock tf2onnx of the int8 TFLite that TensorFlow's converter makes; ONNX
Runtime's `quantize_static` of the float file with its defaults, with scales per channel, and with
reduce_range; and this tool's file, with and without saturation-safe weights. All run in turn, one image on
one thread. Accuracy is measured on this CPU, and that of the int8 files on emulated ones (qemu-user-static)
too, on fewer images. Below the table stand the goals, reached or not.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx_results import Elsewhere, Measured, Row, draw, figures, table
from onnx_variants import CALIBRATION_IMAGES, Made, Variant, make_files
from timing import Machine, Outcome, Spread, interleave, positive, ratios, tell

from edgecifar.artifacts import Dataset, Preprocessing, Run
from edgecifar.choices import Split
from edgecifar.data import load_dataset
from edgecifar.errors import EdgecifarError, EngineMissingError
from edgecifar.protocol import Array, LoadedModel
from edgecifar.runtimes import EMULATED, get_runtime
from edgecifar.runtimes.onnx_inspection import inspect
from edgecifar.verification import balanced_order

CALLS = 50
"""Of one image, in each round."""
CHUNK = 500
"""Images given at a time where time is not measured."""
_SAME = 1e-4
"""Outputs are multiples of 1 / 256: closer ones are the same integers."""


@dataclass(frozen=True, slots=True)
class _Task:
    """The images that are classified, and how a model takes them."""

    test: Dataset
    chosen: NDArray[np.intp]
    """Those that emulated CPUs get."""
    preprocessing: Preprocessing

    def encode(self, model: LoadedModel, images: NDArray[np.uint8]) -> Array:
        """Returns a model's input tensor for images."""
        return model.input.quantize(self.preprocessing.apply(images))

    def classify(self, model: LoadedModel, images: NDArray[np.uint8]) -> NDArray[np.floating]:
        """Returns probabilities: float32 (N, classes)."""
        parts = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
        return np.concatenate(
            [model.output.dequantize(model.predict(self.encode(model, part))) for part in parts]
        )


def measure(run: Run, arguments: argparse.Namespace) -> Measured:
    """Returns what was measured of a run's variants."""
    recipe = run.record.recipe
    test, train = (
        load_dataset(recipe.data, split, seed=recipe.seed, data_dir=arguments.data_dir)
        for split in (Split.TEST, Split.TRAIN)
    )
    test = test.select(np.sort(balanced_order(test.labels)[: arguments.images]))
    chosen = np.sort(balanced_order(test.labels)[: arguments.emulated])
    task = _Task(test, chosen, run.record.preprocessing)
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(run, train, Path(folder))
        models = {variant: get_runtime("ort-cpu").load(made.path, 1) for variant, made in files.items()}
        calls = {variant.value: _calls(model, task) for variant, model in models.items()}
        seconds = interleave(calls, arguments.repeats)
        rows = {
            variant: _row(variant, made, models[variant], seconds, task, arguments.cpu_level)
            for variant, made in files.items()
        }
    times = ratios(seconds[Variant.STOCK_TWIN], seconds[Variant.OURS])
    return Measured(rows, Spread.of(times), len(test), len(chosen))


def _calls(model: LoadedModel, task: _Task) -> Callable[[], None]:
    image = task.encode(model, task.test.images[:1])

    def run() -> None:
        for _ in range(CALLS):
            model.predict(image)

    return run


def _row(
    variant: Variant,
    made: Made,
    model: LoadedModel,
    seconds: dict[str, list[float]],
    task: _Task,
    levels: list[str],
) -> Row:
    found, labels = task.classify(model, task.test.images), task.test.labels
    twin = None
    if made.twin is not None:
        twin = task.classify(get_runtime("litert").load(made.twin, 1), task.test.images)
    layers = inspect(made.path)
    return Row(
        variant=variant,
        ms=Spread.of([1e3 * one / CALLS for one in seconds[variant]]),
        faster_than_float=Spread.of(ratios(seconds[Variant.FLOAT], seconds[variant])),
        integer_layers=layers.integer_layers,
        layers=len(layers.layers),
        unsafe_pairs=layers.unsafe_pairs,
        accuracy=_accuracy(found, labels),
        accuracy_of_emulated=_accuracy(found[task.chosen], labels[task.chosen]),
        elsewhere=_emulate(made.path, () if variant is Variant.FLOAT else levels, found[task.chosen], task),
        images_unlike_xnnpack=None if twin is None else _count_unlike(found, twin),
        classes_unlike_xnnpack=None if twin is None else _count_flips(found, twin),
    )


def _emulate(
    path: Path, levels: Sequence[str], here: NDArray[np.floating], task: _Task
) -> dict[str, Elsewhere]:
    """Returns a file's results on emulated CPUs, side by side; `here` are its outputs on this one."""
    labels = task.test.labels[task.chosen]

    def emulate(level: str) -> Elsewhere:
        tell(f"  {path.name} on an emulated {level}")
        model = get_runtime(EMULATED[level]).load(path, 1)
        there = task.classify(model, task.test.images[task.chosen])
        return Elsewhere(
            accuracy=_accuracy(there, labels),
            lost_points=100 * (_accuracy(here, labels) - _accuracy(there, labels)),
            flips=_count_flips(there, here),
            unlike=_count_unlike(there, here),
        )

    with ThreadPoolExecutor(max_workers=max(1, len(levels))) as pool:
        return dict(zip(levels, pool.map(emulate, levels), strict=True))


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
    parser.add_argument("run", type=Path)
    parser.add_argument("--data-dir", type=Path, help="CIFAR-10's archive, or the folder that holds it")
    parser.add_argument("--repeats", type=positive, default=30, help="rounds that count")
    parser.add_argument("--images", type=positive, default=10_000, help="test images on this CPU")
    parser.add_argument("--emulated", type=positive, default=1000, help="test images on each emulated CPU")
    parser.add_argument("--cpu-level", action="append", choices=sorted(EMULATED), default=[])
    parser.add_argument("--plot", type=Path, help="PNG of accuracy against time")
    parser.add_argument("--json", type=Path, help="where the figures go unrounded")
    return parser


def _benchmark(arguments: argparse.Namespace) -> None:
    """Measures, prints and writes."""
    machine = Machine.here(("onnxruntime", "onnxruntime-gpu", "onnx", "tf2onnx", "ai-edge-litert"))
    for level in arguments.cpu_level:
        reason = get_runtime(EMULATED[level]).missing()
        if reason:
            raise EngineMissingError(reason)
    run = Run.open(arguments.run)
    measured = measure(run, arguments)
    settings: dict[str, str | int | float] = {
        "run": run.record.name, "repeats": arguments.repeats, "calls a repeat": CALLS,
        "images": measured.images, "images on emulated CPUs": measured.emulated,
        "calibration images of quantize_static": CALIBRATION_IMAGES,
    }  # fmt: skip
    reached = tuple(figures(measured, run.record.recipe.model.name, machine.cpu_flags))
    outcome = Outcome("onnx_int8", machine, settings, reached)
    print(outcome.text())
    print()
    print("\n".join(table(measured.rows, arguments.cpu_level)))
    if arguments.json:
        rows = [asdict(row) for row in measured.rows.values()]
        content = json.loads(outcome.json()) | {"rows": rows}
        arguments.json.write_text(json.dumps(content, indent=2), encoding="utf-8")
    if arguments.plot:
        title = f"{run.record.name}: int8 ONNX in ONNX Runtime"
        draw(measured.rows, measured.emulated, title, arguments.plot)


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
