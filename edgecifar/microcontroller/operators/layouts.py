"""Orders of a convolution's weights: as they are, and as the inner loops of x86 and of Arm take them in."""

from collections.abc import Mapping

import numpy as np

from edgecifar.choices import Optimize
from edgecifar.microcontroller.fixedpoint import Integers
from edgecifar.microcontroller.operators.common import Setting
from edgecifar.microcontroller.steps import Array

QUAD = 4
"""Products that inner loops take at once: runs of them are padded with zeros to a multiple."""
DEPTH_MULTIPLE = {Optimize.SPEED: 2 * QUAD, Optimize.SIZE: QUAD, Optimize.RAM: QUAD}
"""What a convolution's products are padded to."""
LANES = 16
"""Output channels that the inner loops for x86 compute at once."""
MASK_BITS = 32
"""Weights that a word says are zero or not, where zeros are left out."""
POSITIONS = 8
"""Positions that they compute at once."""
QUAD_CHANNELS = 4
"""Output channels that the inner loops for Arm compute at once."""
X86 = "defined(MODEL_X86)"
PLAIN = "!defined(MODEL_X86) && !defined(MODEL_QUADS)"
"""Condition of weights as they are, where other targets have them in another order."""

Members = Mapping[str, str | int]


def padded(values: Integers, multiple: int, axis: int = -1) -> Integers:
    """Returns an array with zeros behind, up to a multiple of elements along an axis."""
    widths = [(0, 0)] * values.ndim
    widths[axis] = (0, -values.shape[axis] % multiple)
    return np.pad(values, widths)


def scratch_bytes(flat: Integers, optimize: Optimize) -> int:
    """Returns the size of 32-bit sums and of 16-bit inputs: for one position, or for two where speed counts.

    Args:
        flat: (channels, products), padded.
        optimize: What is spared most.
    """
    channels, depth = map(int, flat.shape)
    positions = 2 if optimize is Optimize.SPEED else 1
    return positions * (4 * -(-channels // QUAD_CHANNELS) * QUAD_CHANNELS + 2 * depth)


def weight_layouts(
    setting: Setting, weights: Integers, flat: Integers, members: Members
) -> tuple[Array, ...]:
    """Returns weights in all orders, of which each target compiles one, and their sums where they are used.

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
    quads = np.ascontiguousarray(_blocks(flat, QUAD_CHANNELS).astype(np.int8))
    sums = padded(weights.reshape(len(weights), -1).sum(axis=1), LANES)
    return (
        Array(name, "model_weight", flat, PLAIN),
        Array(name, "int8_t", lanes, X86),
        Array(name, "uint32_t", quads.view("<u4"), "defined(MODEL_QUADS)"),
        Array(f"{setting.name}_sums", "int32_t", sums, f"{X86} || defined(MODEL_MVE)"),
        Array(f"{setting.name}_runs", "int32_t", _run_starts(members), X86),
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


def weight_fields(setting: Setting, flat: Integers) -> tuple[tuple[str, str | int], ...]:
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


def sums_text(setting: Setting) -> str:
    """Returns the C expression of the sums of weights."""
    return f"CONV_SUMS({setting.name}_sums)" if setting.optimize is Optimize.SPEED else "NULL"


def x86_fields(setting: Setting, members: Members) -> tuple[tuple[str, str | int], ...]:
    """Returns the members of the struct that only the loops for x86 have."""
    if setting.optimize is not Optimize.SPEED:
        return ()
    runs, length = _runs(members)
    return ("run_starts", f"{setting.name}_runs"), ("runs", runs), ("run", -(-length // QUAD) * QUAD)


def x86_window(members: Members) -> int:
    """Returns how many inputs the rows under the kernel have, and those that are read behind them."""
    return int(members["kernel_height"]) * _row_length(members) + QUAD - 1


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


def _blocks(weights: Integers, lanes: int) -> Integers:
    """Returns (channels, depth) weights as (channels / lanes, depth / 4, lanes, 4), padded with zeros."""
    whole = padded(weights, lanes, axis=0)
    return whole.reshape(-1, lanes, whole.shape[1] // QUAD, QUAD).transpose(0, 2, 1, 3)
