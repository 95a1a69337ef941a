"""What a network becomes before it becomes C: steps that each compute one row of an image after another."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from edgecifar.microcontroller.graph import Tensor
from edgecifar.microcontroller.proving import Proven

Fields = tuple[tuple[str, str | int], ...]
"""Members of a struct in C and their values."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Rows of an input that row y of the output needs: from y * stride - before, `span` of them."""

    stride: int
    before: int
    span: int

    def rows(self, y: int, height: int) -> range:
        """Returns the rows that are read for output row y, those in padding left out."""
        first = y * self.stride - self.before
        return range(min(max(first, 0), height), max(min(first + self.span, height), 0))

    def needed(self, rows: int, height: int) -> int:
        """Returns how many rows of the input have to be there for the first `rows` of the output."""
        return max(min((rows - 1) * self.stride - self.before + self.span, height), 0)


ELEMENTWISE = Reach(1, 0, 1)


def whole(height: int) -> Reach:
    """Returns the reach of a step that needs all rows of an input."""
    return Reach(0, 0, height)


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """A constant array in C."""

    name: str
    c_type: str
    values: NDArray[Any]
    condition: str = ""
    """Of the preprocessor, where not all targets have it."""

    @property
    def size_bytes(self) -> int:
        """Its size in flash."""
        widths = {"int8_t": 1, "uint8_t": 1, "model_weight": 1, "conv_weight": 1, "int16_t": 2, "int64_t": 8}
        return int(self.values.size) * widths.get(self.c_type, 4)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An input of a step."""

    tensor: Tensor
    reach: Reach
    in_place: bool = False
    """Whether the step may write an element where it has read that element of this input before."""
    place: int = 0
    """Which operand of the kernel it is."""
    height: int | None = None
    """Rows that the kernel takes it to have, where a reshape lies between; None: the tensor's."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A call of a kernel."""

    kernel: str
    """Name of the C function without "_row", of its struct without "_layer", and of its template."""
    name: str
    """C identifier of this layer."""
    about: str
    """What it computes, for the reader of the C."""
    sources: tuple[Source, ...]
    result: Tensor
    fields: Fields
    """Members of the kernel's struct."""
    board_fields: Fields = ()
    """Those that it has on microcontrollers alone."""
    host_fields: Fields = ()
    """Those that it has on other processors alone."""
    arrays: tuple[Array, ...] = ()
    requantization: Proven | None = None
    operands: int = 1
    """How many the kernel takes; those that are no sources are constants of the layer, or left out."""
    scratch_bytes: int = 0
    multiply_adds: int = 0
    spared_bytes: int = 0
    """What weights without their zeros spare of flash; 0 where they have them."""

    @property
    def rows(self) -> int:
        """How many rows it computes."""
        return self.result.image[0]

    @property
    def row_bytes(self) -> int:
        """Size of a row."""
        _, width, channels = self.result.image
        return width * channels
