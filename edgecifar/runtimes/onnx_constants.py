"""The constants of an ONNX graph in real values, and what quantizers make of them."""

from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import numpy_helper

from edgecifar.protocol import Array, TensorInfo


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor that is the same for every image."""

    values: Array
    scales: Array | None = None
    """Of the integers that the values were dequantized from."""


class Constants:
    """Those of a graph by name, as far as they can hold weights."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._found = {tensor.name: Constant(numpy_helper.to_array(tensor)) for tensor in graph.initializer}

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def get(self, name: str) -> Constant | None:
        """Returns a constant, or None where images or unknown nodes make the tensor."""
        return self._found.get(name)

    def values(self, name: str) -> Array:
        """Returns the values of a constant that is known to be one."""
        return self._found[name].values

    def fold(self, node: onnx.NodeProto) -> None:
        """Computes what a node makes of constants, as far as it can hold weights."""
        output = node.output[0]
        if node.op_type == "Constant":
            value = next((a.t for a in node.attribute if a.name == "value"), None)
            if value is not None:
                self._found[output] = Constant(numpy_helper.to_array(value))
            return
        known = [self._found.get(name) for name in node.input]
        source = known[0] if known else None
        if source is None:
            return
        if node.op_type == "DequantizeLinear":
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            zero = node.input[2] if len(node.input) > 2 else ""
            self._found[output] = self.dequantized(source.values, node.input[1], zero, axis)
        elif node.op_type in {"Identity", "Cast"}:
            self._found[output] = source
        elif node.op_type == "Reshape" and known[1] is not None:
            self._found[output] = replace(source, values=source.values.reshape(known[1].values))
        elif node.op_type == "Transpose":
            permutation = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
            self._found[output] = replace(source, values=np.transpose(source.values, permutation))

    def dequantized(self, values: Array, scale_name: str, zero_name: str, axis: int) -> Constant:
        """Returns what integers mean.

        Args:
            values: The integers.
            scale_name: Of one scale, or of one for each index along `axis`.
            zero_name: Of as many zero points; "": they are 0.
            axis: Of the values.
        """
        scales = np.atleast_1d(self._found[scale_name].values.astype(np.float32)).reshape(-1)
        zeros = self._found.get(zero_name)
        shape = [1] * values.ndim
        if len(scales) > 1:
            shape[axis] = len(scales)
        zero: Array = (
            np.zeros(1, np.float32) if zeros is None else zeros.values.astype(np.float32).reshape(-1)
        )
        if zero.size > 1:
            zero = zero.reshape(shape)
        return Constant((values.astype(np.float32) - zero) * scales.reshape(shape), scales)

    def of_integer_node(self, node: onnx.NodeProto, found: Constant) -> Constant:
        """Returns the weights of an integer operator; their scale is in the Mul that follows it.

        onnxruntime.quantization names it after the weights; without it they stay integers.
        """
        name = node.input[1].removesuffix("_quantized")
        zero_name = node.input[3] if len(node.input) > 3 else ""
        scale = f"{name}_scale"
        if scale not in self._found:
            return Constant(found.values.astype(np.float32))
        axis = 0 if node.op_type == "ConvInteger" else 1
        return self.dequantized(found.values, scale, zero_name, axis)

    def quantized(self, tensor: str, scale_name: str, zero_name: str = "") -> TensorInfo:
        """Returns what a quantizer makes: its dtype, scale and zero point; the shape is not known yet."""
        scale = self._found.get(scale_name)
        zero = self._found.get(zero_name)
        dtype = "uint8" if zero is None else zero.values.dtype.name
        if scale is None or scale.values.size != 1:
            return TensorInfo(tensor, (), dtype)
        return TensorInfo(
            tensor, (), dtype, float(scale.values.item()), 0 if zero is None else int(zero.values.item())
        )
