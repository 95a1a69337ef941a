"""Int8 ONNX in ONNX Runtime, made in five ways of one network: time, and accuracy on several x86 CPUs.

All of one run: its float ONNX; stock tf2onnx of the int8 TFLite that TensorFlow's converter makes; ONNX
Runtime's `quantize_static` of the float file with its defaults, and with reduce_range; and this tool's file.
All run in turn, one image on one thread. Accuracy is measured on this CPU, and on emulated ones
(qemu-user-static) on fewer images.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from timing import Machine, Spread, interleave, ratios, tell

from edgecifar.artifacts import Dataset, Run
from edgecifar.choices import Split
from edgecifar.compression.quantization import load_quantization_aware
from edgecifar.compression.safe_weights import widen_ranges
from edgecifar.data import load_dataset
from edgecifar.exporting import tflite
from edgecifar.exporting.onnx import convert, convert_int8
from edgecifar.exporting.options import Io, Precision, WeightRange
from edgecifar.exporting.quantizing import quantize
from edgecifar.models import load_model
from edgecifar.protocol import Array, LoadedModel
from edgecifar.runtimes import EMULATED, get_runtime
from edgecifar.runtimes.onnx_inspection import inspect
from edgecifar.verification import balanced_order

FLOAT, STOCK, STATIC, REDUCED, OURS = (
    "float32", "int8, stock tf2onnx", "int8, quantize_static", "int8, quantize_static, reduce_range",
    "int8, edgecifar",
)  # fmt: skip
CALIBRATION_IMAGES = 200
CALLS = 50
"""Of one image, in each round."""


@dataclass(frozen=True, slots=True)
class Row:
    """One file."""

    variant: str
    ms: Spread
    faster_than_float: Spread
    integer_layers: int
    layers: int
    unsafe_pairs: int
    accuracy: dict[str, float]
    """Share of right answers by CPU: this machine's, and emulated ones on fewer images."""
    lost: dict[str, float]
    """Share of right answers by which an emulated CPU is worse than this one on the same images."""
    flips: dict[str, int]
    """Images that get another class on an emulated CPU than on this one."""
    images_unlike_xnnpack: int | None
    """Images whose outputs are not XNNPACK's for the TFLite file that it was made of; None: of none."""
    classes_unlike_xnnpack: int | None


def make_files(run: Run, train: Dataset, folder: Path) -> dict[str, Path]:
    """Returns the variants' files by name; the int8 TFLite that one was made of lies beside it."""
    preprocessing, float_model = run.record.preprocessing, load_model(run.model_path)
    calibration = preprocessing.apply(train.images[:CALIBRATION_IMAGES])
    float_file = folder / "float32.onnx"
    float_file.write_bytes(convert(float_model, Precision.FLOAT32, Io.FLOAT32, preprocessing))
    aware = load_quantization_aware(run.qat_path) if run.qat_path else None
    stock = tflite.convert(
        aware or float_model, Precision.INT8, Io.FLOAT32, preprocessing, None if aware else calibration
    )
    (folder / "stock.tflite").write_bytes(stock)
    if aware:
        widen_ranges(aware)
    made = quantize(run, float_model, aware, Io.FLOAT32, WeightRange.SAFE, train)
    (folder / "ours.tflite").write_bytes(made.content)
    ours = folder / "ours.onnx"
    ours.write_bytes(convert_int8(made.content, Io.FLOAT32))
    return {
        FLOAT: float_file,
        STOCK: _stock(folder / "stock.tflite", folder / "stock.onnx"),
        STATIC: _static(float_file, calibration, folder / "static.onnx"),
        REDUCED: _static(float_file, calibration, folder / "reduced.onnx", reduce_range=True),
        OURS: ours,
    }


def _stock(int8_file: Path, target: Path) -> Path:
    import onnx
    import tf2onnx

    model, _ = tf2onnx.convert.from_tflite(str(int8_file), opset=17)
    onnx.save(model, target)
    return target


