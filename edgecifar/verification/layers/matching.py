"""Matching: which layer of one network does what a layer of another does."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgecifar.protocol import MODEL_INPUT, Layer, LayerKind


@dataclass(frozen=True, slots=True)
class Matching:
    """Pairs of places, reference first, in the candidate's order; and those without a partner."""

    pairs: tuple[tuple[int, int], ...]
    lone_reference: tuple[int, ...]
    lone_candidate: tuple[int, ...]


def match_layers(reference: Sequence[Layer], candidate: Sequence[Layer]) -> Matching:
    """Returns the layers that stand at the same place of both graphs.

    Two layers match if they are of one kind, give outputs of one shape with weights of one shape, and read
    layers that match. Formats order parallel branches differently, so the order of the files decides only
    between layers that all this does not tell apart. Where a graph has a layer more than the other, the
    layers after it match without the last condition, in order.

    Args:
        reference: In an order in which each layer follows those that it reads.
        candidate: Likewise.
    """
    partners = {MODEL_INPUT: MODEL_INPUT}  # reference by candidate
    taken: set[int] = set()
    for place, layer in enumerate(candidate):
        alike = [
            other
            for other, expected in enumerate(reference)
            if other not in taken and _signature(expected) == _signature(layer)
        ]
        read = sorted(partners[home] for home in layer.inputs if home in partners)
        exact = [other for other in alike if sorted(reference[other].inputs) == read]
        # Without a partner for what it reads, only the next of its kind may do: no jump over the rest.
        chosen = exact or [other for other in alike[:1] if len(read) < len(layer.inputs)]
        if chosen:
            partners[place] = chosen[0]
            taken.add(chosen[0])
    pairs = tuple((other, place) for place, other in partners.items() if place != MODEL_INPUT)
    return Matching(
        pairs=pairs,
        lone_reference=tuple(place for place in range(len(reference)) if place not in taken),
        lone_candidate=tuple(place for place in range(len(candidate)) if place not in partners),
    )


def _signature(layer: Layer) -> tuple[object, ...]:
    # A pool over the whole image leaves one row and column in one format and none in the other.
    shape = tuple(size for size in layer.output.shape if size != 1)
    weights = None if layer.weights is None else layer.weights.shape
    operator = layer.operator.lower() if layer.kind is LayerKind.OTHER else ""
    return layer.kind, operator, shape, weights
