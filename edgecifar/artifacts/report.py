"""ParityReport: what changed from a reference to each candidate in each runtime, and whether it passes."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from edgecifar.artifacts.record import Record
from edgecifar.artifacts.run import Accuracy
from edgecifar.protocol import EngineInfo


class Verdict(StrEnum):
    """Whether a candidate may ship."""

    PASS = "pass"
    FAIL = "fail"
    NONE = "no gate"


class Gate(Record):
    """What a candidate must hold."""

    max_drop_pp: Annotated[float, Field(ge=0, le=100)] | None = None
    """Largest accepted loss of top-1 accuracy, in percentage points, point estimate; None: no gate."""


class Comparison(Record):
    """One candidate in one runtime against the reference, over the same images.

    Counts are the truth; rates are properties. Probabilities are compared after dequantization.
    """

    artifact: str
    """File name, as the report shows it."""
    format: str
    precision: str
    size_bytes: int
    sha256: str
    input_dtype: str
    engine: EngineInfo
    accuracy: Accuracy
    reference_correct: int
    """Of the reference, on these same images."""
    agreements: int
    """Images whose top-1 class is the reference's."""
    wrong_to_right: int
    right_to_wrong: int
    max_difference: float
    """Largest absolute difference of one probability."""
    mean_difference: float
    """Mean absolute difference over images and classes."""
    output_step: float | None
    """Real value of one step of a quantized output."""
    twin: str | None
    """What `max_twin_steps` compares with, "model.int8.tflite in litert": the same file in LiteRT's default
    kernels, else the bundle's int8 TFLite file there; None where the output is not quantized alike, there is
    no such file, or this is it."""
    max_twin_steps: int | None
    """Largest difference in output steps to the twin, over the images that both saw."""
    images_per_s: float
    """Around the engine's own call alone, in batches, with `engine.threads` threads."""
    verdict: Verdict
    broken_gates: tuple[str, ...]
    """One sentence each."""

    @property
    def drop_pp(self) -> float:
        """Loss of accuracy in percentage points; negative where the candidate is better."""
        return 100 * (self.reference_correct - self.accuracy.correct) / self.accuracy.total

    @property
    def agreement(self) -> float:
        """Share of images on which candidate and reference name the same class, 0 to 1."""
        return self.agreements / self.accuracy.total


class ParityReport(Record):
    """The outcome of a `verify`."""

    schema_version: Literal[1] = 1
    title: str
    reference: str
    reference_sha256: str
    reference_engine: EngineInfo
    reference_accuracy: Accuracy
    data_source: str
    data_split: str
    data_fingerprint: str
    gate: Gate
    comparisons: tuple[Comparison, ...]
    skipped: tuple[str, ...]
    """What did not run, and why, one sentence each."""
    notes: tuple[str, ...] = ()
    """What was assumed, and which candidates saw fewer images than the reference, one sentence each."""
    cpu: str
    cpu_flags: tuple[str, ...]
    tool_versions: dict[str, str]
    created: str
    """ISO 8601, UTC."""
    command: str

    @property
    def passed(self) -> bool:
        """Whether no gate is broken."""
        return all(comparison.verdict is not Verdict.FAIL for comparison in self.comparisons)
