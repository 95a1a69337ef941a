"""Advice: the first layer where quality falls, why, and what to do, by stated thresholds."""

from collections.abc import Sequence

import numpy as np

from edgecifar.artifacts.layers import Advice, LayerQuality, OwnNoise, WeightQuality

POOR_DB = 12.0
"""Noise above a sixteenth of the signal's energy is a fall, whatever the other layers have."""
BEHIND_DB = 10.0
"""So is ten times the noise of the median layer, from weights or from rounding,"""
GOOD_DB = 20.0
"""unless it is below a hundredth of the signal: nobody need mend that."""
SPREAD = 4.0
"""With one scale for all channels, one of 4 times the median's range leaves that 6 of 8 bits."""
BEYOND_ROUNDING_DB = 6.0
"""Weights with four times the noise that rounding leaves are other weights."""
FLOAT_DB = 50.0
"""float16 rounds weights to 11 bits, which leaves some 70 dB."""
CLIPPED = 0.001
"""Share of values; calibration by the largest value leaves next to none."""
NARROW = 0.5
"""Half of the range unused is one bit lost."""

_KEEP = "Train quantization-aware, or keep this layer in float."


def advise(layers: Sequence[LayerQuality], inputs: Sequence[tuple[int, ...]]) -> Advice | None:
    """Returns the first layer where quality falls with the advice that fits; None where it falls nowhere.

    Weights and rounding are held against those of the other layers each by itself: after training
    quantization-aware all weights are others, and a clipped range would not stand out from that.

    Args:
        layers: In order.
        inputs: For each layer, the places in `layers` of those that it reads.
    """
    known = [layer.own for layer in layers if layer.own and layer.weights]
    weights_db = float(np.median([own.weights_db for own in known])) if known else GOOD_DB
    rounding_db = float(np.median([own.rounding_db for own in known])) if known else GOOD_DB
    for layer, read in zip(layers, inputs, strict=True):
        if layer.own is not None:
            behind = weights_db - layer.own.weights_db, rounding_db - layer.own.rounding_db
            if _falls(layer.own.weights_db, behind[0]) or _falls(layer.own.rounding_db, behind[1]):
                return _explain(layer, layer.own, behind)
        elif read:
            before = min(layers[place].sqnr_db for place in read)
            if before - layer.sqnr_db > BEHIND_DB and layer.sqnr_db < GOOD_DB:
                finding = (
                    f"its output has {layer.sqnr_db:.1f} dB where what it reads has {before:.1f}; how it "
                    "computes is not known here, so weights and rounding cannot be told apart."
                )
                return Advice(layer=layer.name, finding=finding, advice=_KEEP)
    return None


def _falls(noise_db: float, behind_db: float) -> bool:
    return noise_db < POOR_DB or (behind_db > BEHIND_DB and noise_db < GOOD_DB)


def are_other_weights(weights: WeightQuality) -> bool:
    """Returns whether weights differ from the reference's by more than rounding explains."""
    expected = weights.expected_sqnr_db
    if expected is None:
        return weights.sqnr_db < FLOAT_DB
    return expected - weights.sqnr_db > BEYOND_ROUNDING_DB


def _explain(layer: LayerQuality, own: OwnNoise, behind: tuple[float, float]) -> Advice:
    start = f"it adds noise of its own, {own.sqnr_db:.1f} dB"
    if layer.weights is not None and behind[0] >= behind[1]:
        finding, advice = _blame_weights(layer.weights)
    else:
        finding, advice = _blame_rounding(layer)
    return Advice(layer=layer.name, finding=f"{start}, {finding}", advice=advice)


def _blame_weights(weights: WeightQuality) -> tuple[str, str]:
    if weights.scales == 1 and weights.channel_spread >= SPREAD:
        return (
            (
                "most by its weights: they share one scale, though the widest output channel has "
                f"{weights.channel_spread:.0f} times the range of the median one."
            ),
            "Quantize the weights per channel.",
        )
    expected = weights.expected_sqnr_db
    if are_other_weights(weights):
        rounding = "" if expected is None else f", where rounding would leave {expected:.1f}"
        return (
            (
                f"most by its weights: they have {weights.sqnr_db:.1f} dB against the reference's{rounding}, "
                "so they are other weights."
            ),
            (
                "Compare with the very model that was exported; if this is it, export again. After training "
                "quantization-aware, train longer, or keep this layer in float."
            ),
        )
    return (f"most by its weights: 8 bits leave them {weights.sqnr_db:.1f} dB.", _KEEP)


def _blame_rounding(layer: LayerQuality) -> tuple[str, str]:
    if layer.clipped is not None and layer.clipped >= CLIPPED:
        return (
            (
                f"most by its output: {100 * layer.clipped:.2f} % of the reference's values lie beyond its "
                "range."
            ),
            "Calibrate with more and more varied images, so that the range is wider.",
        )
    if layer.range_use is not None and layer.range_use < NARROW:
        return (
            f"most by its output: the values use {100 * layer.range_use:.0f} % of the integers of its range.",
            (
                "The range is too wide: calibrate on images as the app sees them, leaving out outliers, or "
                "train quantization-aware."
            ),
        )
    return ("most by rounding its output.", _KEEP)
