"""LayersReport: what each layer of a candidate lost against the reference, and where it begins."""

from edgecifar.artifacts.record import Record
from edgecifar.protocol import EngineInfo


class ChannelQuality(Record):
    """The weights of one output channel against the reference's."""

    sqnr_db: float
    cosine: float
    range_use: float | None
    """Largest integer over the largest that 8 bits hold; None where the weights are floats."""


class WeightQuality(Record):
    """A layer's weights against the reference's."""

    sqnr_db: float
    cosine: float
    scales: int
    """How many scales the integers have; 0: the weights are floats."""
    channel_spread: float
    """Range of the widest output channel over that of the median one, in the reference."""
    expected_sqnr_db: float | None
    """What rounding alone would leave, with noise of scale²/12; None where the weights are floats."""
    channels: tuple[ChannelQuality, ...]


class OwnNoise(Record):
    """What the layer itself adds: it reads what the candidate's layer read, in both forms.

    In dB, the signal being what float arithmetic with the reference's weights makes of that input; the lower
    of all channels together and of the median channel, since one loud channel hides what the others lose.
    """

    sqnr_db: float
    weights_db: float
    """With the candidate's weights in place of the reference's, still in float."""
    rounding_db: float
    """What rounding and clipping the output to the integers of its range adds to that."""


class LayerQuality(Record):
    """One layer of the candidate against the reference's."""

    name: str
    reference: str
    kind: str
    sqnr_db: float
    """Signal-to-quantization-noise ratio of the output, all noise from before included."""
    cosine: float
    range_use: float | None
    """Share of the integers between the smallest and the largest storable that lie between the smallest and
    the largest seen; None where the output is float."""
    clipped: float | None
    """Share of the reference's values that lie beyond what the integers can say."""
    own: OwnNoise | None
    """None where how the layer computes is not known."""
    weights: WeightQuality | None


class Advice(Record):
    """Where quality falls first, why, and what to do."""

    layer: str
    finding: str
    """The measured figures, in a sentence."""
    advice: str


class Strayed(Record):
    """Where a runtime first gives other numbers than another for the same file, or for its twin."""

    runtime: str
    against: str
    steps: tuple[int | None, ...]
    """By layer: the largest difference in quantization steps; None where the layer is not quantized alike."""
    first: str | None
    """The first layer with any; None: there is none."""
    hidden: tuple[str, ...] | None = None
    """Layers, in order, at which it may have strayed before, since to ask for them changes what it computes;
    None: all layers were had at a time. Where they were not, `steps` ends with the first that strays."""


class KeptInFloat(Record):
    """What keeping some layers in float would bring."""

    layers: tuple[str, ...]
    correct: int
    agreements: int
    """Images whose top-1 class is then the reference's."""


class WhatIf(Record):
    """What the layers that lose most cost, by keeping each in float."""

    way: str
    """How it was measured."""
    images: int
    reference_correct: int
    candidate_correct: int
    simulated_correct: int
    """Of the simulation with every layer as in the file: how far it can be trusted."""
    simulated_agreements: int
    """Images whose top-1 class in that simulation is the candidate's."""
    kept: tuple[KeptInFloat, ...]
    """Each of the worst layers alone, then all together."""


class LayersReport(Record):
    """A candidate's layers, in order, against the reference's."""

    reference: str
    candidate: str
    reference_engine: EngineInfo
    engine: EngineInfo
    images: int
    output_is_the_files: bool
    """Whether looking inside left the outputs as the file gives them, bit for bit."""
    layers: tuple[LayerQuality, ...]
    unmatched: tuple[str, ...]
    """Sentences."""
    advice: Advice | None
    """None: no layer falls behind."""
    strayed: tuple[Strayed, ...] = ()
    not_looked_into: tuple[str, ...] = ()
    """Sentences on runtimes that were asked for."""
    what_if: WhatIf | None = None
