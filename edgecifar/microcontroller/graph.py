"""The network that C is generated from: tensors and operators of an int8 TFLite file, typed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecifar.errors import ExportError

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """An activation, or a constant where it has data."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    """NumPy's name."""
    scales: NDArray[np.float32]
    """One, one per channel, or none."""
    zero_points: Integers
    axis: int
    """The dimension that several scales belong to."""
    data: NDArray[Any] | None
    """A constant's values, of `shape`."""

    @property
    def scale(self) -> np.float32:
        """The scale of the whole tensor."""
        if len(self.scales) != 1:
            raise ExportError(f"{self.name} has {len(self.scales)} scales where C code needs one.")
        return np.float32(self.scales[0])

    @property
    def zero_point(self) -> int:
        """The zero point of the whole tensor."""
        return int(self.zero_points[0])

    @property
    def elements(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    @property
    def image(self) -> tuple[int, int, int]:
        """Height, width and channels; tensors of fewer dimensions are one row."""
        sizes = (1, 1, 1, *self.shape[-3:])[-3:] if len(self.shape) == 4 else (1, *self._flat())
        return sizes[0], sizes[1], sizes[2]

    def _flat(self) -> tuple[int, int]:
        channels = self.shape[-1] if self.shape else 1
        return self.elements // max(channels, 1), channels


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """One operator of the file."""

    kind: str
    """The schema's name: "CONV_2D"."""
    inputs: tuple[Tensor | None, ...]
    output: Tensor
    options: Mapping[str, Any]
    """The fields of its options table, by the schema's names."""

    def input(self, place: int) -> Tensor:
        """Returns a required input.

        Raises:
            ExportError: It is left out.
        """
        tensor = self.inputs[place] if place < len(self.inputs) else None
        if tensor is None:
            raise self.refuse(f"has no input {place}")
        return tensor

    def constant(self, place: int) -> NDArray[Any]:
        """Returns the values of an input that has to be a constant.

        Raises:
            ExportError: It is computed, or left out.
        """
        data = self.input(place).data
        if data is None:
            raise self.refuse(f"has {self.input(place).name} as an input, which would have to be a constant")
        return data

    def refuse(self, reason: str, mend: str = "") -> ExportError:
        """Returns the error that says why no C is made of this operator.

        Args:
            reason: Continues "KIND at NAME ...".
            mend: What to do about it.
        """
        return ExportError(f"{self.kind} at {self.output.name} {reason}.", mend)


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A network from one int8 image to one int8 vector; operators in an order that can be executed."""

    input: Tensor
    output: Tensor
    operators: tuple[Operator, ...]
