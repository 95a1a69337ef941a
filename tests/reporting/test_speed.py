import csv
import io

import pytest
from rich.console import Console

from edgecifar.artifacts import Accuracy
from edgecifar.artifacts.speed import Latency, SpeedReport, SpeedRow, Throughput
from edgecifar.protocol import EngineInfo
from edgecifar.reporting.speed import SpeedView, draw_speed, speed_csv, write_speed


def row(artifact: str, precision: str, median_s: float, ratio: float | None) -> SpeedRow:
    return SpeedRow(
        artifact=artifact,
        format="onnx",
        precision=precision,
        size_bytes=326_440,
        gzip_bytes=280_123,
        engine=EngineInfo("ort-cpu", "ONNX Runtime", "1.2", "CPUExecutionProvider", 1),
        load_s=0.0123,
        latency=Latency(
            median_s=median_s, p90_s=2 * median_s, p99_s=3 * median_s, calls=10, rounds_s=(median_s,)
        ),
        latency_ratio=ratio,
        throughput=(
            Throughput(batch=1, threads=1, images_per_s=100.0),
            Throughput(batch=8, threads=2, images_per_s=1234.5),
        ),
        peak_memory_bytes=None,
        accuracy=Accuracy(correct=457, total=500),
    )


@pytest.fixture
def report() -> SpeedReport:
    return SpeedReport(
        title="mine",
        base="model.float32.onnx in ort-cpu",
        rows=(row("model.float32.onnx", "float32", 0.001, 1.0), row("model.int8.onnx", "int8", 0.0004, 0.4)),
        rounds=5,
        data_source="sample",
        data_fingerprint="f",
        skipped=("ort-cuda: no GPU.",),
        notes=("A note.",),
        cpu="a CPU",
        cpu_flags=("avx2",),
        load_before=0.5,
        tool_versions={},
        created="2026-01-01T00:00:00+00:00",
        command="edgecifar benchmark mine",
    )


@pytest.mark.parametrize("width", [60, 80, 160])
def test_the_tables_fit_and_have_every_figure(report, width):
    console = Console(width=width, file=io.StringIO())
    console.print(SpeedView(report))
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "model.int8.onnx ort-cpu 0.4 0.8 1.2 0.40 91.40 %" in lines
    assert "model.int8.onnx ort-cpu 1 100 –" in lines
    assert "2 – 1,234" in lines
    assert "model.int8.onnx ort-cpu 326,440 280,123 12.3 –" in lines
    for part in ("ort-cuda: no GPU.", "A note.", "top-1 of 500 images"):
        assert part in text


def test_a_report_without_rows_says_what_was_skipped(report):
    console = Console(width=80, file=io.StringIO())
    console.print(SpeedView(report.model_copy(update={"rows": ()})))
    assert "ort-cuda: no GPU." in console.file.getvalue()


def test_the_csv_has_a_line_for_each_batch_unrounded(report):
    lines = list(csv.DictReader(io.StringIO(speed_csv(report))))
    assert len(lines) == 4
    assert lines[3]["artifact"] == "model.int8.onnx"
    assert (lines[3]["batch"], lines[3]["threads"], lines[3]["images_per_s"]) == ("8", "2", "1234.5")
    assert float(lines[3]["latency_median_s"]) == 0.0004
    assert lines[3]["peak_memory_bytes"] == ""


def test_the_picture_has_a_mark_for_each_row_and_each_file(report):
    by_latency, by_size = draw_speed(report).axes
    assert [line.get_xdata()[0] for line in by_latency.lines] == pytest.approx([1.0, 0.4])
    assert [line.get_ydata()[0] for line in by_latency.lines] == pytest.approx([91.4, 91.4])
    assert len(by_size.lines) == 2
    [bar, _] = by_latency.collections
    [(low, high)] = [segment[:, 1] for segment in bar.get_segments()]
    # sqrt(0.914 * 0.086 / 500) is 1.254 points.
    assert (low, high) == pytest.approx((91.4 - 1.254, 91.4 + 1.254), abs=1e-3)


def test_a_runtime_that_reads_both_formats_has_two_marks_in_the_legend(report):
    onnx = report.rows[1]
    tflite = onnx.model_copy(update={"artifact": "model.int8.tflite", "format": "tflite"})
    figure = draw_speed(report.model_copy(update={"rows": (onnx, tflite)}))
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ort-cpu, int8 onnx", "ort-cpu, int8 tflite"]
    hollow, filled = figure.axes[0].lines
    assert hollow.get_markerfacecolor() == "none"
    assert filled.get_markerfacecolor() != "none"


def test_the_files_are_whole_and_the_json_is_read_again(report, tmp_path):
    paths = write_speed(report, tmp_path / "deep" / "er")
    assert [path.name for path in paths] == ["benchmark.json", "benchmark.csv", "benchmark.png"]
    assert SpeedReport.read(paths[0]) == report
    assert paths[2].read_bytes().startswith(b"\x89PNG")
