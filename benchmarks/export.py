"""This tool's int8 files against those that the stock tools make of the same trained model.

    python benchmarks/export.py BUNDLE [--data-dir DIR] [--repeats N] [--limit N] [--calibration N] [--json]

TFLite, in LiteRT (XNNPACK): the bundle's file, TensorFlow's own converter, ai-edge-quantizer.
ONNX, in ONNX Runtime (CPU): the bundle's file, `onnxruntime.quantization.quantize_static` of the float ONNX
file, and tf2onnx of the bundle's int8 TFLite file as it comes.

All are made here from the bundle's float Keras model (tf2onnx: from its int8 file) with the same number of
calibration images, run one image at a time on one thread, each in a process of its own, in turn.

Like is held against like: ai-edge-quantizer's file takes and gives int8 and quantize_static's floats, so the
bundle's file is measured a second time with such boundaries, the same network otherwise.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from timing import (
    TIMES,
    Bound,
    Figure,
    Goal,
    Machine,
    Outcome,
    Spread,
    make_parser,
    positive,
    ratios,
    run,
    tell,
)

import edgecifar  # noqa: F401  it chooses Keras 2
from edgecifar.artifacts import ArtifactEntry, Bundle, Dataset
from edgecifar.artifacts.speed import SpeedRow
from edgecifar.benchmarking import Contender, Plan, measure_speed
from edgecifar.chatter import diverted
from edgecifar.choices import Source, Split
from edgecifar.data import load_dataset
from edgecifar.errors import ModelError
from edgecifar.exporting.options import Io
from edgecifar.exporting.tflite_codes import pack, unpacked_code_of
from edgecifar.protocol import Array, TensorInfo
from edgecifar.recipe import DataSpec
from edgecifar.verification import metrics
from edgecifar.verification.feeding import Feeding
from edgecifar.verification.running import balanced_order

TOOLS = ("ai-edge-litert", "ai-edge-quantizer", "onnxruntime-gpu", "onnxruntime", "tensorflow", "tf2onnx")
OURS = "edgecifar"
INT8_BOUNDARIES = f"int8.tflite, {OURS}, int8 in and out"
FLOAT_BOUNDARIES = f"int8.onnx, {OURS}, floats in and out"
LIKE = {
    "int8.tflite, TFLiteConverter": f"int8.tflite, {OURS}",
    "int8.tflite, ai-edge-quantizer": INT8_BOUNDARIES,
    "int8.onnx, tf2onnx": f"int8.onnx, {OURS}",
    "int8.onnx, quantize_static": FLOAT_BOUNDARIES,
}
"""By a stock tool's file: this tool's with the same boundaries."""
GOAL = Goal(Bound.AT_MOST, 1.02)
"""Not slower than the stock tools' files; two hundredths are within what repeats of one file differ by."""


def measure(arguments: argparse.Namespace) -> Outcome:
    """Returns latency, size and accuracy of each file, and the ratios."""
    machine = Machine.here(TOOLS)
    bundle = Bundle.open(arguments.bundle)
    spec = DataSpec(source=Source.CIFAR10 if arguments.data_dir else Source.SAMPLE)
    training, test = (
        load_dataset(spec, split, data_dir=arguments.data_dir) for split in (Split.TRAIN, Split.TEST)
    )
    calibration = training.select(balanced_order(training.labels)[: arguments.calibration])
    values = bundle.manifest.preprocessing.apply(calibration.images)
    data = test.select(np.sort(balanced_order(test.labels)[: arguments.limit]))
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(bundle, values, Path(folder))
        contenders = [contender(bundle, data, name, path) for name, path in files.items()]
        tell("measuring")
        rows, refused = measure_speed(
            contenders, Plan(rounds=arguments.repeats, calls=arguments.calls, batches=(1,))
        )
    settings = {
        "bundle": bundle.manifest.name,
        "images": f"{len(data):,} of {data.source}",
        "calibration images": len(calibration),
        "repeats": arguments.repeats,
        "calls in a repeat": arguments.calls,
    }
    figures = [*describe(rows), *compare(rows)]
    return Outcome("export", machine, settings, tuple(figures), tuple(refused))