def _static(float_file: Path, calibration: NDArray[np.float32], target: Path, **options: Any) -> Path:
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._images = iter(calibration)

        def get_next(self) -> Any:
            image = next(self._images, None)
            return None if image is None else {name: image[None]}

    name = (
        onnxruntime.InferenceSession(str(float_file), providers=["CPUExecutionProvider"]).get_inputs()[0].name
    )
    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(str(float_file), str(prepared), skip_symbolic_shape=True)
    quantize_static(str(prepared), str(target), Reader(), **options)
    return target


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Returns a row for each variant of a run."""
    run = Run.open(arguments.run)
    recipe = run.record.recipe
    test, train = (
        load_dataset(recipe.data, split, seed=recipe.seed, data_dir=arguments.data_dir)
        for split in (Split.TEST, Split.TRAIN)
    )
    test = test.select(np.sort(balanced_order(test.labels)[: arguments.images]))
    apply = run.record.preprocessing.apply
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(run, train, Path(folder))
        models = {name: get_runtime("ort-cpu").load(path, 1) for name, path in files.items()}
        first = {name: _encode(model, test.images[:1], apply) for name, model in models.items()}
        seconds = interleave(
            {name: _calls(model, first[name]) for name, model in models.items()}, arguments.repeats
        )
        return [
            _row(name, path, models[name], seconds, test, apply, arguments) for name, path in files.items()
        ]


def _calls(model: LoadedModel, image: Array) -> Callable[[], None]:
    def run() -> None:
        for _ in range(CALLS):
            model.predict(image)

    return run


def _outputs(model: LoadedModel, images: NDArray[np.uint8], apply: Any) -> NDArray[np.floating[Any]]:
    pieces = [
        model.output.dequantize(model.predict(_encode(model, images[start : start + 500], apply)))
        for start in range(0, len(images), 500)
    ]
    found = np.concatenate(pieces)
    # A softmax's bytes are 1 / 256 each; tf2onnx's files do not say so.
    return found / 256 if model.output.dtype == "uint8" and model.output.scale is None else found


def _encode(model: LoadedModel, images: NDArray[np.uint8], apply: Any) -> Array:
    """Returns the input tensor; bytes without a scale are pixels: bundles' input scale is that of pixels."""
    if model.input.dtype == "uint8" and model.input.scale is None:
        return images
    return model.input.quantize(apply(images))


def _row(
    name: str,
    path: Path,
    model: LoadedModel,
    seconds: dict[str, list[float]],
    test: Dataset,
    apply: Any,
    arguments: argparse.Namespace,
) -> Row:
    tell(f"{name}: accuracy")
    found = _outputs(model, test.images, apply)
    accuracy = {"this CPU": float(np.mean(found.argmax(axis=1) == test.labels))}
    chosen = np.sort(balanced_order(test.labels)[: arguments.emulated])
    lost, flips = {}, {}
    for level in arguments.cpu_level:
        tell(f"{name}: {level}, emulated")
        there = _outputs(get_runtime(EMULATED[level]).load(path, 1), test.images[chosen], apply)
        accuracy[level] = float(np.mean(there.argmax(axis=1) == test.labels[chosen]))
        here = float(np.mean(found[chosen].argmax(axis=1) == test.labels[chosen]))
        lost[level] = here - accuracy[level]
        flips[level] = int(np.count_nonzero(there.argmax(axis=1) != found[chosen].argmax(axis=1)))
    twin_file = path.with_suffix(".tflite")
    twin = (
        _outputs(get_runtime("litert").load(twin_file, 1), test.images, apply) if twin_file.exists() else None
    )
    layers = inspect(path)
    return Row(
        variant=name,
        ms=Spread.of([1e3 * one / CALLS for one in seconds[name]]),
        faster_than_float=Spread.of(ratios(seconds[FLOAT], seconds[name])),
        integer_layers=layers.integer_layers,
        layers=len(layers.layers),
        unsafe_pairs=layers.unsafe_pairs,
        accuracy=accuracy,
        lost=lost,
        flips=flips,
        images_unlike_xnnpack=(
            None if twin is None else int(np.any(np.abs(found - twin) > 1e-4, axis=1).sum())
        ),
        classes_unlike_xnnpack=(
            None if twin is None else int(np.sum(found.argmax(axis=1) != twin.argmax(axis=1)))
        ),
    )


