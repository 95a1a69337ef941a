"""The report as JUnit's XML: a test for each gate of each comparison, which CI systems show by name."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from edgecifar.artifacts import Comparison, GateCheck, GateKind, ParityReport, Verdict
from edgecifar.reporting.sentences import change_sentence, verdict_sentence

_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, even escaped: section 2.2."""

NAMES = {
    GateKind.MAX_DROP: "drop",
    GateKind.MAX_CLASS_DROP: "drop of each class",
    GateKind.MIN_AGREEMENT: "agreement",
    GateKind.MAX_SIZE: "size",
    GateKind.MAX_LATENCY_RATIO: "latency",
}


def render_junit(report: ParityReport) -> str:
    """Returns a test suite: a failure for each gate that is broken or not proven, as the exit status says.

    What too few images left open without harm counts as skipped.
    """
    excused = report.excused
    cases = [case for one in report.comparisons for case in _cases(one, excused)]
    cases += [_skipped(reason) for reason in report.skipped]
    suite = ET.Element(
        "testsuite",
        name=_legal(f"edgecifar verify {report.title}"),
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors="0",
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        timestamp=_legal(report.created),
    )
    suite.extend(cases)
    suites = ET.Element("testsuites", name=_legal(f"{report.verdict}: {verdict_sentence(report)}"))
    suites.append(suite)
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=False) + "\n"


def _cases(comparison: Comparison, excused: Sequence[Comparison]) -> list[ET.Element]:
    if not comparison.checks:
        case = _case(comparison, "measured")
        ET.SubElement(case, "system-out").text = _legal(change_sentence(comparison))
        return [case]
    return [_checked(comparison, check, excused) for check in comparison.checks]


def _checked(comparison: Comparison, check: GateCheck, excused: Sequence[Comparison]) -> ET.Element:
    case = _case(comparison, NAMES[check.kind])
    if check.verdict is Verdict.UNDECIDED and comparison in excused:
        ET.SubElement(case, "skipped", message=_legal(f"{check.sentence}."))
    elif check.verdict is Verdict.PASS:
        ET.SubElement(case, "system-out").text = _legal(f"{check.sentence}.")
    else:
        failure = ET.SubElement(case, "failure", type=check.verdict.value)
        failure.set("message", _legal(f"{check.sentence}."))
    return case


def _case(comparison: Comparison, name: str) -> ET.Element:
    return ET.Element(
        "testcase", classname=_legal(comparison.artifact), name=_legal(f"{comparison.engine.runtime}: {name}")
    )


def _skipped(reason: str) -> ET.Element:
    case = ET.Element("testcase", classname="skipped", name=_legal(reason.partition(":")[0]))
    ET.SubElement(case, "skipped", message=_legal(reason))
    return case


def _legal(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
