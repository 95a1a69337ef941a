"""Inspection: what ONNX Runtime makes of a quantized file, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Arithmetic(StrEnum):
    """What a layer computes in."""

    INTEGER = "integer"
    FLOAT = "float"


@dataclass(frozen=True, slots=True)
class InspectedLayer:
    """A convolution or matrix product as ONNX Runtime runs it."""

    name: str
    operator: str
    """ONNX Runtime's: "QLinearConv", "FusedConv"."""
    arithmetic: Arithmetic
    reason: str
    """Why it computes in float; empty where it does not."""
    pairs: int
    """Of neighbouring int8 weights whose products with uint8 activations AVX2 adds in 16 bits."""
    unsafe_pairs: int
    """Those that saturate for some activations."""
    saturated: int | None = None
    """Sums that left 16 bits on the images given; None where none were."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in one file."""

    layers: tuple[InspectedLayer, ...]
    float_operators: dict[str, int]
    """Other operators that compute in float, and how many; quantizers and movers are left out."""
    shared_zero_points: tuple[str, ...]
    """Names of zero points that several weights share."""
    images: int
    """How many the saturated sums were counted on."""
    is_quantized: bool
    """Whether the file holds any quantizer or integer layer: a float file is asked for nothing."""

    @property
    def integer_layers(self) -> int:
        """How many layers compute in integers."""
        return sum(layer.arithmetic is Arithmetic.INTEGER for layer in self.layers)

    @property
    def float_islands(self) -> tuple[InspectedLayer, ...]:
        """The layers that compute in float."""
        return tuple(layer for layer in self.layers if layer.arithmetic is Arithmetic.FLOAT)

    @property
    def unsafe_pairs(self) -> int:
        """Pairs that saturate for some activations, over all layers."""
        return sum(layer.unsafe_pairs for layer in self.layers)

    @property
    def saturated(self) -> int:
        """Sums that left 16 bits on the images given."""
        return sum(layer.saturated or 0 for layer in self.layers)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was found, in sentences that stand alone."""
        if not self.is_quantized:
            return (f"Not quantized: all {len(self.layers)} layers compute in float.",)
        found = [f"{self.integer_layers} of {len(self.layers)} layers compute in integers."]
        found += [f"{island.name} computes in float: {island.reason}." for island in self.float_islands]
        if self.float_operators:
            counts = ", ".join(f"{count} {name}" for name, count in self.float_operators.items())
            found.append(f"Other operators in float: {counts}.")
        total = sum(layer.pairs for layer in self.layers)
        found.append(
            f"{self.unsafe_pairs:,} of {total:,} pairs of weights can saturate on x86 CPUs without VNNI."
            if self.unsafe_pairs
            else "No pair of weights can saturate on any CPU."
        )
        if self.images and self.unsafe_pairs:
            found.append(f"On {self.images} images, {self.saturated:,} sums would have.")
        if self.shared_zero_points:
            names = ", ".join(self.shared_zero_points)
            found.append(
                f"Weights share zero points ({names}): session.x64quantprecision cannot load the file."
            )
        return tuple(found)

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do, one sentence each; nothing for a file that is fast and safe, or not quantized."""
        if not self.is_quantized:
            return ()
        advice = []
        if self.float_islands:
            advice.append(
                "Layers in float make a quantized file slow: make it again with `edgecifar export FILE "
                "--format onnx --int8`, which makes activations uint8, as ONNX Runtime fuses them."
            )
        if self.unsafe_pairs:
            cure = (
                'set the session option session.x64quantprecision to "1"'
                if not self.shared_zero_points
                else "give each weight a zero point of its own (the session option session.x64quantprecision "
                "cannot load this file, whose weights share one)"
            )
            advice.append(
                "On x86 CPUs with AVX2 and without VNNI the file can give other results than here: make its "
                f"weights saturation-safe with `edgecifar export FILE --format onnx --int8`, or {cure}."
            )
        return tuple(advice)
