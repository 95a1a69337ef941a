"""Gate: what a candidate must hold to ship, and Policy: which candidates must hold what."""

import tomllib
from collections.abc import Iterable
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError

from edgecifar.artifacts.record import Record
from edgecifar.choices import Bound, OnSubset
from edgecifar.errors import VerificationError
from edgecifar.recipe import NOT_TOML, explain


class Verdict(StrEnum):
    """Whether a candidate may ship."""

    PASS = "pass"
    FAIL = "fail"
    UNDECIDED = "undecided"
    """Nothing speaks against it, but the measurement does not prove that it holds."""
    NONE = "no gate"


def gravest(verdicts: Iterable[Verdict]) -> Verdict:
    """Returns the verdict on all together: fail before undecided before pass."""
    found = set(verdicts)
    gravity = (Verdict.FAIL, Verdict.UNDECIDED, Verdict.PASS)
    return next((verdict for verdict in gravity if verdict in found), Verdict.NONE)


Points = Annotated[float, Field(ge=0, le=100)]


class Gate(Record):
    """What a candidate must hold; None: nothing."""

    max_drop_pp: Points | None = None
    """Largest accepted loss of top-1 accuracy, in percentage points."""
    drop_bound: Bound | None = None
    """What is held against `max_drop_pp`; None: the point estimate."""
    max_class_drop_pp: Points | None = None
    """Largest accepted loss of one class's accuracy, in percentage points, point estimate."""
    min_agreement: Annotated[float, Field(ge=0, le=1)] | None = None
    """Least accepted share of images on which candidate and reference name the same class, 0 to 1."""
    max_size_bytes: Annotated[int, Field(ge=1)] | None = None
    """Largest accepted file."""
    max_latency_ratio: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Most accepted time per image, as a multiple of the float model's."""
    on_subset: OnSubset | None = None
    """How drops and agreement are judged where a slow engine saw a part of the images; None: as a veto."""

    @property
    def asks_statistics(self) -> bool:
        """Whether a limit is set that is held against shares of the images."""
        return any(
            limit is not None for limit in (self.max_drop_pp, self.max_class_drop_pp, self.min_agreement)
        )


class Rule(Gate):
    """What some candidates must hold instead; what it leaves out stays as it was for them."""

    artifact: str = "*"
    """Glob pattern of file names: "*.int8.*"."""
    runtime: str = "*"
    """Glob pattern of runtimes: "litert*"."""

    def applies(self, artifact: str, runtime: str) -> bool:
        """Returns whether both names match."""
        return fnmatchcase(artifact, self.artifact) and fnmatchcase(runtime, self.runtime)


class Policy(Record):
    """What each candidate must hold in each runtime."""

    gate: Gate = Gate()
    """For all."""
    rules: tuple[Rule, ...] = ()
    """For those that match; a later rule wins over an earlier one."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Returns the policy of a TOML file, such as `verify.toml`.

        Raises:
            VerificationError: The file cannot be read, is not TOML, or has a wrong key or value.
        """
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise VerificationError(f"{path}: cannot be read ({error.strerror}).") from error
        except NOT_TOML as error:
            raise VerificationError(f"{path}: not TOML: {error}.") from error
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            lines = [explain(str(path), dict(item), cls) for item in error.errors()]
            raise VerificationError("\n".join(lines)) from error

    def gate_for(self, artifact: str, runtime: str) -> Gate:
        """Returns what this candidate must hold."""
        held = self.gate
        for rule in self.rules:
            if rule.applies(artifact, runtime):
                changes = rule.model_dump(exclude={"artifact", "runtime"}, exclude_none=True)
                held = held.model_copy(update=changes)
        return held


class GateKind(StrEnum):
    """The gates, by the key that sets them."""

    MAX_DROP = "max_drop_pp"
    MAX_CLASS_DROP = "max_class_drop_pp"
    MIN_AGREEMENT = "min_agreement"
    MAX_SIZE = "max_size_bytes"
    MAX_LATENCY_RATIO = "max_latency_ratio"


class GateCheck(Record):
    """How a candidate did at one gate."""

    kind: GateKind
    limit: float
    measured: float | None
    """What is held against the limit, in its unit; None where it was not measured."""
    verdict: Verdict
    sentence: str
    """Why, without a full stop."""
    is_veto: bool = False
    """Whether the candidate saw a part of the images and was asked only whether these contradict the limit:
    undecided then says that they do not."""
