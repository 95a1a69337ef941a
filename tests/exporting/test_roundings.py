from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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


def _normalized() -> bytes:
    """The shipped network with batch norms after activations, with constants as a converter may leave them.

    One product of each multiplication lies on a half step; what additions add has a scale of its own.
    """
    content = bytearray((EXPORTED / "seed-vgg6" / "model.int8.tflite").read_bytes())
    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    for place in range(graph.OperatorsLength()):
        operator = graph.Operators(place)
        code = model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
        if code in (schema.BuiltinOperator.MUL, schema.BuiltinOperator.ADD):
            source, constant, result = (
                graph.Tensors(index).Quantization()
                for index in (operator.Inputs(0), operator.Inputs(1), operator.Outputs(0))
            )
            scale = constant.ScaleAsNumpy()
            scale *= np.float32(1.0007)
            if code == schema.BuiltinOperator.MUL:
                ratio = source.Scale(0) * float(scale[0]) / result.Scale(0)
                product = 100 * int(np.abs(_integers(model, graph, operator.Inputs(1))).max())
                scale[0] *= (np.floor(product * ratio) + 0.5) / (product * ratio)
    return bytes(content)


def _integers(model: Any, graph: Any, index: int) -> np.ndarray:
    return model.Buffers(graph.Tensors(index).Buffer()).DataAsNumpy().view(np.int8).astype(int)


NORMALIZED = _normalized()


def constants(content: bytes, code: int) -> Iterator[tuple[np.ndarray, Any, Any, Any]]:
    """(constants, and quantization of source, constants and result) of each operator of that code."""
    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    for place in range(graph.OperatorsLength()):
        operator = graph.Operators(place)
        if model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode() == code:
            indices = operator.Inputs(0), operator.Inputs(1), operator.Outputs(0)
            quantizations = (graph.Tensors(index).Quantization() for index in indices)
            yield _integers(model, graph, operator.Inputs(1)), *quantizations


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


def test_constants_that_are_added_are_rounded_to_such_multiples():
    old = list(constants(NORMALIZED, schema.BuiltinOperator.ADD))
    new = list(constants(roundings.settle(NORMALIZED), schema.BuiltinOperator.ADD))
    assert len(old) == len(new) == 6
    for (old_values, _, before, _), (values, _, after, total) in zip(old, new, strict=True):
        multiple = after.Scale(0) / total.Scale(0) * 255
        assert abs(multiple - round(multiple)) < 1e-3
        real = (values - after.ZeroPoint(0)) * after.Scale(0)
        old_real = (old_values - before.ZeroPoint(0)) * before.Scale(0)
        assert np.max(np.abs(real - old_real)) <= 0.501 * after.Scale(0)
        assert after.Scale(0) - before.Scale(0) < 1.001 * total.Scale(0) / 255


def test_no_product_with_constants_lies_beside_a_half_step():
    def nearest(content: bytes) -> list[float]:
        found = []
        for values, source, constant, result in constants(content, schema.BuiltinOperator.MUL):
            inputs = np.arange(-128, 128) - source.ZeroPoint(0)
            products = np.multiply.outer(inputs, values - constant.ZeroPoint(0)).astype(np.float64)
            steps = products * source.Scale(0) * constant.Scale(0) / result.Scale(0)
            inside = np.abs(steps + result.ZeroPoint(0)) < 127
            found.append(float(np.min((np.abs(steps % 1 - 0.5) / (np.abs(steps) + 1))[inside])))
        return found

    settled = roundings.settle(NORMALIZED)
    assert len(nearest(settled)) == 6
    assert min(nearest(NORMALIZED)) < 1e-7
    assert min(nearest(settled)) >= 0.99e-6
    pairs = (constants(content, schema.BuiltinOperator.MUL) for content in (NORMALIZED, settled))
    for (old_values, _, before, _), (values, _, after, _) in zip(*pairs, strict=True):
        np.testing.assert_array_equal(values, old_values)
        assert abs(after.Scale(0) / before.Scale(0) - 1) <= 1.01e-3


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
    settled = roundings.settle(NORMALIZED)
    assert roundings.settle(settled) == settled
    plain = (EXPORTED / "edge-vgg6" / "model.int8.tflite").read_bytes()
    assert roundings.settle(plain) == plain


@pytest.mark.parametrize("source", [RESIDUAL, NORMALIZED], ids=["residual", "normalized"])
def test_the_twins_are_equal_to_the_bit(source: bytes, tmp_path):
    content = roundings.settle(source)
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
