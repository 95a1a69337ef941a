"""Dense layers as tf2onnx can read them.

tf2onnx 1.17 loses the bias of a TFLite FULLY_CONNECTED whose input has more than two dimensions
(`TflFullyConnectedOp` replaces its inputs by the first two). TensorFlow's converter writes such a layer where
a flatten follows a pool. An explicit RESHAPE before the layer means the same, and is read rightly.
"""

import math
from typing import Any

from tensorflow.lite.python import schema_py_generated as schema

from edgecifar.exporting.tflite_codes import pack, unpacked_code_of


def flatten_inputs(content: bytes) -> bytes:
    """Returns a TFLite file that computes the same, with two dimensions at the input of each dense layer.

    Args:
        content: A TFLite file; it comes back as it is where nothing is to be done.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    changed = False
    for graph in model.subgraphs:
        operators = []
        for operator in graph.operators:
            if _is_flattening(model, graph, operator):
                operators.append(_reshape_before(model, graph, operator))
                changed = True
            operators.append(operator)
        graph.operators = operators
    if not changed:
        return content
    return pack(model)


def _is_flattening(model: Any, graph: Any, operator: Any) -> bool:
    if unpacked_code_of(model, operator) != schema.BuiltinOperator.FULLY_CONNECTED:
        return False
    return not operator.builtinOptions.keepNumDims and len(graph.tensors[operator.inputs[0]].shape) != 2


def _reshape_before(model: Any, graph: Any, operator: Any) -> Any:
    """Returns a RESHAPE of the layer's input to (batch, features), whose output the layer then reads."""
    source = graph.tensors[operator.inputs[0]]
    features = int(graph.tensors[operator.inputs[1]].shape[1])
    flat = schema.TensorT()
    flat.name = source.name + b"/flat"
    flat.shape = [math.prod(int(size) for size in source.shape) // features, features]
    flat.type, flat.quantization = source.type, source.quantization
    # Buffer 0 is the empty one of everything that is computed.
    flat.buffer = 0
    shape = schema.TensorT()
    shape.name = source.name + b"/flat_shape"
    shape.shape, shape.type = [2], schema.TensorType.INT32
    shape.buffer = len(model.buffers)
    values = schema.BufferT()
    values.data = list(b"".join(size.to_bytes(4, "little", signed=True) for size in (-1, features)))
    model.buffers.append(values)
    graph.tensors += [flat, shape]
    reshape = schema.OperatorT()
    reshape.opcodeIndex = _opcode_of_reshape(model)
    reshape.inputs = [operator.inputs[0], len(graph.tensors) - 1]
    reshape.outputs = [len(graph.tensors) - 2]
    operator.inputs = [len(graph.tensors) - 2, *operator.inputs[1:]]
    return reshape


def _opcode_of_reshape(model: Any) -> int:
    wanted = schema.BuiltinOperator.RESHAPE
    for index, code in enumerate(model.operatorCodes):
        if wanted in (code.builtinCode, code.deprecatedBuiltinCode):
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = wanted
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
