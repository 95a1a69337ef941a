"""What if: the accuracy that a candidate would have with some of its layers in float."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts import Dataset
from edgecifar.artifacts.layers import KeptInFloat, LayersReport, WhatIf
from edgecifar.errors import VerificationError
from edgecifar.progress import SILENT, Progress
from edgecifar.protocol import MODEL_INPUT, Layer, Tapped
from edgecifar.verification import metrics
from edgecifar.verification.feeding import Feeding
from edgecifar.verification.layers.advice import are_other_weights
from edgecifar.verification.layers.comparing import BATCH, image_factor
from edgecifar.verification.layers.matching import match_layers
from edgecifar.verification.layers.simulation import Floats, compute, round_output

WAY = (
    "simulated in float32: the file's weights dequantized and every output rounded to its integers; a layer "
    "kept in float is not rounded, and has the reference's weights, or its own where training has moved them"
)


def measure_what_if(
    reference: tuple[Tapped, Feeding],
    candidate: tuple[Tapped, Feeding],
    report: LayersReport,
    count: int,
    data: Dataset,
    progress: Progress = SILENT,
) -> WhatIf:
    """Returns what each of the layers with most noise of its own costs, by keeping it in float.

    Args:
        reference: Its layers and how it is fed.
        candidate: Likewise.
        report: Of these two, which tells the worst layers.
        count: How many of them.
        data: Images to count right answers on.
        progress: Gets one task.

    Raises:
        VerificationError: The candidate has a layer of which it is not known how it computes.
    """
    (expected, expected_feeding), (actual, feeding) = reference, candidate
    unknown = next((layer for layer in actual.layers if layer.geometry is None), None)
    if unknown is not None:
        raise VerificationError(
            f"{report.candidate} cannot be simulated: how {unknown.operator} ({unknown.name}) computes is "
            "not known here."
        )
    worst = _worst(report, count)
    places = {layer.name: place for place, layer in enumerate(actual.layers)}
    variants: list[tuple[str, ...]] = [(), *((name,) for name in worst)]
    if len(worst) > 1:
        variants.append(worst)
    partners = {
        here: expected.layers[there] for there, here in match_layers(expected.layers, actual.layers).pairs
    }
    guesses: list[list[NDArray[np.int64]]] = [[] for _ in variants]
    references, candidates = [], []
    with progress.task(f"what if, {report.candidate}", total=len(data), unit="images") as task:
        for start in range(0, len(data), BATCH):
            images = data.images[start : start + BATCH]
            taps = actual.run(feeding.encode(images, actual.input))
            wanted = expected.run(expected_feeding.encode(images, expected.input))
            references.append(metrics.top1(wanted.final))
            candidates.append(metrics.top1(taps.final))
            factor = image_factor(wanted.image, taps.image)
            floats = [
                _in_float(layer, partners.get(place), factor, report)
                for place, layer in enumerate(actual.layers)
            ]
            base = simulate(actual.layers, taps.image, {}, {})
            for variant, found in zip(variants, guesses, strict=True):
                chosen = {places[name]: floats[places[name]] for name in variant}
                reals = simulate(actual.layers, taps.image, chosen, base) if variant else base
                found.append(metrics.top1(reals[len(actual.layers) - 1]))
            task.advance(len(images))
    by_reference, by_candidate = np.concatenate(references), np.concatenate(candidates)
    simulated, *kept = [np.concatenate(found) for found in guesses]

    def right(classes: NDArray[np.int64], wanted: NDArray[np.int64] = data.labels) -> int:
        return int(np.count_nonzero(classes == wanted))

    return WhatIf(
        way=WAY,
        images=len(data),
        reference_correct=right(by_reference),
        candidate_correct=right(by_candidate),
        simulated_correct=right(simulated),
        simulated_agreements=right(simulated, by_candidate),
        kept=tuple(
            KeptInFloat(layers=names, correct=right(classes), agreements=right(classes, by_reference))
            for names, classes in zip(variants[1:], kept, strict=True)
        ),
    )


def simulate(
    layers: Sequence[Layer], image: Floats, in_float: Mapping[int, Layer], base: Mapping[int, Floats]
) -> dict[int, Floats]:
    """Returns what each layer gives in real values, with some of them in float.

    Args:
        layers: In order.
        image: What the first reads.
        in_float: By place: the layer with weights that replace the file's; its output is not rounded.
        base: What they give with none in float, so that only what changes is computed; empty: everything is.
    """
    reals: dict[int, Floats] = {MODEL_INPUT: image}
    changed: set[int] = set()
    for place, layer in enumerate(layers):
        if place in base and place not in in_float and not changed.intersection(layer.inputs):
            reals[place] = base[place]
            continue
        changed.add(place)
        used = in_float.get(place, layer)
        real = compute(layer, [reals[home] for home in layer.inputs], used.weights, used.bias)
        reals[place] = real if place in in_float else round_output(layer, real)
    return reals


def _worst(report: LayersReport, count: int) -> tuple[str, ...]:
    known = [(layer.own.sqnr_db, layer.name) for layer in report.layers if layer.own is not None]
    return tuple(name for _, name in sorted(known, key=lambda one: one[0])[:count])


def _in_float(layer: Layer, partner: Layer | None, factor: float, report: LayersReport) -> Layer:
    """Returns the layer with the reference's weights in the candidate's units, unless its own are others.

    Layers that were trained together after the reference was cannot be had one by one from it.
    """
    quality = next((one for one in report.layers if one.name == layer.name), None)
    if partner is None or partner.weights is None or quality is None or quality.weights is None:
        return layer
    if are_other_weights(quality.weights):
        return layer
    scale = np.float32(factor if layer.inputs == (MODEL_INPUT,) else 1.0)
    return replace(layer, weights=partner.weights / scale, bias=partner.bias)
