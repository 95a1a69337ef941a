"""What an accuracy cost, from curves that are written by hand."""

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from edgecifar.errors import DataError, ModelError

SHARED = {"cpu": "a", "cpu_flags": ["b"], "multiply_adds": 1_000_000}
OURS = {"name": "ours", "images": 500, "val_accuracy": [0.5, 0.9, 0.95], "seconds": [60, 120, 60]}
PUBLISHED = {"name": "published", "images": 400, "val_accuracy": [0.4, 0.6], "seconds": [30, 30]}


@pytest.fixture
def curves(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark's module."""
    monkeypatch.syspath_prepend(str(checkout / "benchmarks"))
    return importlib.import_module("curves")


def write(folder: Path, name: str, table: dict[str, Any]) -> None:
    (folder / f"curve-{name}.json").write_text(json.dumps(SHARED | table))


def test_compute_to_an_accuracy(curves: Any, tmp_path: Path) -> None:
    write(tmp_path, "ours", OURS)
    write(tmp_path, "published", PUBLISHED)
    outcome = json.loads(curves.compare_compute(argparse.Namespace(results=tmp_path)).json())
    found = {figure["name"]: figure for figure in outcome["figures"]}
    quotient = found["ours / published, multiply-adds"]
    assert quotient["median"] == pytest.approx(2 * 500 / (125 * 50_000))
    assert quotient["goal"] == {"bound": "at most", "value": 0.125, "met": True}
    # Two epochs of 60 and 120 s; 125 of half a minute, with more images in each.
    assert found["ours / published, minutes"]["median"] == pytest.approx(3 / (125 * 0.5 * 50_000 / 400))
    assert any("extrapolated" in note for note in outcome["notes"])
    assert not any("not comparable" in note for note in outcome["notes"])


def test_minutes_of_another_processor_are_said_to_be(curves: Any, tmp_path: Path) -> None:
    write(tmp_path, "ours", OURS | {"cpu": "c"})
    write(tmp_path, "published", PUBLISHED)
    notes = curves.compare_compute(argparse.Namespace(results=tmp_path)).notes
    assert any("not comparable" in note for note in notes)


def test_an_accuracy_that_was_not_reached_is_told(curves: Any, tmp_path: Path) -> None:
    write(tmp_path, "ours", OURS | {"val_accuracy": [0.5, 0.8, 0.89]})
    write(tmp_path, "published", PUBLISHED)
    with pytest.raises(ModelError, match="ours did not reach 90 % on the validation images"):
        curves.compare_compute(argparse.Namespace(results=tmp_path))


def test_both_curves_are_needed(curves: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"curve-ours.json: not measured yet") as caught:
        curves.compare_compute(argparse.Namespace(results=tmp_path))
    assert caught.value.mend == "Run: python benchmarks/training.py ours RUN"
