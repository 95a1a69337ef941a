"""The ways of making an int8 ONNX file of one run that `onnx_int8.py` compares."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx_measuring import Made, Variant
from timing import tell

from edgecifar.artifacts import Dataset, Run
from edgecifar.compression.quantization import load_quantization_aware
from edgecifar.compression.safe_weights import widen_ranges
from edgecifar.exporting import tflite
from edgecifar.exporting.onnx import convert, convert_int8
from edgecifar.exporting.options import Io, Precision, WeightRange
from edgecifar.exporting.quantizing import quantize
from edgecifar.models import load_model

CALIBRATION_IMAGES = 200
"""Training images from which `quantize_static` takes its ranges."""


_STATIC_OPTIONS: dict[Variant, dict[str, bool]] = {
    Variant.STATIC: {},
    Variant.STATIC_CHANNELS: {"per_channel": True},
    Variant.STATIC_REDUCED: {"reduce_range": True},
}


def make_files(run: Run, train: Dataset, folder: Path) -> dict[Variant, Made]:
    """Returns all variants of a run, written into a folder.

    Args:
        run: Where it was trained quantization-aware, TFLite files come from that model.
        train: Training images, for calibration.
        folder: That exists.
    """
    tell("making the files")
    preprocessing, float_model = run.record.preprocessing, load_model(run.model_path)
    calibration = preprocessing.apply(train.images[:CALIBRATION_IMAGES])
    float_file = _write(
        folder / "float32.onnx", convert(float_model, Precision.FLOAT32, Io.FLOAT32, preprocessing)
    )
    aware = load_quantization_aware(run.qat_path) if run.qat_path else None
    stock = tflite.convert(
        aware or float_model, Precision.INT8, Io.FLOAT32, preprocessing, None if aware else calibration
    )
    unsafe = quantize(run, float_model, aware, Io.FLOAT32, WeightRange.FULL, train).content
    if aware:
        widen_ranges(aware)
    safe = quantize(run, float_model, aware, Io.FLOAT32, WeightRange.SAFE, train).content
    twins = {
        name: _write(folder / f"{name}.tflite", content)
        for name, content in (("stock", stock), ("unsafe", unsafe), ("safe", safe))
    }
    files = {
        Variant.FLOAT: Made(float_file, None),
        Variant.STOCK: Made(_convert_stock(twins["stock"], folder / "stock.onnx"), twins["stock"]),
        Variant.STOCK_TWIN: Made(_convert_stock(twins["safe"], folder / "stock-twin.onnx"), twins["safe"]),
        Variant.UNSAFE: Made(_convert(unsafe, folder / "unsafe.onnx"), twins["unsafe"]),
        Variant.OURS: Made(_convert(safe, folder / "ours.onnx"), twins["safe"]),
    }
    for variant, options in _STATIC_OPTIONS.items():
        target = folder / f"{variant.name.lower()}.onnx"
        files[variant] = Made(_quantize_static(float_file, calibration, target, options), None)
    return {variant: files[variant] for variant in Variant}


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _convert(int8_content: bytes, target: Path) -> Path:
    return _write(target, convert_int8(int8_content, Io.FLOAT32))


def _convert_stock(int8_file: Path, target: Path) -> Path:
    import onnx
    import tf2onnx

    model, _ = tf2onnx.convert.from_tflite(str(int8_file), opset=17)
    onnx.save(model, target)
    return target


def _quantize_static(
    float_file: Path, calibration: NDArray[np.float32], target: Path, options: dict[str, bool]
) -> Path:
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    session = onnxruntime.InferenceSession(str(float_file), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._images = iter(calibration)

        def get_next(self) -> Any:
            image = next(self._images, None)
            return None if image is None else {name: image[None]}

    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(str(float_file), str(prepared), skip_symbolic_shape=True)
    quantize_static(str(prepared), str(target), Reader(), **options)
    return target
