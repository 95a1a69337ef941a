"""The tables and goals of `onnx_int8.py` on three CPUs, from figures made up by hand."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE, LESSER, EMULATED = "VNNI", "AVX2", "haswell, emulated"


@pytest.fixture
def results(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(checkout / "benchmarks")
    return importlib.import_module("onnx_results")


@pytest.fixture
def measured(results: ModuleType) -> Any:
    """All files alike, but that one of them saturates on the lesser CPU, and the float file is slow."""
    spread = importlib.import_module("timing").Spread.of
    variants = importlib.import_module("onnx_measuring").Variant

    def on(variant: Any, cpu: str) -> Any:
        is_float = variant is variants.FLOAT
        lost = 4.0 if variant is variants.STATIC and cpu != HERE else 0.0
        timed = cpu != EMULATED
        return results.OnCpu(
            ms=spread([0.5 if is_float else 0.25]) if timed else None,
            faster_than_float=spread([1.0 if is_float else 2.0]) if timed else None,
            accuracy=0.9 - lost / 100,
            lost_points=lost,
            flips=int(lost * 10),
            unlike=int(lost * 50),
            unlike_xnnpack=None if is_float or not timed else 1,
            classes_unlike_xnnpack=None if is_float or not timed else 0,
        )

    cpus = (
        results.Cpu(HERE, ("avx2", "avx512_vnni"), 1000),
        results.Cpu(LESSER, ("avx2",), 1000),
        results.Cpu(EMULATED, ("avx2",), 50),
    )
    rows = {
        variant: results.Row(
            variant, 12345, 7, 7, 3,
            {cpu.name: on(variant, cpu.name) for cpu in cpus if (variant, cpu.name) != ("float32", EMULATED)},
        )
        for variant in variants
    }  # fmt: skip
    return results.Measured(cpus, rows, {HERE: spread([2.1]), LESSER: spread([1.5])})


def test_times_and_accuracies_stand_by_cpu(results: ModuleType, measured: Any) -> None:
    lines = list(results.speed_table(measured))
    assert lines[0] == (
        "| file | ms, × float: VNNI | ms, × float: AVX2 | top-1: VNNI | top-1: AVX2 "
        "| top-1: haswell, emulated, 50 images |"
    )
    assert "| float32 | 0.500, 1.00 | 0.500, 1.00 | 90.00 % | 90.00 % | – |" in lines
    assert "| quantize_static | 0.250, 2.00 | 0.250, 2.00 | 90.00 % | **86.00 %** | **86.00 %** |" in lines
    assert len(lines) == 2 + 8


def test_differences_stand_by_cpu(results: ModuleType, measured: Any) -> None:
    lines = list(results.bits_table(measured))
    assert lines[0] == (
        "| file | bytes | integer layers | unsafe pairs | unlike XNNPACK: VNNI | unlike XNNPACK: AVX2 "
        "| unlike VNNI: AVX2 | unlike VNNI: haswell, emulated, 50 images |"
    )
    assert "| quantize_static | 12,345 | 7 of 7 | 3 | 1 (0) | 1 (0) | 200 (40) | 200 (40) |" in lines
    assert "| float32 | 12,345 | 7 of 7 | 3 | – | – | 0 (0) | – |" in lines


def test_each_cpu_has_the_goals_that_hold_for_it(results: ModuleType, measured: Any) -> None:
    found = {figure.name: figure for figure in results.figures(measured, "resnet8")}

    def verdict(name: str) -> tuple[float, bool] | None:
        goal = found[name].goal
        return None if goal is None else (goal.value, goal.is_met(found[name].spread))

    assert verdict("VNNI: one image, times as fast as float") == (2.3, False)
    assert verdict("AVX2: one image, times as fast as float") == (1.7, True)
    stock = "one image, times as fast as stock tf2onnx of the same TFLite file"
    assert verdict(f"VNNI: {stock}") == (2, True)
    assert verdict(f"AVX2: {stock}") is None
    assert verdict("VNNI: images bit for bit as XNNPACK") == (99.9, True)
    assert verdict("AVX2: images unlike VNNI's") == (0, True)
    assert verdict("haswell, emulated: accuracy against quantize_static") == (1.5, True)
    assert "haswell, emulated: one image, times as fast as float" not in found


def test_the_picture_has_a_panel_for_each_cpu_that_was_timed(
    measured: Any, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(checkout / "benchmarks")
    figures: list[Any] = []
    plot = importlib.import_module("onnx_plot")
    pyplot = importlib.import_module("matplotlib.pyplot")
    close = pyplot.close
    monkeypatch.setattr(pyplot, "close", figures.append)
    plot.draw(measured, "title", tmp_path / "folder" / "plot.png")
    assert (tmp_path / "folder" / "plot.png").read_bytes().startswith(b"\x89PNG")
    (figure,) = figures
    close(figure)
    assert [axes.get_title() for axes in figure.axes] == [HERE, LESSER]
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert texts == [["2.0 × float's speed"], ["86.0 %, 90.0 % with VNNI", "2.0 × float's speed"]]
