from collections.abc import Callable

from edgecifar.artifacts import Comparison, Gate, ParityReport, Verdict
from edgecifar.reporting import sentences

MakeReport = Callable[..., ParityReport]
MakeComparison = Callable[..., Comparison]


def test_a_failed_gate_is_said_first(report: ParityReport) -> None:
    assert sentences.verdict_sentence(report) == (
        "edge-vgg6 fails in 1 of 7 comparisons: "
        "the largest drop is 0.62 pp (model.int8.onnx in ort-cpu); 1 skipped."
    )
    assert sentences.gate_sentence(report) == "Top-1 accuracy may drop by at most 0.5 pp: 6 passed, 1 failed."
    assert sentences.broken_gates(report) == (
        "model.int8.onnx in ort-cpu loses 0.62 pp, more than the 0.50 pp allowed.",
    )


def test_a_pass_names_the_largest_drop(make_report: MakeReport, make_comparison: MakeComparison) -> None:
    report = make_report(
        make_comparison("a.tflite", "litert", 9_175, 1), make_comparison("a.onnx", "ort-cpu", 9_166, 1)
    )
    assert sentences.verdict_sentence(report) == (
        "edge-vgg6 passes in 2 comparisons: the largest drop is 0.04 pp (a.onnx in ort-cpu)."
    )


def test_no_loss_is_no_drop(make_report: MakeReport, make_comparison: MakeComparison) -> None:
    report = make_report(make_comparison("a.tflite", "litert", 9_175, 1))
    assert sentences.verdict_sentence(report) == "edge-vgg6 passes in 1 comparison: none loses accuracy."


def test_no_gate_is_no_pass(make_report: MakeReport, make_comparison: MakeComparison) -> None:
    comparison = make_comparison("a.tflite", "litert", 9_000, 1, verdict=Verdict.NONE)
    report = make_report(comparison, gate=Gate())
    assert sentences.verdict_sentence(report).startswith("edge-vgg6 was held to no gate in 1 comparison")
    assert sentences.gate_sentence(report) == "No gate was set."


def test_nothing_compared_is_no_pass(make_report: MakeReport) -> None:
    assert sentences.verdict_sentence(make_report()) == "edge-vgg6: nothing was compared."


def test_each_runtime_is_named_once(report: ParityReport) -> None:
    assert sentences.runtimes(report) == (
        ("litert", "LiteRT 2.3.0 (CPU, XNNPACK, 2 threads)"),
        ("litert-reference", "LiteRT 2.3.0 (CPU, reference kernels, 2 threads)"),
        ("ort-cpu", "ONNX Runtime 1.31.1 (CPUExecutionProvider, 2 threads)"),
    )


def test_the_reference_is_named_with_its_accuracy(report: ParityReport) -> None:
    assert sentences.reference_phrase(report) == (
        "model.keras in Keras 2.21.0 (CPU, 2 threads): 91.70 % of 10,000 test images of cifar10"
    )