def make_files(bundle: Bundle, values: NDArray[np.float32], folder: Path) -> dict[str, Path]:
    """Returns the files by name, "int8.tflite, ai-edge-quantizer"; this tool's own come from the bundle.

    Args:
        bundle: Needs float32 and int8 files of both formats.
        values: Preprocessed calibration images, (N, height, width, 3).
        folder: For the files that are made.

    Raises:
        ModelError: The bundle lacks one of the files.
    """
    entries: dict[tuple[str, str], ArtifactEntry] = {
        (entry.format, entry.precision): entry for entry in bundle.manifest.artifacts
    }
    wanted = [(form, precision) for form in ("tflite", "onnx") for precision in ("float32", "int8")]
    if not set(wanted) <= set(entries):
        raise ModelError(
            f"{bundle.folder} lacks float32 or int8 files.", "Export with --format all --int8 and float32."
        )
    files = {
        f"{precision}.{form}, {OURS}": bundle.folder / entries[form, precision].file
        for form, precision in wanted
    }
    with diverted():
        import tf_keras

        model = tf_keras.models.load_model(bundle.reference_path, compile=False)
        float_tflite = _stock_tflite(model)
        int8_tflite = bundle.folder / entries["tflite", "int8"].file
        made = {
            INT8_BOUNDARIES: _int8_in_and_out(int8_tflite.read_bytes()),
            FLOAT_BOUNDARIES: _floats_in_and_out(bundle.folder / entries["onnx", "int8"].file),
            "int8.tflite, TFLiteConverter": _stock_tflite(
                model, values, entries["tflite", "int8"].input.dtype
            ),
            "int8.tflite, ai-edge-quantizer": _ai_edge_quantizer(float_tflite, values),
            "int8.onnx, tf2onnx": _tf2onnx(int8_tflite, folder),
            "int8.onnx, quantize_static": _quantize_static(model, values, folder),
        }
    for number, (name, content) in enumerate(made.items()):
        path = folder / f"{number}{Path(name.partition(',')[0]).suffix}"
        path.write_bytes(content)
        files[name] = path
    return files


def _int8_in_and_out(content: bytes) -> bytes:
    """Returns an int8 TFLite file without the operators that change the type of its input and output."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    [graph] = model.subgraphs
    inner: dict[int, int] = {}
    for operator in list(graph.operators):
        if unpacked_code_of(model, operator) not in {
            schema.BuiltinOperator.QUANTIZE,
            schema.BuiltinOperator.DEQUANTIZE,
        }:
            continue
        [source], [result] = operator.inputs, operator.outputs
        if source in graph.inputs:
            inner[int(source)] = int(result)
        elif result in graph.outputs:
            inner[int(result)] = int(source)
        else:
            continue
        graph.operators.remove(operator)
    graph.inputs, graph.outputs = (
        [inner.get(int(index), int(index)) for index in indices] for indices in (graph.inputs, graph.outputs)
    )
    for signature in model.signatureDefs or ():
        for entry in (*signature.inputs, *signature.outputs):
            entry.tensorIndex = inner.get(entry.tensorIndex, entry.tensorIndex)
    return pack(model)


def _floats_in_and_out(path: Path) -> bytes:
    """Returns an int8 ONNX file that takes preprocessed floats and gives probabilities as floats."""
    import onnx

    from edgecifar.exporting.boundaries import set_boundaries

    model = onnx.load(path)
    set_boundaries(model.graph, Io.FLOAT32)
    # They tell of the boundaries that it had.
    model.ClearField("metadata_props")
    content: bytes = model.SerializeToString()
    return content


def _stock_tflite(
    model: Any, values: NDArray[np.float32] | None = None, boundaries: str = "float32"
) -> bytes:
    """Returns TensorFlow's own conversion: integers with such boundaries if calibrated, else floats."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if values is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([value[np.newaxis]] for value in values)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.as_dtype(boundaries)
    content: bytes = converter.convert()
    return content


def _ai_edge_quantizer(content: bytes, values: NDArray[np.float32]) -> bytes:
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    [(key, signature)] = Interpreter(model_content=content).get_signature_list().items()
    [entry] = signature["inputs"]
    stock = quantizer.Quantizer(content, recipe.static_wi8_ai8())
    ranges = stock.calibrate({key: [{entry: value[np.newaxis]} for value in values]})
    return bytes(stock.quantize(ranges).quantized_model)


