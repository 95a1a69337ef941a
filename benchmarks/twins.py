"""How many images get other outputs from a run's int8 ONNX file than from its int8 TFLite file, and why.

The same quantized network in LiteRT's XNNPACK and in ONNX Runtime: with the average pools as tf2onnx writes
them, with pools that round as TFLite's do, and with the scales of added tensors aligned as well, which is
what `edgecifar export` writes.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from timing import Machine, tell

from edgecifar.artifacts import Dataset, Preprocessing, Run
from edgecifar.choices import Split
from edgecifar.compression.quantization import load_quantization_aware
from edgecifar.compression.safe_weights import widen_ranges
from edgecifar.data import load_dataset
from edgecifar.errors import ModelError
from edgecifar.exporting import elu, onnx, saturation, tflite
from edgecifar.exporting.bundle import count_steps
from edgecifar.exporting.options import Io, Precision
from edgecifar.exporting.roundings import align_additions
from edgecifar.runtimes import get_runtime

CHUNK = 500


@dataclass(frozen=True, slots=True)
class Row:
    """One way of export."""

    way: str
    images: int
    unlike: int
    """Images of which any output integer differs."""
    classes: int
    """Images that get another class."""
    largest_step: int
    correct: int
    """Right answers of the TFLite file."""


def measure(run: Run, test: Dataset) -> Iterator[Row]:
    """Yields a row for each way."""
    plain = _quantize(run)
    aligned = align_additions(plain)
    # The pass that is left out here is a part of `convert_int8`.
    without_pools = patch.object(onnx, "round_as_tflite")
    for way, content, context in (
        ("average pools and additions as converted", plain, without_pools),
        ("average pools that round as TFLite's", plain, nullcontext()),
        ("the same, and additions aligned", aligned, nullcontext()),
    ):
        tell(way)
        with context:
            twin = onnx.convert_int8(content, Io.UINT8)
        first = _outputs(content, "litert", test.images, run.record.preprocessing)
        second = _outputs(twin, "ort-cpu", test.images, run.record.preprocessing)
        yield Row(
            way=way,
            images=len(test),
            unlike=int(np.any(first != second, axis=1).sum()),
            classes=int(np.sum(first.argmax(axis=1) != second.argmax(axis=1))),
            largest_step=count_steps(first, second),
            correct=int(np.sum(first.argmax(axis=1) == test.labels)),
        )


def _quantize(run: Run) -> bytes:
    """Returns the run's int8 network with saturation-safe weights, as the export has it before alignment."""
    if run.qat_path is None:
        raise ModelError(f"{run.folder} was not trained quantization-aware.")
    model = load_quantization_aware(run.qat_path)
    widen_ranges(model)
    return saturation.make_safe(
        elu.make_integer(tflite.convert(model, Precision.INT8, Io.UINT8, run.record.preprocessing))
    )


def _outputs(
    content: bytes, runtime: str, images: NDArray[np.uint8], preprocessing: Preprocessing
) -> NDArray[np.uint8]:
    """Returns the output bytes: uint8 (N, classes)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("model.tflite" if runtime == "litert" else "model.onnx")
        path.write_bytes(content)
        model = get_runtime(runtime).load(path, threads=1)
        parts = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
        pieces = [model.predict(model.input.quantize(preprocessing.apply(part))) for part in parts]
    return np.concatenate(pieces)


def table(rows: list[Row]) -> Iterator[str]:
    """Yields the lines of a Markdown table."""
    yield "| export | images unlike XNNPACK | other class | largest step | top-1 |"
    yield "| --- | --- | --- | --- | --- |"
    for row in rows:
        yield (
            f"| {row.way} | {row.unlike:,} of {row.images:,} | {row.classes} | {row.largest_step} "
            f"| {100 * row.correct / row.images:.2f} % |"
        )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run that was trained quantization-aware")
    parser.add_argument("--data-dir", type=Path, help="CIFAR-10's archive, or the folder that holds it")
    parser.add_argument("--images", type=int, default=10_000, help="test images")
    arguments = parser.parse_args()
    run = Run.open(arguments.run)
    recipe = run.record.recipe
    test = load_dataset(recipe.data, Split.TEST, seed=recipe.seed, data_dir=arguments.data_dir)
    rows = list(measure(run, test.select(slice(arguments.images))))
    print("\n".join(Machine.here(("onnxruntime", "onnxruntime-gpu", "tf2onnx", "ai-edge-litert")).lines()))
    print()
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
