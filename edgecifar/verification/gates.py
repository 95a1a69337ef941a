"""Gates: whether what was measured may ship."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgecifar.artifacts import Evidence, Gate, GateCheck, GateKind, Verdict
from edgecifar.choices import Bound, OnSubset
from edgecifar.verification.claims import Asked, Estimate
from edgecifar.verification.statistics import CONFIDENCE, images_to_prove, score_interval_pp


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
    saw_all: bool
    """Whether these are all that the reference saw."""
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


def _asked(findings: Findings, gate: Gate, bound: Bound | None = None) -> Asked:
    """Returns what the images are asked: a part of them, unless told otherwise, for a veto only."""
    if not findings.saw_all and gate.on_subset is not OnSubset.JUDGE:
        return Asked.VETO
    return Asked.PROOF if bound is Bound.UPPER else Asked.FIGURE


def _check_drop(findings: Findings, gate: Gate) -> GateCheck | None:
    limit = gate.max_drop_pp
    if limit is None:
        return None
    evidence = findings.evidence
    drop = Estimate(findings.drop_pp, evidence.drop_floor_pp, evidence.drop_bound_pp)
    asked = _asked(findings, gate, gate.drop_bound)
    check = _drop_check(GateKind.MAX_DROP, findings.subject, findings.total, drop, limit, asked)
    if check.verdict is not Verdict.UNDECIDED or asked is not Asked.PROOF:
        return check
    proven, allowed = _distinct(drop.high, limit)
    sentence = (
        f"{findings.subject} lost {drop.value:.2f} pp on {findings.total:,} images, which leave room for "
        f"{proven} pp with 95 % confidence, more than the {allowed} pp allowed; {_remedy(findings, limit)}"
    )
    return check.model_copy(update={"measured": drop.high, "sentence": sentence})


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
    asked = _asked(findings, gate)
    checks = (
        _drop_check(GateKind.MAX_CLASS_DROP, f"{findings.subject}, class {name},", images, drop, limit, asked)
        for name, images, drop in _class_drops(findings)
    )
    # The class on which it hangs: of those of the gravest verdict, the one that loses most.
    gravity = (Verdict.PASS, Verdict.UNDECIDED, Verdict.FAIL)
    return max(checks, key=lambda one: (gravity.index(one.verdict), one.measured))


def _class_drops(findings: Findings) -> Iterator[tuple[str, int, Estimate]]:
    """Yields each class that has images: its name, how many, and what it lost.

    The intervals hold together with 95 % confidence, by Bonferroni: of many classes, one would else look bad
    by chance.
    """
    evidence = findings.evidence
    scores = evidence.confusion.scores
    confidence = 1 - (1 - CONFIDENCE) / sum(score.images > 0 for score in scores)
    flips = zip(evidence.right_to_wrong, evidence.wrong_to_right, strict=True)
    for name, score, drop_pp, (lost, won) in zip(
        findings.class_names, scores, evidence.class_drops_pp, flips, strict=True
    ):
        if drop_pp is not None:
            interval = score_interval_pp(lost, won, score.images, confidence)
            yield name, score.images, Estimate(drop_pp, interval.low, interval.high)


def _drop_check(
    kind: GateKind, subject: str, images: int, drop: Estimate, limit: float, asked: Asked
) -> GateCheck:
    verdict = drop.verdict(limit, asked)
    measured = drop.value
    if asked is Asked.FIGURE or (asked is Asked.PROOF and verdict is Verdict.FAIL):
        sentence = _lost(subject, measured, limit)
    elif verdict is Verdict.UNDECIDED:
        sentence = (
            f"{subject} is undecided on {images:,} images: {measured:.2f} pp lost there, with 95 % "
            f"confidence {drop.low:.2f} to {drop.high:.2f} pp; {limit:g} pp is allowed"
        )
    else:
        measured = drop.low if verdict is Verdict.FAIL else drop.high
        bound, allowed = _distinct(measured, limit)
        most = "least" if verdict is Verdict.FAIL else "most"
        sentence = f"{subject} loses at {most} {bound} pp with 95 % confidence, {allowed} pp is allowed"
    return _checked(kind, measured, limit, verdict, asked, sentence)


def _check_agreement(findings: Findings, gate: Gate) -> GateCheck | None:
    limit = gate.min_agreement
    if limit is None:
        return None
    asked = _asked(findings, gate)
    interval = findings.evidence.agreement_interval
    agreement = Estimate(findings.agreement, interval.low, interval.high)
    verdict = agreement.negated.verdict(-limit, asked)
    measured, how_sure = findings.agreement, ""
    if asked is Asked.VETO and verdict is not Verdict.UNDECIDED:
        measured = interval.high if verdict is Verdict.FAIL else interval.low
        how_sure = f" with 95 % confidence, at {'most' if verdict is Verdict.FAIL else 'least'}"
    found, needed = _distinct(100 * measured, 100 * limit)
    if verdict is Verdict.UNDECIDED:
        sentence = (
            f"{findings.subject} is undecided on {findings.total:,} images: the reference's class on "
            f"{found} % of them, with 95 % confidence {100 * interval.low:.2f} to "
            f"{100 * interval.high:.2f} %; {needed} % is required"
        )
    else:
        reason = "as required" if verdict is Verdict.PASS else f"fewer than the {needed} % required"
        sentence = (
            f"{findings.subject} names the reference's class{how_sure} on {found} % of the images, {reason}"
        )
    return _checked(GateKind.MIN_AGREEMENT, measured, limit, verdict, asked, sentence)


def _checked(
    kind: GateKind, measured: float, limit: float, verdict: Verdict, asked: Asked, sentence: str
) -> GateCheck:
    return GateCheck(
        kind=kind,
        limit=limit,
        measured=measured,
        verdict=verdict,
        sentence=sentence,
        is_veto=asked is Asked.VETO,
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
