"""The tiny network as files of every kind that the engines read."""

from pathlib import Path

import pytest

from edgecifar.exporting import onnx, tflite
from edgecifar.exporting.options import Io, Precision


@pytest.fixture(scope="session")
def models(tiny, tmp_path_factory) -> dict[str, Path]:
    """Paths by name, such as "int8.tflite"; int8 files take raw pixels, the others floats."""
    folder = tmp_path_factory.mktemp("models")
    files = {}
    for precision in Precision:
        io = Io.UINT8 if precision is Precision.INT8 else Io.FLOAT32
        content = tflite.convert(tiny.float_model, precision, io, tiny.preprocessing, tiny.calibration)
        files[f"{precision}.tflite"] = content
        files[f"{precision}.onnx"] = (
            onnx.convert_int8(content, io)
            if precision is Precision.INT8
            else onnx.convert(tiny.float_model, precision, io, tiny.preprocessing)
        )
    files["batch4.onnx"] = onnx.convert(
        tiny.float_model, Precision.FLOAT32, Io.FLOAT32, tiny.preprocessing, batch=4
    )
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in files} | {"model.keras": tiny.folder / "model.keras"}
