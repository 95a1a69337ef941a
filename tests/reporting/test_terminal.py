import io
from collections.abc import Callable

import pytest
from rich.console import Console

from edgecifar.artifacts import Comparison, ParityReport
from edgecifar.reporting import ReportView
from edgecifar.reporting.tables import points


def _show(report: ParityReport, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    console.print(ReportView(report))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def _row(lines: list[str], start: str) -> str:
    """Returns the one line that starts so, its runs of spaces made one."""
    (row,) = [row for row in (" ".join(line.split()) for line in lines) if row.startswith(start)]
    return row


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_row_breaks(report: ParityReport, width: int) -> None:
    lines = _show(report, width)
    assert max(len(line) for line in lines) <= width
    starts = [f"{c.artifact} {c.engine.runtime} " for c in report.comparisons]
    starts[4] = "litert-reference "  # the artifact's name is not repeated
    below_headings = lines[next(i for i, line in enumerate(lines) if line.rstrip().endswith("verdict")) :]
    rows = [_row(below_headings, start) for start in starts]
    assert [row.split()[-1] for row in rows] == [c.verdict.value for c in report.comparisons]
    assert [
        row.split().count(points(c.drop_pp)) for row, c in zip(rows, report.comparisons, strict=True)
    ] == [1] * 7


def test_a_wide_terminal_shows_every_figure(report: ParityReport) -> None:
    lines = _show(report, 132)
    assert _row(lines, "model.int8.onnx") == (
        "model.int8.onnx ort-cpu 10,000 91.08 % +0.62 99.60 % 0.0312 0.0001 1 74/12 329,791 2,346 fail"
    )
    assert _row(lines, "litert-reference 1,000") == (
        "litert-reference 1,000 91.30 % +0.20 99.60 % 0.0312 0.0001 58 3/1 325,504 2,346 pass"
    )
    assert not any("Left out at this width" in line for line in lines)


def test_a_narrow_terminal_says_what_it_leaves_out(report: ParityReport) -> None:
    text = " ".join(" ".join(_show(report, 60)).split())
    assert "Left out at this width" in text
    assert text.endswith("agree, max diff, mean diff, max step, flips −/+, bytes, images/s.")


@pytest.mark.parametrize("width", [60, 120])
def test_everything_that_a_person_must_know_is_there(report: ParityReport, width: int) -> None:
    text = " ".join(" ".join(_show(report, width)).split())
    for expected in (
        "A CPU of 2 cores · avx2 · avx512_vnni",
        "edge-vgg6 fails in 1 of 7 comparisons",
        "Failed: model.int8.onnx in ort-cpu loses 0.62 pp, more than the 0.50 pp allowed.",
        "Skipped: ort-cuda: no NVIDIA GPU is here.",
        "Note: model.int8.tflite in litert-reference ran on 1,000 of 10,000 images, balanced by class.",
        "LiteRT 2.3.0",
        "Gate: drop ≤ 0.5 pp. 6 passed, 1 failed, 0 undecided.",
    ):
        assert expected in text


def test_names_are_shown_as_they_are(
    make_report: Callable[..., ParityReport], make_comparison: Callable[..., Comparison]
) -> None:
    name = "[bold]my[/model] :smile: " + "x" * 80 + ".tflite"
    lines = _show(make_report(make_comparison(name, "litert", 9_000, 1), title="[red]t"), 60)
    assert max(len(line) for line in lines) <= 60
    column = "".join(line.split("  ")[0] for line in lines)
    assert "[bold]my[/model]" in column
    assert ":smile:" in column
    assert any("[red]t passes" in line for line in lines)


def test_colour_only_where_it_is_wanted(report: ParityReport, monkeypatch: pytest.MonkeyPatch) -> None:
    def shown() -> str:
        console = Console(width=100, file=io.StringIO(), force_terminal=True, color_system="standard")
        console.print(ReportView(report))
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32m" in shown()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in shown()


def test_what_too_few_images_left_open_is_said(partly_undecided: ParityReport) -> None:
    text = " ".join(" ".join(_show(partly_undecided, 80)).split())
    assert "1 comparison is undecided on 200 images: too few to prove" in text
    assert "passes in 1 of 2 comparisons" in text
