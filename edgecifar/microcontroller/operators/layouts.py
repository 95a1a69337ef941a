"""Orders of a convolution's weights: as they are, and as the inner loops of hosts and of Arm take them in."""

from collections.abc import Mapping

import numpy as np

from edgecifar.choices import Optimize
from edgecifar.microcontroller.fixedpoint import Integers
from edgecifar.microcontroller.graph import Operator
from edgecifar.microcontroller.operators.common import HOST, LANES, Setting
from edgecifar.microcontroller.proving import fits_int32
from edgecifar.microcontroller.steps import Array, Fields

QUAD = 4
"""Products that inner loops take at once: runs of them are padded with zeros to a multiple."""
DEPTH_MULTIPLE = {Optimize.SPEED: 2 * QUAD, Optimize.SIZE: QUAD, Optimize.RAM: QUAD}
"""What a convolution's products are padded to."""
MASK_BITS = 32
"""Weights that a word says are zero or not, where zeros are left out."""
POSITIONS = 8
"""Positions that they compute at once."""
QUAD_CHANNELS = 4
"""Output channels that the inner loops for Arm without DSP instructions, or with vectors, compute at once."""
QUAD_POSITIONS = 2
"""Positions that those without either compute at once."""
DSP_POSITIONS = 4
"""Positions that those with DSP instructions compute at once, of one channel."""
DOT_MULTIPLE = 32
"""What runs of weights are padded to where compilers vectorize sums of products."""
BYTE = 255
"""The largest input that is multiplied, as it is or less its zero point."""
X86 = "defined(MODEL_X86)"
DOTS = "defined(MODEL_HOST) && !defined(MODEL_X86)"
PLAIN = "!defined(MODEL_HOST) && !defined(MODEL_QUADS)"
"""Condition of weights as they are, where other targets have them in another order."""

Members = Mapping[str, str | int]


def padded(values: Integers, multiple: int, axis: int = -1) -> Integers:
    """Returns an array with zeros behind, up to a multiple of elements along an axis."""
    widths = [(0, 0)] * values.ndim
    widths[axis] = (0, -values.shape[axis] % multiple)
    return np.pad(values, widths)


def rows_at_once(members: Members, depth: int, optimize: Optimize) -> int:
    """Returns how many rows under the kernel microcontrollers take at once: one of whole groups, or all.

    Args:
        members: The geometry, as in the C struct.
        depth: Products of a channel, padded.
        optimize: What is spared most.
    """
    height = int(members["kernel_height"])
    row = depth // height if depth % height == 0 else 0
    exact = row == int(members["kernel_width"]) * int(members["in_channels"])
    return 1 if exact and row % DEPTH_MULTIPLE[optimize] == 0 else height


