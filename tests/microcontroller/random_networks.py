"""Random small int8 networks of every operator of which C is generated: odd shapes, extreme scales."""

from collections.abc import Callable

import numpy as np
from networks import Network

KINDS = (
    "CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D", "ADD", "SUB", "MUL", "ADD_CONSTANT",
    "MUL_CONSTANT", "PAD", "CONCATENATION", "QUANTIZE", "RELU", "RELU6", "LEAKY_RELU", "ELU", "LOGISTIC",
    "TANH", "HARD_SWISH",
)  # fmt: skip
"""Operators on images; `build` ends each network with others."""
ENDS = ("FULLY_CONNECTED", "MEAN", "GLOBAL_AVERAGE", "SOFTMAX", "IMAGE")
_SAME, _VALID = 0, 1


class RandomNetwork:
    """Adds operators with random shapes and scales to a network."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.network = Network()
        self.size = [int(self.random.integers(1, 9)), int(self.random.integers(1, 9))]
        self.input = self.image(int(self.random.integers(1, 7)))
        self.current = self.input

    def pick(self, low: int, high: int) -> int:
        """Returns a random integer, both ends included."""
        return int(self.random.integers(low, high + 1))

    def scale(self) -> float:
        """Returns a random scale; one in four is a power of two, at which ties are frequent."""
        if self.pick(0, 3) == 0:
            return float(2.0 ** -self.pick(2, 8))
        return float(np.exp(self.random.uniform(np.log(0.004), np.log(0.4))))

    def zero(self) -> int:
        """Returns a random zero point, often at an end."""
        return int(self.random.choice([-128, 127, self.pick(-128, 127), self.pick(-128, 127)]))

    def image(self, channels: int, scale: float | None = None, zero: int | None = None) -> int:
        """Returns a new image tensor of the current size."""
        return self.network.tensor(
            [1, *self.size, channels],
            self.scale() if scale is None else scale,
            self.zero() if zero is None else zero,
        )

    @property
    def channels(self) -> int:
        """Of the current image."""
        return self.network.shape(self.current)[3]

    def like_current(self) -> int:
        """Returns a new tensor of the current one's shape, scale and zero point."""
        return self.image(
            self.channels, self.network.scale(self.current), self.network.zero_point(self.current)
        )

    def weights(self, shape: list[int], axis: int, products: int) -> tuple[int, int, float]:
        """Returns weights and a bias that suit the current tensor, and a scale for the output."""
        channels = shape[axis]
        source = self.network.scale(self.current)
        per_channel = self.pick(0, 3) > 0
        count = channels if per_channel else 1
        scales = np.array([self.scale() / 8 for _ in range(count)], np.float32)
        values = self.random.integers(-127, 128, shape).astype(np.int8)
        weights = self.network.tensor(shape, scales, data=values, axis=axis)
        bias = self.random.integers(-4000, 4000, channels).astype(np.int32)
        scale_of_bias = np.float32(source) * scales
        bias_tensor = self.network.tensor([channels], scale_of_bias, dtype="int32", data=bias)
        typical = source * float(scales.mean()) * 60 * 60 * products**0.5
        return weights, bias_tensor, typical / self.random.uniform(20, 400)

    def window(
        self, kernel: tuple[int, int], padding: int, dilation: tuple[int, int] = (1, 1)
    ) -> dict[str, int]:
        """Returns options of a window and changes the current size to what it leaves."""
        options = {"padding": padding}
        for axis, letter in enumerate("HW"):
            covered = (kernel[axis] - 1) * dilation[axis] + 1
            stride = self.pick(1, 3)
            full = self.size[axis]
            self.size[axis] = -(-full // stride) if padding == _SAME else (full - covered) // stride + 1
            options[f"stride{letter}"] = stride
        return options

    def kernel(self) -> tuple[tuple[int, int], int]:
        """Returns a kernel's size and a padding that fit the current image."""
        padding = self.pick(_SAME, _VALID)
        limits = [min(4, size) if padding == _VALID else 4 for size in self.size]
        return (self.pick(1, limits[0]), self.pick(1, limits[1])), padding

    def convolution(self, kind: str) -> None:
        """Adds a CONV_2D or DEPTHWISE_CONV_2D."""
        (height, width), padding = self.kernel()
        dilation = [1, 1]
        if self.pick(0, 3) == 0 and padding == _SAME:
            dilation = [self.pick(1, 2), self.pick(1, 2)]
        depth = self.channels
        is_depthwise = kind == "DEPTHWISE_CONV_2D"
        filters = self.pick(1, 3)
        channels = depth * filters if is_depthwise else self.pick(1, 9)
        shape = [1, height, width, channels] if is_depthwise else [channels, height, width, depth]
        products = height * width * (1 if is_depthwise else depth)
        weights, bias, scale = self.weights(shape, 3 if is_depthwise else 0, products)
        if is_depthwise:
            # XNNPACK and the reference kernels need one stride for both dimensions.
            options = self.window((height, width), padding, (dilation[0], dilation[1]))
        else:
            options = self.window((height, width), padding, (dilation[0], dilation[1]))
        result = self.image(channels, scale)
        more = {"depthMultiplier": filters} if is_depthwise else {}
        self.network.operator(
            kind,
            [self.current, weights, bias],
            result,
            "DepthwiseConv2D" if is_depthwise else "Conv2D",
            **options,
            **more,
            fusedActivationFunction=self.activation(),
            dilationHFactor=dilation[0],
            dilationWFactor=dilation[1],
        )
        self.current = result

    def activation(self) -> int:
        """Returns none, ReLU or ReLU6."""
        return int(self.random.choice([0, 0, 1, 3]))

    def pool(self, kind: str) -> None:
        """Adds a pool."""
        (height, width), padding = self.kernel()
        channels, scale, zero = (
            self.channels, self.network.scale(self.current), self.network.zero_point(self.current)
        )  # fmt: skip
        options = self.window((height, width), padding)
        result = self.image(channels, scale, zero)
        self.network.operator(
            kind, [self.current], result, "Pool2D", **options, filterHeight=height, filterWidth=width,
            fusedActivationFunction=0,
        )  # fmt: skip
        self.current = result

    def pair(self, kind: str) -> None:
        """Adds an ADD, SUB or MUL of the current tensor and a table of it, or a constant."""
        name, _, constant = kind.partition("_")
        channels = self.channels
        if constant:
            shape = [channels] if self.pick(0, 1) else [1, 1, 1, channels]
            values = self.random.integers(-128, 128, shape).astype(np.int8)
            other = self.network.tensor(shape, self.scale(), self.zero(), data=values)
        else:
            other = self.image(channels)
            self.network.operator("QUANTIZE", [self.current], other, "Quantize")
        scales = self.network.scale(self.current), self.network.scale(other)
        scale = float(np.prod(scales)) * 60 if name == "MUL" else max(scales)
        result = self.image(channels, scale * self.random.uniform(0.6, 2.5))
        options = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul"}[name]
        self.network.operator(
            name, [self.current, other], result, options, fusedActivationFunction=int(self.pick(0, 1))
        )
        self.current = result

    def pad(self) -> None:
        """Adds a PAD."""
        widths = np.zeros((4, 2), np.int32)
        widths[1:3] = self.random.integers(0, 3, (2, 2))
        channels, scale, zero = (
            self.channels, self.network.scale(self.current), self.network.zero_point(self.current)
        )  # fmt: skip
        self.size = [self.size[0] + int(widths[1].sum()), self.size[1] + int(widths[2].sum())]
        amounts = self.network.tensor([4, 2], dtype="int32", data=widths)
        result = self.image(channels, scale, zero)
        self.network.operator("PAD", [self.current, amounts], result, "Pad")
        self.current = result

    def concatenation(self) -> None:
        """Adds a CONCATENATION of the current tensor and a pool of it."""
        other = self.like_current()
        self.network.operator(
            "MAX_POOL_2D", [self.current], other, "Pool2D", padding=_SAME, strideH=1, strideW=1,
            filterHeight=2, filterWidth=2, fusedActivationFunction=0,
        )  # fmt: skip
        axis = self.pick(1, 3)
        channels, scale, zero = (
            self.channels, self.network.scale(self.current), self.network.zero_point(self.current)
        )  # fmt: skip
        if axis < 3:
            self.size[axis - 1] *= 2
        result = self.image(channels * 2 if axis == 3 else channels, scale, zero)
        self.network.operator(
            "CONCATENATION", [self.current, other], result, "Concatenation", axis=axis,
            fusedActivationFunction=0,
        )  # fmt: skip
        self.current = result

    def table(self, kind: str) -> None:
        """Adds an operator of one number at a time."""
        source = self.network.scale(self.current)
        fixed = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}
        scale, zero = fixed.get(kind, (source * self.random.uniform(0.4, 2.0), self.zero()))
        result = self.image(self.channels, scale, zero)
        options = {"QUANTIZE": "Quantize", "LEAKY_RELU": "LeakyRelu", "HARD_SWISH": "HardSwish"}.get(kind)
        fields = {"alpha": float(self.random.uniform(0.01, 0.9))} if kind == "LEAKY_RELU" else {}
        self.network.operator(kind, [self.current], result, options, **fields)
        self.current = result

    def add(self, kind: str) -> None:
        """Adds an operator of `KINDS`."""
        makers: dict[str, Callable[[], None]] = {
            "CONV_2D": lambda: self.convolution(kind),
            "DEPTHWISE_CONV_2D": lambda: self.convolution(kind),
            "MAX_POOL_2D": lambda: self.pool(kind),
            "AVERAGE_POOL_2D": lambda: self.pool(kind),
            "PAD": self.pad,
            "CONCATENATION": self.concatenation,
        }
        pairs = dict.fromkeys(("ADD", "SUB", "MUL", "ADD_CONSTANT", "MUL_CONSTANT"), lambda: self.pair(kind))
        (makers | pairs).get(kind, lambda: self.table(kind))()

    def end(self, kind: str) -> None:
        """Ends the network with a vector, or leaves the image."""
        if kind == "IMAGE":
            return
        if kind in {"MEAN", "SOFTMAX"}:
            axes = self.network.tensor([2], dtype="int32", data=np.array([1, 2], np.int32))
            scale = self.network.scale(self.current) / self.random.uniform(1, 6)
            channels = self.channels
            result = self.network.tensor([1, channels], scale, self.zero())
            self.network.operator("MEAN", [self.current, axes], result, "Reducer", keepDims=False)
            self.current = result
        if kind == "GLOBAL_AVERAGE":
            channels, scale, zero = (
                self.channels, self.network.scale(self.current), self.network.zero_point(self.current)
            )  # fmt: skip
            height, width = self.size
            self.size = [1, 1]
            result = self.image(channels, scale, zero)
            self.network.operator(
                "AVERAGE_POOL_2D", [self.current], result, "Pool2D", padding=_VALID, strideH=height,
                strideW=width, filterHeight=height, filterWidth=width, fusedActivationFunction=0,
            )  # fmt: skip
            self.current = result
        if kind == "FULLY_CONNECTED":
            elements = int(np.prod(self.network.shape(self.current)))
            flat = self.network.tensor(
                [1, elements], self.network.scale(self.current), self.network.zero_point(self.current)
            )
            shape = self.network.tensor([2], dtype="int32", data=np.array([1, elements], np.int32))
            self.network.operator("RESHAPE", [self.current, shape], flat, "Reshape", newShape=[1, elements])
            self.current = flat
            channels = self.pick(1, 7)
            weights, bias, scale = self.weights([channels, elements], 0, elements)
            result = self.network.tensor([1, channels], scale, self.zero())
            self.network.operator(
                kind, [flat, weights, bias], result, "FullyConnected",
                fusedActivationFunction=self.activation(),
            )  # fmt: skip
            self.current = result
        if kind == "SOFTMAX":
            classes = self.network.shape(self.current)[-1]
            result = self.network.tensor([1, classes], 1 / 256, -128)
            self.network.operator(kind, [self.current], result, "Softmax", beta=1.0)
            self.current = result


def build(seed: int, kinds: list[str], end: str) -> bytes:
    """Returns a TFLite file with these operators; shapes, scales and weights come from the seed."""
    network = RandomNetwork(seed)
    for kind in kinds:
        network.add(kind)
    network.end(end)
    return network.network.finish(network.input, network.current)
