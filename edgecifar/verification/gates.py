"""Gates: whether what was measured may ship."""

from collections.abc import Callable
from dataclasses import dataclass

from edgecifar.artifacts import Evidence, Gate, GateCheck, GateKind, Verdict
from edgecifar.choices import Bound
from edgecifar.verification.statistics import images_to_prove


@dataclass(frozen=True, slots=True)
class Speed:
    """How long a candidate takes for an image against the float model."""

    ratio: float | None
    """Of the two times; None where one was not measured."""
    float_model: str
    """Which model that is, for the sentences: "model.float32.onnx in ort-cpu"."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was measured of one candidate, for the gates."""

    subject: str
    """For the sentences: "model.int8.onnx in ort-cpu"."""
    total: int
    """Images."""
    drop_pp: float
    agreement: float
    """0 to 1."""
    size_bytes: int
    speed: Speed
    class_names: tuple[str, ...]
    evidence: Evidence


def judge(findings: Findings, gate: Gate) -> tuple[GateCheck, ...]:
    """Returns how a candidate did at each gate that is set."""
    checks = (check(findings, gate) for check in _CHECKS)
    return tuple(check for check in checks if check is not None)


def _check_drop(findings: Findings, gate: Gate) -> GateCheck | None:
    limit = gate.max_drop_pp
    if limit is None:
        return None
    drop_pp = findings.drop_pp
    if gate.drop_bound is not Bound.UPPER or drop_pp > limit:
        return _at_most(
            GateKind.MAX_DROP, drop_pp, limit, lambda value, allowed: _lost(findings.subject, value, allowed)
        )
    bound_pp = findings.evidence.drop_bound_pp
    proven, allowed = _distinct(bound_pp, limit)
    if bound_pp <= limit:
        verdict = Verdict.PASS
        sentence = (
            f"{findings.subject} loses at most {proven} pp with 95 % confidence, {allowed} pp is allowed"
        )
    else:
        verdict = Verdict.UNDECIDED
        sentence = (
            f"{findings.subject} lost {drop_pp:.2f} pp on {findings.total:,} images, which leave room for "
            f"{proven} pp with 95 % confidence, more than the {allowed} pp allowed; "
            f"{_remedy(findings, limit)}"
        )
    return GateCheck(
        kind=GateKind.MAX_DROP, limit=limit, measured=bound_pp, verdict=verdict, sentence=sentence
    )


def _remedy(findings: Findings, limit: float) -> str:
    evidence = findings.evidence
    needed = images_to_prove(findings.total, findings.drop_pp, evidence.drop_bound_pp, limit)
    if needed is None:
        return "as the drop is the limit itself, no number of images would prove it"
    return f"it would take about {needed:,} images to prove it"


def _check_class_drop(findings: Findings, gate: Gate) -> GateCheck | None:
    limit = gate.max_class_drop_pp
    if limit is None:
        return None
    drops = [
        (drop, name)
        for drop, name in zip(findings.evidence.class_drops_pp, findings.class_names, strict=True)
        if drop is not None
    ]
    drop_pp, name = max(drops)
    subject = f"{findings.subject}, class {name},"
    return _at_most(
        GateKind.MAX_CLASS_DROP, drop_pp, limit, lambda value, allowed: _lost(subject, value, allowed)
    )


def _check_agreement(findings: Findings, gate: Gate) -> GateCheck | None:
    limit = gate.min_agreement
    if limit is None:
        return None
    holds = findings.agreement >= limit
    found, needed = _distinct(100 * findings.agreement, 100 * limit)
    reason = "as required" if holds else f"fewer than the {needed} % required"
    return GateCheck(
        kind=GateKind.MIN_AGREEMENT,
        limit=limit,
        measured=findings.agreement,
        verdict=Verdict.PASS if holds else Verdict.FAIL,
        sentence=f"{findings.subject} names the reference's class on {found} % of the images, {reason}",
    )


def _check_size(findings: Findings, gate: Gate) -> GateCheck | None:
    if gate.max_size_bytes is None:
        return None

    def sentence(value: float, allowed: float) -> str:
        return (
            f"{findings.subject} has {value:,.0f} bytes, {_relation(value, allowed)} {allowed:,.0f} allowed"
        )

    return _at_most(GateKind.MAX_SIZE, findings.size_bytes, gate.max_size_bytes, sentence)


def _check_latency(findings: Findings, gate: Gate) -> GateCheck | None:
    limit, speed = gate.max_latency_ratio, findings.speed
    if limit is None:
        return None
    if speed.ratio is None:
        return GateCheck(
            kind=GateKind.MAX_LATENCY_RATIO,
            limit=limit,
            measured=None,
            verdict=Verdict.UNDECIDED,
            sentence=f"{findings.subject}: its time against {speed.float_model} was not measured",
        )

    def sentence(value: float, allowed: float) -> str:
        found, most = _distinct(value, allowed)
        return (
            f"{findings.subject} takes {found} times as long an image as {speed.float_model}, "
            f"{_relation(value, allowed)} {most} times allowed"
        )

    return _at_most(GateKind.MAX_LATENCY_RATIO, speed.ratio, limit, sentence)


_CHECKS: tuple[Callable[[Findings, Gate], GateCheck | None], ...] = (
    _check_drop,
    _check_class_drop,
    _check_agreement,
    _check_size,
    _check_latency,
)


def _at_most(
    kind: GateKind, measured: float, limit: float, sentence: Callable[[float, float], str]
) -> GateCheck:
    return GateCheck(
        kind=kind,
        limit=limit,
        measured=measured,
        verdict=Verdict.PASS if measured <= limit else Verdict.FAIL,
        sentence=sentence(measured, limit),
    )


def _lost(subject: str, value: float, allowed: float) -> str:
    lost, most = _distinct(value, allowed)
    return f"{subject} loses {lost} pp, {_relation(value, allowed)} {most} pp allowed"


def _relation(value: float, allowed: float) -> str:
    return "more than the" if value > allowed else "no more than the"


def _distinct(one: float, other: float) -> tuple[str, str]:
    """Returns both numbers with two decimals, or as many more as it takes to tell them apart."""
    if one == other:
        return f"{one:.2f}", f"{other:.2f}"
    for decimals in range(2, 12):
        texts = f"{one:.{decimals}f}", f"{other:.{decimals}f}"
        if texts[0] != texts[1]:
            return texts
    return repr(one), repr(other)
