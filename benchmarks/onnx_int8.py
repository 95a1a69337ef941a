"""Int8 ONNX in ONNX Runtime, made in five ways of one network: time, and accuracy on several x86 CPUs.

The float ONNX of a bundle's model; stock tf2onnx of its int8 TFLite; `quantize_static` of the float file
with its defaults, and with reduce_range; and this tool's file, made anew of the int8 TFLite. All run in
turn, one image on one thread. Accuracy is measured on this CPU, and on emulated ones (qemu-user-static) on
fewer.
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

from edgecifar.artifacts import Bundle, Dataset
from edgecifar.choices import Split
from edgecifar.data import load_dataset
from edgecifar.exporting.lone import export_file
from edgecifar.exporting.onnx import convert
from edgecifar.exporting.options import Format, Io, Precision
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
    flips: dict[str, int]
    """Images that get another class on an emulated CPU than on this one."""
    images_unlike_xnnpack: int | None
    """Images whose output bytes are not those of the int8 TFLite in XNNPACK; None where there is no twin."""
    classes_unlike_xnnpack: int | None


def make_files(bundle: Bundle, calibration: NDArray[np.float32], folder: Path) -> dict[str, Path]:
    """Returns the variants' files by name."""
    float_file, int8_file = folder / "float32.onnx", bundle.folder / "model.int8.tflite"
    preprocessing = bundle.manifest.preprocessing
    float_file.write_bytes(
        convert(load_model(bundle.reference_path), Precision.FLOAT32, Io.FLOAT32, preprocessing)
    )
    return {
        FLOAT: float_file,
        STOCK: _stock(int8_file, folder / "stock.onnx"),
        STATIC: _static(float_file, calibration, folder / "static.onnx"),
        REDUCED: _static(float_file, calibration, folder / "reduced.onnx", reduce_range=True),
        OURS: export_file(int8_file, Format.ONNX, io=Io.FLOAT32, out=folder / "ours.onnx").path,
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
    """Returns a row for each variant of a bundle."""
    bundle = Bundle.open(arguments.bundle)
    record = json.loads((bundle.folder / "run.json").read_text(encoding="utf-8"))["recipe"]
    from edgecifar.recipe import Recipe

    recipe = Recipe.model_validate(record)
    test, train = (
        load_dataset(recipe.data, split, seed=recipe.seed, data_dir=arguments.data_dir)
        for split in (Split.TEST, Split.TRAIN)
    )
    test = test.select(np.sort(balanced_order(test.labels)[: arguments.images]))
    apply = bundle.manifest.preprocessing.apply
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(bundle, apply(train.images[:CALIBRATION_IMAGES]), Path(folder))
        models = {name: get_runtime("ort-cpu").load(path, 1) for name, path in files.items()}
        first = {name: _encode(model, test.images[:1], apply) for name, model in models.items()}
        seconds = interleave(
            {name: _calls(model, first[name]) for name, model in models.items()}, arguments.repeats
        )
        twin = _outputs(
            get_runtime("litert").load(bundle.folder / "model.int8.tflite", 1), test.images, apply
        )
        return [
            _row(name, path, models[name], seconds, twin, test, apply, arguments)
            for name, path in files.items()
        ]


def _calls(model: LoadedModel, image: Array) -> Callable[[], None]:
    def run() -> None:
        for _ in range(CALLS):
            model.predict(image)

    return run


def _outputs(model: LoadedModel, images: NDArray[np.uint8], apply: Any) -> NDArray[np.float32]:
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
    twin: NDArray[np.float32],
    test: Dataset,
    apply: Any,
    arguments: argparse.Namespace,
) -> Row:
    tell(f"{name}: accuracy")
    found = _outputs(model, test.images, apply)
    accuracy = {"this CPU": float(np.mean(found.argmax(axis=1) == test.labels))}
    chosen = np.sort(balanced_order(test.labels)[: arguments.emulated])
    flips = {}
    for level in arguments.cpu_level:
        tell(f"{name}: {level}, emulated")
        there = _outputs(get_runtime(EMULATED[level]).load(path, 1), test.images[chosen], apply)
        accuracy[level] = float(np.mean(there.argmax(axis=1) == test.labels[chosen]))
        accuracy[f"this CPU, the images of {level}"] = float(
            np.mean(found[chosen].argmax(axis=1) == test.labels[chosen])
        )
        flips[level] = int(np.count_nonzero(there.argmax(axis=1) != found[chosen].argmax(axis=1)))
    is_twin = name in {STOCK, OURS}
    layers = inspect(path)
    return Row(
        variant=name,
        ms=Spread.of([1e3 * one / CALLS for one in seconds[name]]),
        faster_than_float=Spread.of(ratios(seconds[FLOAT], seconds[name])),
        integer_layers=layers.integer_layers,
        layers=len(layers.layers),
        unsafe_pairs=layers.unsafe_pairs,
        accuracy=accuracy,
        flips=flips,
        images_unlike_xnnpack=int(np.any(np.abs(found - twin) > 1e-4, axis=1).sum()) if is_twin else None,
        classes_unlike_xnnpack=int(np.sum(found.argmax(axis=1) != twin.argmax(axis=1))) if is_twin else None,
    )


def table(rows: list[Row], levels: list[str]) -> Iterator[str]:
    """Yields the lines of a Markdown table."""
    heads = ["variant", "ms, one image", "× float", "integer layers", "unsafe pairs", "top-1"]
    heads += [f"top-1, {level} (flips)" for level in levels] + ["images unlike XNNPACK (classes)"]
    yield "| " + " | ".join(heads) + " |"
    yield "| --- " * len(heads) + "|"
    for row in rows:
        cells = [
            row.variant, f"{row.ms.median:.3f} [{row.ms.minimum:.3f}, {row.ms.maximum:.3f}]",
            f"{row.faster_than_float.median:.2f}", f"{row.integer_layers} of {row.layers}",
            f"{row.unsafe_pairs:,}", f"{100 * row.accuracy['this CPU']:.2f} %",
        ]  # fmt: skip
        cells += [f"{100 * row.accuracy[level]:.2f} % ({row.flips[level]})" for level in levels]
        unlike = row.images_unlike_xnnpack
        cells.append("–" if unlike is None else f"{unlike} ({row.classes_unlike_xnnpack})")
        yield "| " + " | ".join(cells) + " |"


def draw(rows: list[Row], levels: list[str], title: str, out: Path) -> None:
    """Writes a picture: accuracy on each CPU against milliseconds on this one, over the same images."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for number, row in enumerate(rows):
        here = row.accuracy[f"this CPU, the images of {levels[0]}"] if levels else row.accuracy["this CPU"]
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
    parser.add_argument("bundle", type=Path)
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
        draw(rows, arguments.cpu_level, f"{arguments.bundle.name}: int8 ONNX in ONNX Runtime", arguments.plot)


if __name__ == "__main__":
    main()
