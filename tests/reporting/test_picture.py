import io
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from edgecifar.artifacts import Comparison, Gate, ParityReport, Policy, Verdict
from edgecifar.reporting import picture


def _texts(report: ParityReport) -> list[str]:
    return [text.get_text() for text in picture.draw(report).findobj(Text)]


def test_the_png_opens_and_is_drawn_on(report: ParityReport) -> None:
    with Image.open(io.BytesIO(picture.draw_png(report))) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert pixels.shape[1] == picture.WIDTH * picture.DPI
    assert (pixels[0, 0] == 255).all()
    assert 0.02 < (pixels.min(axis=2) < 128).mean() < 0.3
    red = (pixels[..., 0] > 150) & (pixels[..., 1] < 80) & (pixels[..., 2] < 80)
    green = (pixels[..., 1] > 100) & (pixels[..., 0] < 60)
    assert red.any()
    assert green.any()


def test_the_same_report_gives_the_same_bytes(report: ParityReport) -> None:
    assert picture.draw_png(report) == picture.draw_png(report)


def test_every_figure_is_written(report: ParityReport) -> None:
    texts = _texts(report)
    for expected in (
        "model.int8.onnx",
        "329,791",
        "ort-cpu",
        "+0.62",
        "−0.01",
        "91.08 %",
        "1,000",
        "fail",
        "gate 0.5 pp",
    ):
        assert expected in texts
    assert texts.count("model.int8.tflite") == 1
    assert any(text.startswith("Reference: model.keras in Keras 2.21.0") for text in texts)


def test_a_failing_row_has_its_own_mark(report: ParityReport) -> None:
    (axes,) = picture.draw(report).axes
    marks = [(line.get_marker(), line.get_xdata()) for line in axes.lines if line.get_marker() in ("o", "X")]
    assert [marker for marker, _ in marks] == ["o"] * 6 + ["X"]
    assert [float(np.asarray(places)[0]) for _, places in marks] == pytest.approx(
        [comparison.drop_pp for comparison in report.comparisons]
    )


def test_all_marks_and_the_gate_lie_within_the_axis(
    make_report: Callable[..., ParityReport], make_comparison: Callable[..., Comparison]
) -> None:
    report = make_report(
        make_comparison("a.tflite", "litert", 9_500, 1),
        make_comparison("b.tflite", "litert", 1_000, 1, verdict=Verdict.FAIL),
        policy=Policy(gate=Gate(max_drop_pp=95.0)),
    )
    (axes,) = picture.draw(report).axes
    low, high = axes.get_xlim()
    assert low < -3.3
    assert high > 95


def test_text_stays_in_the_picture_whatever_the_names(
    make_report: Callable[..., ParityReport], make_comparison: Callable[..., Comparison]
) -> None:
    name = "a_$very$_long_" + "W" * 200 + ".tflite"
    report = make_report(
        make_comparison(name, "litert", 9_000, 10**10), title="W" * 100, data_source="/folder/" * 40
    )
    figure = picture.draw(report)
    figure.canvas.draw()
    for text in figure.findobj(Text):
        if text.get_text():
            box = text.get_window_extent()
            assert box.x0 >= 0, text.get_text()
            assert box.x1 <= figure.bbox.width, text.get_text()
    (axes,) = figure.axes
    assert axes.bbox.width > 0


def test_a_report_without_a_gate_or_rows_can_be_drawn(make_report: Callable[..., ParityReport]) -> None:
    assert not any(text.startswith("gate") for text in _texts(make_report(policy=Policy())))
