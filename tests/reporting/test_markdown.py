import re
from collections.abc import Callable

import pytest

from edgecifar.artifacts import Comparison, ParityReport
from edgecifar.artifacts.layers import LayersReport
from edgecifar.reporting.markdown import block, code, plain, render_markdown


def _table(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_verdict_comes_first(report: ParityReport) -> None:
    first, *_ = render_markdown(report, "report.png").splitlines()
    assert first.startswith("**edge-vgg6 fails in 1 of 7 comparisons: the largest drop is 0.62 pp")


def test_the_table_is_well_formed_and_complete(report: ParityReport) -> None:
    text = render_markdown(report, "report.png")
    table = _table(text.partition("<summary>All figures")[2])
    heading, rule, *rows = table
    assert len(rows) == len(report.comparisons)
    assert {len(row) for row in (heading, rule, *rows)} == {13}
    summary = _table(text.partition("<details>")[0])
    assert len(summary) == len(table)
    assert {len(row) for row in summary} == {9}
    assert all(re.fullmatch(":--|--:", cell) for cell in rule)
    assert dict(zip(heading, rows[-1], strict=True)) == {
        "artifact": "model.int8.onnx",
        "runtime": "ort-cpu",
        "images": "10,000",
        "top-1": "91.08 %",
        "drop pp": "+0.62",
        "agree": "99.60 %",
        "max diff": "0.0312",
        "mean diff": "0.0001",
        "max step": "1",
        "flips −/+": "74/12",
        "bytes": "329,791",
        "images/s": "2,346",
        "verdict": "fail",
    }
    lines = text.partition("<details>")[0].splitlines()
    start = lines.index(next(line for line in lines if line.startswith("|")))
    assert all(line.startswith("|") for line in lines[start : start + len(rows) + 2])
    assert lines[start - 1] == lines[start + len(rows) + 2] == ""


def test_how_it_was_measured_is_there(report: ParityReport) -> None:
    text = render_markdown(report, "report.png")
    for expected in (
        "](report.png)",
        "Skipped: ort-cuda: no NVIDIA GPU is here.",
        "ran on 1,000 of 10,000 images",
        f"10,000 test images of cifar10, fingerprint `{'ef' * 32}`",
        f"SHA-256 `{'cd' * 32}`",
        "A CPU of 2 cores; avx2, avx512_vnni",
        "ort-cpu: ONNX Runtime 1.31.1 (CPUExecutionProvider, 2 threads)",
        "edgecifar 0.1.0, tensorflow 2.21.0",
        "2026-01-02T03:04:05Z",
        "```\nedgecifar verify exported/edge-vgg6 --max-drop 0.5pp\n```",
        "the output of model.int8.tflite in litert",
    ):
        assert expected in text
    assert "\n\n\n" not in text


def test_a_passing_report_has_no_broken_gates_or_notes(
    make_report: Callable[..., ParityReport], make_comparison: Callable[..., Comparison]
) -> None:
    text = render_markdown(make_report(make_comparison("a.tflite", "litert", 9_170, 1)), "report.png")
    before, _, _ = text.partition("<summary>How it was measured")
    assert before.startswith("**edge-vgg6 passes in 1 comparison: none loses accuracy.**\n\nReference: ")
    assert "\n- " not in before
    assert "\n\n\n" not in text


def test_names_cannot_break_the_table(
    make_report: Callable[..., ParityReport], make_comparison: Callable[..., Comparison]
) -> None:
    name = "a|b\n<img src=x>`*_model_int8_*.tflite"
    text = render_markdown(make_report(make_comparison(name, "litert", 9_170, 1)), "report.png")
    heading, _, row = _table(text.partition("<details>")[0])
    assert len(row) == len(heading)
    assert row[0] == r"a\|b \<img src=x\>\`\*\_model_int8\_\*.tflite"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a", "`a`"), ("a`b", "``a`b``"), ("`a", "`` `a ``"), ("a|b\nc", r"`a\|b c`")],
)
def test_code(text: str, shown: str) -> None:
    assert code(text) == shown


def test_block_outlives_fences_in_it() -> None:
    assert block("a\n```\nb") == "````\na\n```\nb\n````"


def test_plain_leaves_ordinary_names_alone() -> None:
    assert (
        plain("model_int8.v2-final.tflite (CPU, 2 threads)") == "model_int8.v2-final.tflite (CPU, 2 threads)"
    )


def test_layers_are_a_short_table_where_they_were_looked_into(
    report: ParityReport, make_report: Callable[..., ParityReport], layers: LayersReport
) -> None:
    text = render_markdown(make_report(layers=(layers,)), "report.png")
    part = text.partition("<summary>Layers of q.tflite against f.tflite</summary>")[2].partition(
        "</details>"
    )[0]
    heading, rule, first, second = _table(part)
    assert heading[:3] == ["layer", "SQNR dB", "own dB"]
    assert {len(row) for row in (heading, rule, first, second)} == {6}
    assert first[:2] == ["conv1", "31.2"]
    assert second[1] == "equal"
    assert "Quality falls first at conv1: It is low. Keep it in float." in part
    assert "- Layer x has no partner." in part
    assert "Layers of" not in render_markdown(report, "report.png")


def test_what_too_few_images_left_open_is_said_above_and_told_below(partly_undecided: ParityReport) -> None:
    above, _, below = render_markdown(partly_undecided, "report.png").partition("<details>")
    assert "- 1 comparison is undecided on 200 images: too few to prove" in above
    assert "- a.tflite in litert-reference is undecided on 200 images." in below