def table(rows: list[Row], levels: list[str]) -> Iterator[str]:
    """Yields the lines of a Markdown table."""
    heads = ["variant", "ms, one image", "× float", "integer layers", "unsafe pairs", "top-1"]
    heads += [f"top-1, {level} (points lost, flips)" for level in levels] + [
        "images unlike XNNPACK (classes)"
    ]
    yield "| " + " | ".join(heads) + " |"
    yield "| --- " * len(heads) + "|"
    for row in rows:
        cells = [
            row.variant, f"{row.ms.median:.3f} [{row.ms.minimum:.3f}, {row.ms.maximum:.3f}]",
            f"{row.faster_than_float.median:.2f}", f"{row.integer_layers} of {row.layers}",
            f"{row.unsafe_pairs:,}", f"{100 * row.accuracy['this CPU']:.2f} %",
        ]  # fmt: skip
        cells += [
            f"{100 * row.accuracy[level]:.2f} % ({100 * row.lost[level]:.2f}, {row.flips[level]})"
            for level in levels
        ]
        unlike = row.images_unlike_xnnpack
        cells.append("–" if unlike is None else f"{unlike} ({row.classes_unlike_xnnpack})")
        yield "| " + " | ".join(cells) + " |"


def draw(rows: list[Row], levels: list[str], title: str, out: Path) -> None:
    """Writes a picture: accuracy on each CPU against milliseconds on this one, over the same images."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for number, row in enumerate(rows):
        here = row.accuracy[levels[0]] + row.lost[levels[0]] if levels else row.accuracy["this CPU"]
        colour = f"C{number}"
        axes.plot(row.ms.median, 100 * here, "o", color=colour, label=row.variant)
        for level, marker in zip(levels, ("v", "s"), strict=False):
            axes.plot(row.ms.median, 100 * row.accuracy[level], marker, color=colour, fillstyle="none")
    axes.set(xlabel="ms for one image, one thread, this CPU", ylabel="top-1, %", title=title)
    axes.grid(alpha=0.3)
    shown = ", ".join(f"{marker} {level}" for level, marker in zip(levels, ("▽", "□"), strict=False))
    axes.legend(title=f"● this CPU  {shown}", fontsize="small")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--data-dir", type=Path, help="CIFAR-10's archive, or the folder that holds it")
    parser.add_argument("--repeats", type=int, default=15, help="rounds that count")
    parser.add_argument("--images", type=int, default=10_000, help="test images on this CPU")
    parser.add_argument("--emulated", type=int, default=1000, help="test images on each emulated CPU")
    parser.add_argument("--cpu-level", action="append", choices=sorted(EMULATED), default=[])
    parser.add_argument("--plot", type=Path, help="PNG of accuracy against time")
    parser.add_argument("--json", type=Path, help="where the figures go unrounded")
    return parser


def main() -> None:
    """Measures and prints."""
    arguments = _parser().parse_args()
    machine = Machine.here(("onnxruntime", "onnxruntime-gpu", "tf2onnx", "ai-edge-litert"))
    rows = measure(arguments)
    print("\n".join(machine.lines()))
    print(f"{arguments.images:,} test images here, {arguments.emulated:,} on emulated CPUs\n")
    print("\n".join(table(rows, arguments.cpu_level)))
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"machine": asdict(machine), "rows": [asdict(row) for row in rows]}, indent=2),
            encoding="utf-8",
        )
    if arguments.plot:
        draw(rows, arguments.cpu_level, f"{arguments.run.name}: int8 ONNX in ONNX Runtime", arguments.plot)


if __name__ == "__main__":
    main()