def scratch_bytes(flat: Integers, rows: int, height: int, optimize: Optimize) -> int:
    """Returns the size of sums and inputs of the microcontrollers' loop that needs most.

    Args:
        flat: (channels, products), padded.
        rows: Under the kernel, that are taken at once where speed counts.
        height: The kernel's.
        optimize: What is spared most.
    """
    channels, depth = map(int, flat.shape)
    sums = 4 * -(-channels // QUAD_CHANNELS) * QUAD_CHANNELS
    plain = sums + depth
    if optimize is not Optimize.SPEED:
        return plain
    taken = depth * rows // height
    # Positions of 16-bit inputs, or of 8-bit ones, and a copy of the inputs of one position.
    paired = DSP_POSITIONS * (4 * channels + 2 * taken) + taken
    quads = QUAD_POSITIONS * (sums + depth) + depth
    return max(plain, paired, quads)


def weight_layouts(
    setting: Setting, weights: Integers, flat: Integers, members: Members
) -> tuple[Array, ...]:
    """Returns weights in all orders, of which each target compiles one.

    Args:
        setting: Of the layer.
        weights: (channels, kernel height, kernel width, input channels).
        flat: The same as (channels, products), padded.
        members: The geometry, as in the C struct.
    """
    name = f"{setting.name}_weights"
    if spared_bytes(setting, flat):
        return _sparse(name, flat)
    if setting.optimize is not Optimize.SPEED:
        return (Array(name, "model_weight", flat),)
    runs = padded(weights.reshape(len(weights), *_runs(members)), QUAD)
    lanes = _blocks(runs.reshape(len(weights), -1), LANES)
    dots = padded(padded(flat, DOT_MULTIPLE), LANES, axis=0)
    quads = np.ascontiguousarray(_blocks(flat, QUAD_CHANNELS).astype(np.int8))
    return (
        Array(name, "conv_weight", flat, PLAIN),
        Array(name, "conv_weight", lanes, X86),
        Array(name, "conv_weight", dots, DOTS),
        Array(name, "uint32_t", quads.view("<u4"), "defined(MODEL_QUADS)"),
        Array(f"{setting.name}_runs", "int32_t", _run_starts(members), HOST),
    )


def spared_bytes(setting: Setting, flat: Integers) -> int:
    """Returns how much less flash weights need without their zeros; 0 where they are kept as they are.

    Without zeros, each channel has a bit for each weight, the place where its values start, and the values.

    Args:
        setting: Of the layer.
        flat: (channels, products), padded.
    """
    if setting.optimize is not Optimize.SIZE:
        return 0
    channels, depth = map(int, flat.shape)
    words = -(-depth // MASK_BITS)
    return max(channels * depth - channels * 4 * (words + 1) - int(np.count_nonzero(flat)), 0)


def weight_fields(setting: Setting, flat: Integers) -> Fields:
    """Returns the members of the struct that point to the weights.

    Args:
        setting: Of the layer.
        flat: (channels, products), padded.
    """
    name = f"{setting.name}_weights"
    if setting.optimize is not Optimize.SIZE:
        return (("weights", name),)
    members = ("values", "masks", "starts")
    if spared_bytes(setting, flat) == 0:
        return ("weights", name), *((member, "NULL") for member in members)
    return ("weights", "NULL"), *((member, f"{name}_{member}") for member in members)


def _sparse(name: str, flat: Integers) -> tuple[Array, ...]:
    """Returns the values other than zero, a bit for each weight that says which, and where channels start."""
    bits = padded((flat != 0).astype(np.int64), MASK_BITS).reshape(len(flat), -1, MASK_BITS)
    masks = (bits << np.arange(MASK_BITS)).sum(axis=-1)
    counts = np.count_nonzero(flat, axis=1)
    return (
        Array(f"{name}_values", "int8_t", flat[flat != 0]),
        Array(f"{name}_masks", "uint32_t", masks),
        Array(f"{name}_starts", "int32_t", np.cumsum(counts) - counts),
    )


def host_fields(setting: Setting, weights: Integers, members: Members) -> Fields:
    """Returns the members of the struct that only the loops for hosts have.

    Args:
        setting: Of the layer.
        weights: (channels, kernel height, kernel width, input channels).
        members: The geometry, as in the C struct.
    """
    if setting.optimize is not Optimize.SPEED:
        return ()
    runs, length = _runs(members)
    return (
        ("run_starts", f"{setting.name}_runs"),
        ("runs", runs),
        ("run", length),
        ("pairs_fit", int(_pairs_fit(weights.reshape(len(weights), runs, length)))),
    )


def changed_bias(operator: Operator, weights: Integers, bias: Integers, excess: int) -> Integers:
    """Returns what is added to sums of products, (channels,).

    Args:
        operator: For the error.
        weights: (channels, products).
        bias: (channels,) added to the products of inputs less their zero point.
        excess: By how much the inputs that are multiplied are larger than those.

    Raises:
        ExportError: The sums or the bias can overflow 32 bits.
    """
    changed: Integers = bias - weights.sum(axis=1) * excess
    most = np.abs(weights).sum(axis=1) * BYTE
    if not (fits_int32(-most, most) and fits_int32(changed, changed)):
        raise operator.refuse("can overflow its 32-bit accumulators")
    return changed


def window_size(members: Members) -> int:
    """Returns how many inputs the rows under the kernel have, and are read behind them."""
    return int(members["kernel_height"]) * _row_length(members) + DOT_MULTIPLE - 1


def _row_length(members: Members) -> int:
    positions = -(-int(members["out_width"]) // POSITIONS) * POSITIONS
    reach = (int(members["kernel_width"]) - 1) * int(members["dilation_x"]) + 1
    return ((positions - 1) * int(members["stride_x"]) + reach) * int(members["in_channels"])


def _runs(members: Members) -> tuple[int, int]:
    """Returns how many runs of inputs lie side by side under the kernel, and the length of each."""
    height, width, channels = (int(members[key]) for key in ("kernel_height", "kernel_width", "in_channels"))
    return (height, width * channels) if members["dilation_x"] == 1 else (height * width, channels)


def _run_starts(members: Members) -> Integers:
    """Returns where each run starts in the rows under the kernel."""
    height = int(members["kernel_height"])
    runs, _ = _runs(members)
    columns = np.arange(runs // height) * int(members["dilation_x"]) * int(members["in_channels"])
    return (np.arange(height)[:, None] * _row_length(members) + columns).astype(np.int64)


def _pairs_fit(runs: Integers) -> bool:
    """Returns whether the sum of two neighbours' products with bytes from 0 to 255 always fits 16 bits.

    Args:
        runs: (channels, runs, products): weights.
    """
    whole = padded(runs, 2)
    pairs = whole.reshape(*whole.shape[:2], -1, 2)
    most = np.maximum(pairs, 0).sum(axis=-1).max(initial=0) * BYTE
    least = np.minimum(pairs, 0).sum(axis=-1).min(initial=0) * BYTE
    return bool(least >= -(1 << 15) and most < 1 << 15)


def _blocks(weights: Integers, lanes: int) -> Integers:
    """Returns (channels, depth) weights as (channels / lanes, depth / 4, lanes, 4), padded with zeros."""
    whole = padded(weights, lanes, axis=0)
    return whole.reshape(-1, lanes, whole.shape[1] // QUAD, QUAD).transpose(0, 2, 1, 3)
