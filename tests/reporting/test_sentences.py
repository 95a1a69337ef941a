from collections.abc import Callable

from edgecifar.artifacts import Accuracy, Comparison, Gate, ParityReport, Policy, Rule, Verdict
from edgecifar.choices import Bound, OnSubset
from edgecifar.reporting import sentences

MakeReport = Callable[..., ParityReport]
MakeComparison = Callable[..., Comparison]


def test_a_failed_gate_is_said_first(report: ParityReport) -> None:
    assert sentences.verdict_sentence(report) == (
        "edge-vgg6 fails in 1 of 7 comparisons: "
        "the largest drop is 0.62 pp (model.int8.onnx in ort-cpu); 1 skipped."
    )
    assert sentences.gate_sentences(report) == (
        "Gate: drop ≤ 0.5 pp.",
        "6 passed, 1 failed, 0 undecided.",
    )
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
    report = make_report(comparison, policy=Policy())
    assert sentences.verdict_sentence(report).startswith("edge-vgg6 was held to no gate in 1 comparison")
    assert sentences.gate_sentences(report) == ("No gate was set.",)


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


def test_an_undecided_gate_is_no_pass(make_report: MakeReport, make_comparison: MakeComparison) -> None:
    report = make_report(make_comparison("a.tflite", "litert", 9_170, 1, verdict=Verdict.UNDECIDED))
    assert sentences.verdict_sentence(report).startswith(
        "edge-vgg6 is not proven to pass in 1 of 1 comparison"
    )
    assert not report.passed


def test_rules_say_whom_they_are_for(make_report: MakeReport) -> None:
    policy = Policy(
        gate=Gate(max_drop_pp=0.5, drop_bound=Bound.UPPER, min_agreement=0.98),
        rules=(Rule(artifact="*.int8.*", runtime="ort-*", max_size_bytes=350_000, max_latency_ratio=1.5),),
    )
    assert sentences.gate_sentences(make_report(policy=policy))[:2] == (
        "Gate: drop ≤ 0.5 pp (upper 95 % bound), agreement ≥ 98 %.",
        "For *.int8.* in ort-*: size ≤ 350,000 bytes, time ≤ 1.5 times the float model's.",
    )


def test_the_answer_hangs_on_the_gravest_with_the_largest_drop(report: ParityReport) -> None:
    decisive = sentences.decisive(report)
    assert decisive is not None
    assert decisive.subject == "model.int8.onnx in ort-cpu"


def test_a_rule_that_changes_the_bound_alone_says_so(make_report: MakeReport) -> None:
    rules = (
        Rule(runtime="litert-reference", drop_bound=Bound.POINT),
        Rule(artifact="*.int8.*", drop_bound=Bound.UPPER),
    )
    assert sentences.gate_sentences(make_report(policy=Policy(rules=rules)))[:2] == (
        "In litert-reference: the drop itself counts.",
        "For *.int8.*: the drop's upper 95 % bound counts.",
    )


def test_what_too_few_images_left_open_is_neither_hidden_nor_proof(partly_undecided: ParityReport) -> None:
    assert sentences.verdict_sentence(partly_undecided) == (
        "edge-vgg6 passes in 1 of 2 comparisons: the largest drop is 0.04 pp (a.tflite in litert); 1 on too "
        "few images to decide, which contradict nothing."
    )
    assert sentences.undecided_gates(partly_undecided) == ()
    assert sentences.excused_gates(partly_undecided) == (
        "a.tflite in litert-reference is undecided on 200 images.",
    )
    assert sentences.excused_summary(partly_undecided).startswith(
        "1 comparison is undecided on 200 images: too few to prove"
    )
    assert sentences.gate_sentences(partly_undecided)[1] == "1 passed, 0 failed, 1 undecided."


def test_a_report_without_any_says_nothing_of_it(report: ParityReport) -> None:
    assert sentences.excused_summary(report) == ""


def test_how_a_part_of_the_images_is_judged_is_said() -> None:
    gate = Gate(max_drop_pp=0.5, on_subset=OnSubset.JUDGE)
    assert sentences.gate_phrase(gate) == "drop ≤ 0.5 pp, a part of the images counts as all"


def test_a_few_images_do_not_name_the_largest_drop(
    make_report: MakeReport, make_comparison: MakeComparison
) -> None:
    few = {"accuracy": Accuracy(correct=97, total=100), "reference_correct": 99}
    ungated = {"verdict": Verdict.NONE}
    full = make_comparison("a.tflite", "litert", 9_166, 1, **ungated)
    part = make_comparison("a.tflite", "litert-reference", 0, 1, **few, **ungated)
    report = make_report(part, full, policy=Policy())
    assert "the largest drop is 0.04 pp (a.tflite in litert)" in sentences.verdict_sentence(report)
    vetoed = make_report(part.model_copy(update={"verdict": Verdict.FAIL}), full)
    assert "the largest drop is 2.00 pp (a.tflite in litert-reference)" in sentences.verdict_sentence(vetoed)
