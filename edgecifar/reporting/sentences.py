"""Sentences: what a report says in words, the same in every view."""

from edgecifar.artifacts import Comparison, Gate, ParityReport, Rule, Verdict
from edgecifar.choices import Bound, OnSubset
from edgecifar.protocol import EngineInfo
from edgecifar.reporting.tables import count, interval, percent, points

SIGNIFICANT = 0.05


def verdict_sentence(report: ParityReport) -> str:
    """Returns the answer to "may I ship it?" in one sentence."""
    comparisons, verdict, excused = report.comparisons, report.verdict, report.excused
    if not comparisons:
        return f"{report.title}: nothing was compared."
    decided = [one for one in comparisons if one not in excused]
    # The noise of a few images shall not pass for the largest drop, unless it decides.
    most = max(one.accuracy.total for one in decided)
    speaks = [one for one in decided if one.accuracy.total == most or one.verdict is Verdict.FAIL]
    worst = max(speaks, key=lambda comparison: comparison.drop_pp)
    loss = "none loses accuracy"
    if worst.drop_pp > 0:
        drop = points(worst.drop_pp).removeprefix("+")
        loss = f"the largest drop is {drop} pp ({worst.subject})"
    if excused:
        loss += f"; {count(len(excused))} on too few images to decide, which contradict nothing"
    if report.skipped:
        loss += f"; {count(len(report.skipped))} skipped"
    compared = "1 comparison" if len(comparisons) == 1 else f"{count(len(comparisons))} comparisons"
    if verdict is Verdict.NONE:
        return f"{report.title} was held to no gate in {compared}: {loss}."
    if verdict is Verdict.PASS:
        where = f"{count(len(decided))} of {compared}" if excused else compared
        return f"{report.title} passes in {where}: {loss}."
    concerned = sum(comparison.verdict is verdict for comparison in decided)
    found = "fails" if verdict is Verdict.FAIL else "is not proven to pass"
    return f"{report.title} {found} in {count(concerned)} of {compared}: {loss}."


def decisive(report: ParityReport) -> Comparison | None:
    """Returns the comparison on which the answer hangs; None where nothing was compared.

    Of those of the gravest verdict, that whose drop may be largest; one over all images goes before one over
    some.
    """
    verdict = report.verdict
    concerned = [comparison for comparison in report.comparisons if comparison.verdict is verdict]
    return max(concerned, key=lambda one: (one.accuracy.total, _possible_drop(one)), default=None)


def _possible_drop(one: Comparison) -> float:
    return one.drop_pp if one.evidence is None else one.evidence.drop_bound_pp


def gate_sentences(report: ParityReport) -> tuple[str, ...]:
    """Returns what was required of whom, and how many held it."""
    lines = [f"{_who(rule)}: {gate_phrase(rule)}." for rule in report.policy.rules]
    if report.policy.gate != Gate():
        lines.insert(0, f"Gate: {gate_phrase(report.policy.gate)}.")
    if not lines:
        return ("No gate was set.",)
    verdicts = [comparison.verdict for comparison in report.comparisons]
    counts = (
        f"{verdicts.count(Verdict.PASS)} passed, {verdicts.count(Verdict.FAIL)} failed, "
        f"{verdicts.count(Verdict.UNDECIDED)} undecided."
    )
    ungated = verdicts.count(Verdict.NONE)
    return (*lines, counts if not ungated else f"{counts.removesuffix('.')}, {ungated} without a gate.")


def gate_phrase(gate: Gate) -> str:
    """Returns what a gate asks, "drop ≤ 0.5 pp (upper bound), agreement ≥ 98 %"."""
    bounds = {Bound.UPPER: " (upper 95 % bound)", Bound.POINT: " (point estimate)", None: ""}
    parts = []
    if gate.max_drop_pp is not None:
        parts.append(f"drop ≤ {gate.max_drop_pp:g} pp{bounds[gate.drop_bound]}")
    elif gate.drop_bound is not None:
        counts = {Bound.UPPER: "the drop's upper 95 % bound counts", Bound.POINT: "the drop itself counts"}
        parts.append(counts[gate.drop_bound])
    if gate.max_class_drop_pp is not None:
        parts.append(f"drop of each class ≤ {gate.max_class_drop_pp:g} pp")
    if gate.min_agreement is not None:
        parts.append(f"agreement ≥ {100 * gate.min_agreement:g} %")
    if gate.max_size_bytes is not None:
        parts.append(f"size ≤ {count(gate.max_size_bytes)} bytes")
    if gate.max_latency_ratio is not None:
        parts.append(f"time ≤ {gate.max_latency_ratio:g} times the float model's")
    if gate.on_subset is not None:
        roles = {
            OnSubset.VETO: "a part of the images can only contradict",
            OnSubset.JUDGE: "a part of the images counts as all",
        }
        parts.append(roles[gate.on_subset])
    return ", ".join(parts) or "nothing more"


