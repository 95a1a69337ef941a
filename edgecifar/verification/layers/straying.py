"""Straying: the first layer at which a runtime gives other integers than another for the same file."""

from collections.abc import Sequence

import numpy as np

from edgecifar.artifacts.layers import Strayed
from edgecifar.protocol import Array, Layer, Probed, Tapped
from edgecifar.verification.layers.matching import match_layers


def find_stray(one: Tapped, other: Tapped, batches: Sequence[tuple[Array, Array]]) -> Strayed:
    """Returns by how many quantization steps each layer differs between two runtimes, and which is the first.

    Args:
        one: A file in one runtime.
        other: The same file in another, or its twin in the other format.
        batches: Raw inputs of both.
    """
    matching = match_layers(other.layers, one.layers)
    steps: list[int | None] = [None] * len(one.layers)
    for batch, other_batch in batches:
        mine, others = one.run(batch), other.run(other_batch)
        for there, here in matching.pairs:
            found = _steps(one.layers[here], mine.outputs[here], other.layers[there], others.outputs[there])
            if found is not None:
                steps[here] = max(found, steps[here] or 0)
    first = next((layer.name for layer, step in zip(one.layers, steps, strict=True) if step), None)
    return Strayed(runtime=one.info.runtime, against=other.info.runtime, steps=tuple(steps), first=first)


def probe_stray(one: Probed, other: Tapped, batch: Array, other_batch: Array) -> Strayed:
    """Returns the first layer at which a runtime differs that gives one layer at a time; it looks no further.

    What it gives for a layer counts only where its outputs for all images stay what they are with no layer
    asked for: else it computed otherwise than it does in an app, and the layer is hidden. A hidden layer
    that feeds one which gives the other's integers is taken to have given them too.

    Args:
        one: A file in that runtime.
        other: The same file in another.
        batch: Raw input of the first; the more images, the more surely a change is seen.
        other_batch: That of the other.
    """
    partners = {here: there for there, here in match_layers(other.layers, one.layers).pairs}
    others, plain = other.run(other_batch), one.plain(batch)
    steps: list[int | None] = [None] * len(one.layers)
    hidden: set[int] = set()
    first = None
    for here, layer in enumerate(one.layers):
        if here not in partners or layer.output.scale is None:
            continue
        probe = one.look(here, batch)
        if not np.array_equal(probe.final, plain):
            hidden.add(here)
            continue
        there = partners[here]
        steps[here] = _steps(layer, probe.output, other.layers[there], others.outputs[there])
        if steps[here]:
            first = layer.name
            break
        if steps[here] == 0:
            hidden -= _read_by(one.layers, here)
    return Strayed(
        runtime=one.info.runtime,
        against=other.info.runtime,
        steps=tuple(steps),
        first=first,
        hidden=tuple(one.layers[place].name for place in sorted(hidden)),
    )


def _read_by(layers: Sequence[Layer], place: int) -> set[int]:
    """Returns the places of all layers that one depends on."""
    found: set[int] = set()
    waiting = [place]
    while waiting:
        new = {home for home in layers[waiting.pop()].inputs if home >= 0} - found
        found |= new
        waiting.extend(new)
    return found


def _steps(mine: Layer, integers: Array, theirs: Layer, others: Array) -> int | None:
    one, other = mine.output, theirs.output
    if one.scale is None or one.zero_point is None or other.scale is None or other.zero_point is None:
        return None
    if not np.isclose(one.scale, other.scale, rtol=1e-5):
        return None
    # uint8 twins of int8 tensors have their zero point moved by 128.
    moved = (
        integers.astype(np.int32)
        - one.zero_point
        - (others.astype(np.int32) - other.zero_point).reshape(integers.shape)
    )
    return int(np.abs(moved).max())
