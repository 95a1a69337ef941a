from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgecifar.artifacts import ParityReport


@pytest.fixture
def places(checkout: Path, tmp_path: Path) -> list[Path]:
    """A bundle with a report of version 1, a folder with one of version 2, and its file."""
    report = ParityReport.read(checkout / "tests" / "reporting" / "real_report.json")
    report.write(tmp_path / "new" / "report.json")
    return [checkout / "exported" / "tiny-resnet8", tmp_path / "new", tmp_path / "new" / "report.json"]


def test_reports_stand_side_by_side(invoke: Any, places: list[Path]) -> None:
    outcome = invoke("compare", *places)
    assert outcome.status == 0
    assert "B ran on other images than A" in outcome.out.replace("\n", " ")
    rows = [line.split() for line in outcome.out.splitlines() if "89.40" in line]
    assert {row[row.index("89.40") - 1] for row in rows} == {"B", "C"}


def test_as_json_and_as_files(invoke: Any, places: list[Path], tmp_path: Path) -> None:
    found = invoke("compare", *places[1:], "--json", "--out", tmp_path / "changes.html").json
    assert [column["label"] for column in found["columns"]] == ["A", "B"]
    page = (tmp_path / "changes.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "model.int8.onnx" in page
    invoke("compare", *places[1:], "--out", tmp_path / "changes.md")
    text = (tmp_path / "changes.md").read_text(encoding="utf-8")
    assert text.startswith("**Against report A: 0 more accurate, 0 less accurate, 2 as accurate, 0 not")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count(" | ") for line in rows} == {9}


def test_what_is_no_report_is_refused(
    refused: Callable[..., str], places: list[Path], tmp_path: Path
) -> None:
    assert "there is no report" in refused("compare", places[1], tmp_path / "nothing")
    (tmp_path / "bad.json").write_text("{}")
    assert "not a valid ParityReport" in refused("compare", places[1], tmp_path / "bad.json")
    assert "1 reports cannot be compared" in refused("compare", places[1])


def test_a_report_of_a_newer_schema_says_so(refused: Callable[..., str], places: list[Path]) -> None:
    text = places[2].read_text(encoding="utf-8").replace('"schema_version": 2', '"schema_version": 3')
    places[2].write_text(text, encoding="utf-8")
    assert "3 is newer than 2" in refused("compare", places[0], places[2])


def test_an_unknown_ending_is_wrong_usage(invoke: Any, places: list[Path]) -> None:
    assert invoke("compare", *places, "--out", "changes.pdf").status == 2