def _who(rule: Rule) -> str:
    if rule.runtime == "*":
        return f"For {rule.artifact}"
    return f"In {rule.runtime}" if rule.artifact == "*" else f"For {rule.artifact} in {rule.runtime}"


def broken_gates(report: ParityReport) -> tuple[str, ...]:
    """Returns a sentence for each broken gate."""
    return tuple(f"{broken}." for comparison in report.comparisons for broken in comparison.broken_gates)


def undecided_gates(report: ParityReport) -> tuple[str, ...]:
    """Returns a sentence for each gate that is not proven to hold, and keeps the report from passing."""
    excused = report.excused
    concerned = (one for one in report.comparisons if one not in excused)
    return tuple(f"{check.sentence}." for one in concerned for check in one.undecided)


def excused_gates(report: ParityReport) -> tuple[str, ...]:
    """Returns a sentence for each gate that too few images left open without harm."""
    return tuple(f"{check.sentence}." for one in report.excused for check in one.undecided)


def excused_summary(report: ParityReport) -> str:
    """Returns how many saw too few images to decide, and what that means; empty where nobody did."""
    excused = report.excused
    if not excused:
        return ""
    who = "1 comparison is" if len(excused) == 1 else f"{count(len(excused))} comparisons are"
    images = " or ".join(count(total) for total in sorted({one.accuracy.total for one in excused}))
    return (
        f"{who} undecided on {images} images: too few to prove that the gates hold, and they do not "
        "contradict it. The same files hold them in other engines."
    )


def change_sentence(comparison: Comparison) -> str:
    """Returns what changed in one comparison, and how sure that is; empty without evidence."""
    evidence = comparison.evidence
    if evidence is None:
        return ""
    lost, won = comparison.right_to_wrong, comparison.wrong_to_right
    flips = f"Of {count(comparison.accuracy.total)} images {count(lost)} were lost and {count(won)} won"
    if lost + won == 0:
        return f"{flips}: none changed between right and wrong."
    if evidence.mcnemar_p < SIGNIFICANT:
        sure = "models of equal accuracy would rarely differ so"
    else:
        sure = "so would models of equal accuracy differ by chance"
    return (
        f"{flips}, a drop of {points(comparison.drop_pp)} pp, {interval(evidence.drop_interval_pp, points)} "
        f"with 95 % confidence; {sure} (McNemar's exact p = {evidence.mcnemar_p:.2g})."
    )


def reference_phrase(report: ParityReport) -> str:
    """Returns which model, in which engine, with what accuracy on which images."""
    accuracy = report.reference_accuracy
    return (
        f"{report.reference} in {engine_phrase(report.reference_engine)}: {percent(accuracy.rate)} "
        f"of {count(accuracy.total)} {report.data_split} images of {report.data_source}"
    )


def engine_phrase(engine: EngineInfo) -> str:
    """Returns an engine with its version, kernels and threads."""
    threads = "1 thread" if engine.threads == 1 else f"{engine.threads} threads"
    return f"{engine.engine} {engine.version} ({engine.device}, {threads})"


def runtimes(report: ParityReport) -> tuple[tuple[str, str], ...]:
    """Returns each runtime that ran a candidate, with its engine, once and in order."""
    engines = [comparison.engine for comparison in report.comparisons]
    return tuple(dict.fromkeys((engine.runtime, engine_phrase(engine)) for engine in engines))


def steps_sentence(report: ParityReport) -> str:
    """Returns what the column of steps compares with; empty where there is none."""
    twins = dict.fromkeys(comparison.twin for comparison in report.comparisons if comparison.twin is not None)
    kernels = dict.fromkeys(
        comparison.reference_kernels.subject
        for comparison in report.comparisons
        if comparison.reference_kernels is not None
    )
    parts = []
    if twins:
        parts.append(
            f"Max step: largest difference in quantization steps to the output of {' or '.join(twins)}."
        )
    if kernels:
        parts.append(
            f"Ref step: as max step, to {' or '.join(kernels)}; bit exact: the share of images without any."
        )
    return " ".join(parts)
