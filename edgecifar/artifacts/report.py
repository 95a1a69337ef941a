"""ParityReport: what changed from a reference to each candidate in each runtime, and whether it passes."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from edgecifar.artifacts.evidence import Evidence
from edgecifar.artifacts.gate import GateCheck, GateKind, Policy, Verdict, gravest
from edgecifar.artifacts.layers import LayersReport
from edgecifar.artifacts.record import Record, not_newer
from edgecifar.artifacts.run import Accuracy
from edgecifar.protocol import EngineInfo

SCHEMA_VERSION: Final = 2
"""Of reports that are written; 1, which has no evidence and one gate alone, is read too."""

Base64 = Annotated[str, Field(pattern="^[A-Za-z0-9+/]*={0,2}$")]


class Steps(Record):
    """How far one candidate's quantized outputs are from another's, over the images that both saw."""

    subject: str
    """The other, "model.int8.tflite in litert-reference"."""
    max_steps: int
    """Largest difference, in output steps; 0: bit for bit the same."""
    exact_images: int
    """Images of whose outputs none differs."""
    images: int


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
    reference_kernels: Steps | None = None
    """As `twin`, in LiteRT's reference kernels instead of its default ones."""
    images_per_s: float | None
    """Around the engine's own call alone, in batches, with `engine.threads` threads; None: not measured."""
    verdict: Verdict
    """The worst of `checks`."""
    checks: tuple[GateCheck, ...]
    """One for each gate that it had to hold."""
    evidence: Evidence | None = None
    """None in reports of version 1."""

    @property
    def subject(self) -> str:
        """How sentences call it: "model.int8.onnx in ort-cpu"."""
        return f"{self.artifact} in {self.engine.runtime}"

    @property
    def broken_gates(self) -> tuple[str, ...]:
        """One sentence for each gate that it does not hold."""
        return tuple(check.sentence for check in self.checks if check.verdict is Verdict.FAIL)

    @property
    def undecided(self) -> tuple[GateCheck, ...]:
        """The gates that the measurement neither breaks nor proves to hold."""
        return tuple(check for check in self.checks if check.verdict is Verdict.UNDECIDED)

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

    schema_version: Literal[2] = SCHEMA_VERSION
    title: str
    reference: str
    reference_sha256: str
    reference_engine: EngineInfo
    reference_accuracy: Accuracy
    reference_images_per_s: float | None = None
    """As a comparison's."""
    class_names: tuple[str, ...] = ()
    """Empty in reports of version 1."""
    data_source: str
    data_split: str
    data_fingerprint: str
    policy: Policy
    comparisons: tuple[Comparison, ...]
    images: dict[int, Base64] = Field(default_factory=dict)
    """PNG files of the images that the worst flips name, by place in the data's split."""
    layers: tuple[LayersReport, ...] = ()
    """Of each compressed file whose layers were looked into."""
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

    @field_validator("schema_version", mode="before")
    @classmethod
    def _is_not_newer(cls, version: object) -> object:
        return not_newer(version, SCHEMA_VERSION)

    @model_validator(mode="before")
    @classmethod
    def _from_version_1(cls, content: Any) -> Any:
        if not isinstance(content, dict) or content.get("schema_version") != 1:
            return content
        gate = content.get("gate")
        return {
            **{key: value for key, value in content.items() if key != "gate"},
            "schema_version": SCHEMA_VERSION,
            "policy": {"gate": gate},
            "comparisons": [_upgraded(comparison, gate) for comparison in content.get("comparisons", ())],
        }

    @property
    def verdict(self) -> Verdict:
        """On all comparisons: the gravest of theirs, without those that are excused."""
        excused = self.excused
        return gravest(one.verdict for one in self.comparisons if one not in excused)

    @property
    def excused(self) -> tuple[Comparison, ...]:
        """The undecided comparisons that speak neither for nor against the whole.

        They saw a part of the images, were asked for a veto only and gave none; and the same file passes in
        another engine that was held to each gate that they leave open: somebody has to vouch for a file.
        """
        held = {
            (one.sha256, check.kind)
            for one in self.comparisons
            if one.verdict is Verdict.PASS
            for check in one.checks
        }
        return tuple(
            one
            for one in self.comparisons
            if one.verdict is Verdict.UNDECIDED
            and one.undecided
            and all(check.is_veto and (one.sha256, check.kind) in held for check in one.undecided)
        )

    @property
    def passed(self) -> bool:
        """Whether every gate is held, and proven to be where that was asked for."""
        return self.verdict in {Verdict.PASS, Verdict.NONE}


def _upgraded(comparison: Any, gate: Any) -> Any:
    """Returns a comparison of version 1 in the form of version 2: its only gate becomes a check."""
    if not isinstance(comparison, dict) or "broken_gates" not in comparison or not isinstance(gate, dict):
        return comparison
    kept = {key: value for key, value in comparison.items() if key != "broken_gates"}
    limit = gate.get("max_drop_pp")
    if limit is None:
        return kept | {"checks": ()}
    accuracy = Accuracy.model_validate(comparison["accuracy"])
    drop_pp = 100 * (comparison["reference_correct"] - accuracy.correct) / accuracy.total
    held = f"{comparison['artifact']} in {comparison['engine']['runtime']} loses no more than allowed"
    check = {
        "kind": GateKind.MAX_DROP.value,
        "limit": limit,
        "measured": drop_pp,
        "verdict": comparison["verdict"],
        "sentence": (*comparison["broken_gates"], held)[0],
    }
    return kept | {"checks": (check,)}
