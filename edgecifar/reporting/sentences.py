"""Sentences: what a report says in words, the same in every view."""

from edgecifar.artifacts import ParityReport, Verdict
from edgecifar.protocol import EngineInfo
from edgecifar.reporting.tables import count, percent, points


def verdict_sentence(report: ParityReport) -> str:
    """Returns the answer to "may I ship it?" in one sentence."""
    comparisons = report.comparisons
    if not comparisons:
        return f"{report.title}: nothing was compared."
    worst = max(comparisons, key=lambda comparison: comparison.drop_pp)
    loss = "none loses accuracy"
    if worst.drop_pp > 0:
        drop = points(worst.drop_pp).removeprefix("+")
        loss = f"the largest drop is {drop} pp ({worst.artifact} in {worst.engine.runtime})"
    if report.skipped:
        loss += f"; {count(len(report.skipped))} skipped"
    compared = "1 comparison" if len(comparisons) == 1 else f"{count(len(comparisons))} comparisons"
    if report.gate.max_drop_pp is None:
        return f"{report.title} was held to no gate in {compared}: {loss}."
    failed = sum(comparison.verdict is Verdict.FAIL for comparison in comparisons)
    if failed:
        return f"{report.title} fails in {count(failed)} of {compared}: {loss}."
    return f"{report.title} passes in {compared}: {loss}."


def gate_sentence(report: ParityReport) -> str:
    """Returns what was required, and how many held it."""
    if report.gate.max_drop_pp is None:
        return "No gate was set."
    verdicts = [comparison.verdict for comparison in report.comparisons]
    return (
        f"Top-1 accuracy may drop by at most {report.gate.max_drop_pp:g} pp: "
        f"{verdicts.count(Verdict.PASS)} passed, {verdicts.count(Verdict.FAIL)} failed."
    )


def broken_gates(report: ParityReport) -> tuple[str, ...]:
    """Returns a sentence for each broken gate."""
    return tuple(f"{broken}." for comparison in report.comparisons for broken in comparison.broken_gates)


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
    if not twins:
        return ""
    return f"Max step: largest difference in quantization steps to the output of {' or '.join(twins)}."
