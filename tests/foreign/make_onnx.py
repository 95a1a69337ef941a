"""Makes ONNX files as other tools write them: one by hand with onnx.helper, one by onnxruntime.quantization.

Run once, from the top of the checkout, in the development environment, after make_pytorch.py:

    python tests/foreign/make_onnx.py

`by_hand.onnx` takes float16 pixels of 0-255, BGR, channels last, in batches of exactly four, has its
preprocessing and a softmax inside, and the layers of nchw.onnx between. `qoperator.onnx` is nchw.onnx in ONNX
Runtime's QOperator form (QLinearConv), channels first, with logits.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

HERE = Path(__file__).parent
SAMPLE = HERE.parent.parent / "edgecifar" / "data" / "sample"
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
BATCH = 4


def build_by_hand(source: onnx.ModelProto) -> onnx.ModelProto:
    logits = source.graph.output[0].name
    constants = {
        "pixel_order": np.array([2, 1, 0], np.int64),
        "pixel_mean": 255 * np.array(MEAN, np.float32),
        "pixel_std": 255 * np.array(STD, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["pixels", "pixel_order"], ["rgb"], axis=3),
        helper.make_node("Sub", ["rgb", "pixel_mean"], ["pixel_centred"]),
        helper.make_node("Div", ["pixel_centred", "pixel_std"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], [source.graph.input[0].name], perm=[0, 3, 1, 2]),
        *source.graph.node,
        helper.make_node("Softmax", [logits], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "by hand",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT16, (BATCH, 32, 32, 3))],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, (BATCH, 10))],
        [*source.graph.initializer, *(numpy_helper.from_array(v, name) for name, v in constants.items())],
    )
    model = helper.make_model(graph, opset_imports=source.opset_import, ir_version=source.ir_version)
    onnx.checker.check_model(model, full_check=True)
    return model


class Calibration(CalibrationDataReader):
    def __init__(self, name: str) -> None:
        sheets = [
            np.asarray(Image.open(path).convert("RGB"))[: 20 * 32] for path in SAMPLE.glob("train-*.webp")
        ]
        images = np.concatenate([sheet.reshape(-1, 32, 32, 3) for sheet in sheets]).astype(np.float32) / 255
        images = ((images - np.float32(MEAN)) / np.float32(STD)).transpose(0, 3, 1, 2)
        self._batches = iter([{name: image[np.newaxis]} for image in images])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def main() -> None:
    source = onnx.load(HERE / "nchw.onnx")
    onnx.save(build_by_hand(source), HERE / "by_hand.onnx")
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(HERE / "nchw.onnx", prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            HERE / "qoperator.onnx",
            Calibration(source.graph.input[0].name),
            quant_format=QuantFormat.QOperator,
            per_channel=True,
        )


if __name__ == "__main__":
    main()