def _tf2onnx(path: Path, folder: Path) -> bytes:
    import tf2onnx

    target = folder / "tf2onnx.onnx"
    tf2onnx.convert.from_tflite(str(path), opset=17, output_path=str(target))
    return target.read_bytes()


def _quantize_static(model: Any, values: NDArray[np.float32], folder: Path) -> bytes:
    import tensorflow as tf
    import tf2onnx
    from onnxruntime.quantization import quantize_static
    from onnxruntime.quantization.calibrate import CalibrationDataReader
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Gives the calibration images one by one."""

        def __init__(self) -> None:
            self._images: Iterator[Any] = ({"image": value[np.newaxis]} for value in values)

        def get_next(self) -> Any:
            """Returns the next image, or None at the end."""
            return next(self._images, None)

    plain, prepared, target = (folder / f"static-{step}.onnx" for step in ("plain", "prepared", "int8"))
    spec = tf.TensorSpec((None, *values.shape[1:]), tf.float32, name="image")
    tf2onnx.convert.from_keras(model, [spec], opset=17, output_path=str(plain))
    # Symbolic shapes need sympy, and this graph has none but the batch.
    quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
    quantize_static(str(prepared), str(target), Reader())
    return target.read_bytes()


def contender(bundle: Bundle, data: Dataset, name: str, path: Path) -> Contender:
    """Returns a file in the engine of its format, fed as its own input asks."""
    raw = {entry.file: entry.raw_pixels and entry.input.scale is None for entry in bundle.manifest.artifacts}
    is_ours = path.parent == bundle.folder
    feeding = Feeding(bundle.manifest.preprocessing, raw_pixels=is_ours and raw[path.name])

    def count_correct(outputs: Array, info: TensorInfo) -> int:
        return metrics.count_correct(feeding.decode(outputs, info), data.labels)

    [source] = [
        entry.input
        for entry in bundle.manifest.artifacts
        if (entry.format, entry.precision) == ("tflite", "int8")
    ]

    def encode(info: TensorInfo) -> Array:
        # tf2onnx drops the scale of the TFLite file's input; without it the integers would mean nothing.
        lost = info.scale is None and info.dtype == source.dtype and not feeding.raw_pixels
        return feeding.encode(data.images, source if lost else info)

    return Contender(
        name=name,
        path=path,
        files=(path,),
        format=path.suffix.removeprefix("."),
        precision=name.partition(".")[0],
        runtime="litert" if path.suffix == ".tflite" else "ort-cpu",
        encode=encode,
        count_correct=count_correct,
    )


def describe(rows: list[SpeedRow]) -> Iterator[Figure]:
    """Yields latency, size and accuracy of each file."""
    for row in rows:
        yield Figure(f"{row.artifact}: one image", "ms", Spread.of([1000 * s for s in row.latency.rounds_s]))
    for row in rows:
        yield Figure(f"{row.artifact}: size", "bytes", Spread.of([row.size_bytes]))
    for row in rows:
        yield Figure(f"{row.artifact}: top-1", "%", Spread.of([100 * row.accuracy.rate]))


def compare(rows: list[SpeedRow]) -> Iterator[Figure]:
    """Yields, by round, the ratios of this tool's files to their like of stock tools, and int8 to float."""
    by_name = {row.artifact: row for row in rows}
    pairs = {other: (ours, GOAL) for other, ours in LIKE.items()}
    floats = {f"float32.{form}, {OURS}": (f"int8.{form}, {OURS}", None) for form in ("tflite", "onnx")}
    for other, (ours, goal) in {**pairs, **floats}.items():
        quotients = ratios(by_name[ours].latency.rounds_s, by_name[other].latency.rounds_s)
        yield Figure(f"{ours} / {other}", TIMES, Spread.of(quotients), goal)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("Time int8 files against those of the stock tools.", repeats=7)
    add = parser.add_argument
    add("bundle", type=Path, help="folder of a bundle with float32 and int8 files of both formats")
    add("--data-dir", type=Path, help="CIFAR-10's archive or folder (default: the sample in the package)")
    add("--limit", type=positive, default=2000, help="test images for the accuracy (default: %(default)s)")
    add("--calibration", type=positive, default=500, help="training images (default: %(default)s)")
    add("--calls", type=positive, default=100, help="calls in a repeat (default: %(default)s)")
    return parser


if __name__ == "__main__":
    run(measure, _parser())
