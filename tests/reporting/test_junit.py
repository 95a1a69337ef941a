from collections.abc import Callable
from xml.etree import ElementTree

from edgecifar.artifacts import Comparison, GateCheck, GateKind, ParityReport, Verdict
from edgecifar.reporting.junit import render_junit


def test_a_broken_gate_is_a_failure_with_its_sentence(report: ParityReport) -> None:
    (suite,) = ElementTree.fromstring(render_junit(report))
    assert suite.attrib | {"failures": "1", "skipped": "1", "tests": "8"} == suite.attrib
    (failed,) = (case for case in suite if case.find("failure") is not None)
    assert (failed.get("classname"), failed.get("name")) == ("model.int8.onnx", "ort-cpu: drop")
    failure = failed.find("failure")
    assert failure is not None
    assert failure.get("message") == (
        "model.int8.onnx in ort-cpu loses 0.62 pp, more than the 0.50 pp allowed."
    )
    (skipped,) = (case for case in suite if case.find("skipped") is not None)
    assert skipped.get("name") == "ort-cuda"


def test_what_is_not_proven_is_a_failure_of_its_own_type(
    make_report: Callable[..., ParityReport], make_comparison: Callable[..., Comparison]
) -> None:
    check = GateCheck(
        kind=GateKind.MAX_DROP, limit=1, measured=2, verdict=Verdict.UNDECIDED, sentence="too few images"
    )
    one = make_comparison("a", "litert", 9_170, 1, checks=(check,), verdict=Verdict.UNDECIDED)
    failure = ElementTree.fromstring(render_junit(make_report(one))).find(".//failure")
    assert failure is not None
    assert failure.attrib == {"type": "undecided", "message": "too few images."}


def test_what_too_few_images_left_open_is_skipped(partly_undecided: ParityReport) -> None:
    (suite,) = ElementTree.fromstring(render_junit(partly_undecided))
    assert suite.attrib | {"failures": "0", "skipped": "1", "tests": "2"} == suite.attrib
    skipped = suite.find(".//skipped")
    assert skipped is not None
    assert skipped.get("message") == "a.tflite in litert-reference is undecided on 200 images."


def test_what_xml_cannot_hold_is_replaced(
    make_report: Callable[..., ParityReport], make_comparison: Callable[..., Comparison]
) -> None:
    text = render_junit(make_report(make_comparison('a<"&\x00\x1b.tflite', "litert", 9_170, 1)))
    case = ElementTree.fromstring(text).find(".//testcase")
    assert case is not None
    assert case.get("classname") == 'a<"&\ufffd\ufffd.tflite'
