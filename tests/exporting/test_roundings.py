from pathlib import Path

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from edgecifar.exporting import onnx as exporter
from edgecifar.exporting import roundings
from edgecifar.exporting.options import Io
from edgecifar.runtimes import get_runtime

EXPORTED = Path(__file__).parents[2] / "exported"


def _unaligned():
    """The shipped residual network, with other scales of the terms that only an addition reads."""
    content = bytearray((EXPORTED / "tiny-resnet8" / "model.int8.tflite").read_bytes())
    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    for place in range(graph.OperatorsLength()):
        operator = graph.Operators(place)
        if model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode() == schema.BuiltinOperator.ADD:
            scale = graph.Tensors(operator.Inputs(1)).Quantization().ScaleAsNumpy()
            scale *= np.float32(1.0007)
    return bytes(content)


RESIDUAL = _unaligned()


def additions(content):
    """(scales of the two terms, scale of the sum) of each addition."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]

    def scale(index):
        return float(graph.tensors[index].quantization.scale[0])

    return [
        ([scale(index) for index in operator.inputs], scale(operator.outputs[0]))
        for operator in graph.operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode == schema.BuiltinOperator.ADD
    ]


def test_terms_are_whole_multiples_of_the_sum_by_255():
    found = additions(roundings.align_additions(RESIDUAL))
    assert len(found) == 3
    for terms, total in found:
        multiples = np.array(terms) / total * 255
        np.testing.assert_allclose(multiples, np.rint(multiples), atol=1e-3)
    for (terms, total), (old_terms, old_total) in zip(found, additions(RESIDUAL), strict=True):
        # Half a step of 1 / 255 of the sum's scale, and what an earlier sum moved.
        assert np.all(np.abs(np.array(terms) - old_terms) <= 0.51 / 255 * old_total)
        assert abs(total - old_total) <= 0.004 * old_total


def test_biases_follow_their_inputs():
    for content in (RESIDUAL, roundings.align_additions(RESIDUAL)):
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        graph = model.subgraphs[0]
        for operator in graph.operators:
            if model.operatorCodes[operator.opcodeIndex].builtinCode != schema.BuiltinOperator.CONV_2D:
                continue
            source, weights, bias = (graph.tensors[index].quantization.scale for index in operator.inputs)
            np.testing.assert_allclose(bias, source[0] * np.array(weights), rtol=1e-5)


def test_it_changes_nothing_twice_and_nothing_without_additions():
    once = roundings.align_additions(RESIDUAL)
    assert once != RESIDUAL
    assert roundings.align_additions(once) == once
    plain = (EXPORTED / "edge-vgg6" / "model.int8.tflite").read_bytes()
    assert roundings.align_additions(plain) == plain


def test_the_twins_of_a_residual_network_are_equal_to_the_bit(tmp_path):
    content = roundings.align_additions(RESIDUAL)
    pixels = np.load(EXPORTED / "tiny-resnet8" / "golden" / "images.npy")
    noise = np.random.default_rng(0).integers(0, 256, (48, *pixels.shape[1:]), dtype=np.uint8)
    images = np.concatenate([pixels, noise])
    outputs = []
    for runtime, name, data in (
        ("litert", "m.tflite", content),
        ("ort-cpu", "m.onnx", exporter.convert_int8(content, Io.UINT8)),
    ):
        (tmp_path / name).write_bytes(data)
        outputs.append(get_runtime(runtime).load(tmp_path / name, 1).predict(images))
    np.testing.assert_array_equal(*outputs)
