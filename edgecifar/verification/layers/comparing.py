"""Comparing: every layer of a candidate against the reference's, on the same images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts import Dataset
from edgecifar.artifacts.layers import LayerQuality, LayersReport, OwnNoise
from edgecifar.errors import VerificationError
from edgecifar.progress import SILENT, Progress
from edgecifar.protocol import MODEL_INPUT, Array, Layer, LoadedModel, Tapped, Taps
from edgecifar.verification.feeding import Feeding
from edgecifar.verification.layers.advice import advise
from edgecifar.verification.layers.matching import Matching, match_layers
from edgecifar.verification.layers.quality import Noise, Range, weigh
from edgecifar.verification.layers.simulation import compute

BATCH = 10
"""Images whose layers are in memory at a time."""
SAME_SHAPE_OF_IMAGE = 0.99
"""Cosine above which two first inputs are one up to a factor."""

Floats = NDArray[np.float32]


class _Pair:
    """One layer of the candidate with the reference's, while batches are added."""

    def __init__(self, candidate: Layer, reference: Layer, factor: float) -> None:
        self.candidate, self.reference = candidate, reference
        self._output = Noise()
        self._own, self._weights_part, self._rounding_part = Noise(), Noise(), Noise()
        self._range = Range(candidate) if candidate.output.scale else None
        expected = reference.weights
        self._expected = None if expected is None else (expected / np.float32(factor)).astype(np.float32)
        has_weights = candidate.weights is not None and expected is not None
        self._is_known = candidate.geometry is not None and (has_weights or candidate.weights is None)

    def add(self, output: Array, expected: Array, inputs: Sequence[Floats]) -> None:
        """Adds a batch.

        Args:
            output: The candidate's, as the file stores it.
            expected: The reference's, real.
            inputs: What the candidate's layer read, real.
        """
        real = self.candidate.output.dequantize(output)
        expected = expected.reshape(real.shape)
        self._output.add(expected, real)
        if self._range is not None:
            self._range.add(output, expected)
        if self._is_known:
            wanted = compute(self.candidate, inputs, self._expected, self.reference.bias)
            with_weights = wanted
            if self.candidate.weights is not None:
                with_weights = compute(self.candidate, inputs, self.candidate.weights, self.candidate.bias)
            self._own.add(wanted, real)
            self._weights_part.add(wanted, with_weights)
            self._rounding_part.add(with_weights, real)

    def quality(self) -> LayerQuality:
        candidate = self.candidate
        weights = None
        if candidate.weights is not None and self._expected is not None:
            weights = weigh(candidate, candidate.weights, self._expected)
        own = None
        if self._is_known:
            own = OwnNoise(
                sqnr_db=self._own.typical_db,
                weights_db=self._weights_part.typical_db,
                rounding_db=self._rounding_part.typical_db,
            )
        return LayerQuality(
            name=candidate.name,
            reference=self.reference.name,
            kind=candidate.kind.value if candidate.geometry else candidate.operator,
            sqnr_db=self._output.sqnr_db,
            cosine=self._output.cosine,
            range_use=None if self._range is None else self._range.use,
            clipped=None if self._range is None else self._range.clipped,
            own=own,
            weights=weights,
        )


def compare_layers(
    reference: tuple[str, Tapped, Feeding],
    candidate: tuple[str, Tapped, Feeding],
    plain: LoadedModel,
    data: Dataset,
    progress: Progress = SILENT,
) -> LayersReport:
    """Returns what each layer of the candidate lost, and where quality first falls.

    Args:
        reference: Its name, its layers and how it is fed.
        candidate: Likewise.
        plain: The candidate without taps, in the same runtime: to see that looking changes nothing.
        data: Images, a few dozen.
        progress: Gets one task.

    Raises:
        VerificationError: No layer of the two matches.
    """
    (reference_name, expected, _), (name, actual, feeding) = reference, candidate
    matching = match_layers(expected.layers, actual.layers)
    if not matching.pairs:
        raise VerificationError(f"No layer of {name} matches one of {reference_name}.")
    pairs: list[_Pair] = []
    is_same = True
    with progress.task(f"layers of {name}", total=len(data), unit="images") as task:
        for start in range(0, len(data), BATCH):
            images = data.images[start : start + BATCH]
            batch = feeding.encode(images, actual.input)
            taps = actual.run(batch)
            wanted = expected.run(reference[2].encode(images, expected.input))
            pairs = pairs or _pair_up(matching, expected.layers, actual.layers, wanted, taps)
            reals = reals_of(actual.layers, taps)
            for pair, (there, here) in zip(pairs, matching.pairs, strict=True):
                signal = expected.layers[there].output.dequantize(wanted.outputs[there])
                pair.add(taps.outputs[here], signal, [reals[home] for home in actual.layers[here].inputs])
            is_same = is_same and np.array_equal(plain.predict(batch), taps.final)
            task.advance(len(images))
    layers = tuple(pair.quality() for pair in pairs)
    return LayersReport(
        reference=reference_name,
        candidate=name,
        reference_engine=expected.info,
        engine=actual.info,
        images=len(data),
        output_is_the_files=is_same,
        layers=layers,
        unmatched=_unmatched(matching, expected.layers, actual.layers, reference_name, name),
        advice=advise(layers, _inputs_among(matching, actual.layers)),
    )


def reals_of(layers: Sequence[Layer], taps: Taps) -> dict[int, Floats]:
    """Returns what each layer gave in real values, by its place, and what the first of them read."""
    reals = {
        place: layer.output.dequantize(output)
        for place, (layer, output) in enumerate(zip(layers, taps.outputs, strict=True))
    }
    return {MODEL_INPUT: taps.image, **reals}


def _pair_up(
    matching: Matching, reference: Sequence[Layer], candidate: Sequence[Layer], wanted: Taps, taps: Taps
) -> list[_Pair]:
    factor = image_factor(wanted.image, taps.image)
    return [
        _Pair(candidate[here], reference[there], factor if candidate[here].inputs == (MODEL_INPUT,) else 1.0)
        for there, here in matching.pairs
    ]


def image_factor(reference: Array, candidate: Array) -> float:
    """Returns the factor from what the reference's first layer reads to what the candidate's does; 1 if none.

    Converters fold the division by the standard deviation into the first weights of some files.
    """
    one, other = reference.astype(np.float64).ravel(), candidate.astype(np.float64).ravel()
    if one.shape != other.shape or not one.any():
        return 1.0
    cosine = float(one @ other) / float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / float(one @ one) if cosine > SAME_SHAPE_OF_IMAGE else 1.0


def _inputs_among(matching: Matching, layers: Sequence[Layer]) -> tuple[tuple[int, ...], ...]:
    """Returns for each matched layer the places, among the matched, of those that it reads."""
    rank = {here: index for index, (_, here) in enumerate(matching.pairs)}
    return tuple(
        tuple(rank[home] for home in layers[here].inputs if home in rank) for _, here in matching.pairs
    )


def _unmatched(
    matching: Matching, reference: Sequence[Layer], candidate: Sequence[Layer], reference_name: str, name: str
) -> tuple[str, ...]:
    sentences = []
    for owner, other, layers, places in (
        (reference_name, name, reference, matching.lone_reference),
        (name, reference_name, candidate, matching.lone_candidate),
    ):
        for place in places:
            layer = layers[place]
            shape = "×".join(str(size) for size in layer.output.shape)
            sentences.append(
                f"{layer.operator} ({layer.name}, {shape}) of {owner} has no partner in {other}."
            )
    return tuple(sentences)
