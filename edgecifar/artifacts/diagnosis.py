"""Diagnosis: which mistake of embedding explains what an app's model gave, and the evidence."""

from enum import StrEnum

from edgecifar.artifacts.record import Record
from edgecifar.protocol import EngineInfo


class Conclusion(StrEnum):
    """What a diagnosis comes to."""

    SOUND = "sound"
    """The model is fed and read as it is said to be."""
    MISTAKE = "mistake"
    NONE = "none of them"
    """Something is wrong that none of the mistakes explains."""


class Hypothesis(Record):
    """One mistake, as far as it explains what was seen."""

    name: str
    variant: str
    """What exactly, where a mistake has several forms; else empty."""
    finding: str
    mend: str
    distance: float | None
    """Mean total variation distance between the outputs under it and those logged, 0 to 1 for probabilities;
    None where nothing was logged."""
    agreement: float | None
    """Share of images with the top-1 class that was logged; None where nothing was logged."""
    accuracy: float
    """Of the outputs under it."""


class Diagnosis(Record):
    """The mistakes ranked, the one that explains most first."""

    model: str
    engine: EngineInfo
    images: int
    preprocessing: str
    """What was said to be right."""
    logged: str | None
    """File of the app's outputs; None: the model's accuracy was to be explained."""
    logged_accuracy: float | None
    right: Hypothesis
    """Nothing wrong: the model fed and read as it is said to be."""
    ranking: tuple[Hypothesis, ...]
    excluded: tuple[tuple[str, str], ...]
    """Mistakes that this model cannot show, and why."""
    conclusion: Conclusion
