"""The README's tables say what the bundles' reports say."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def tables(checkout: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(checkout / "scripts" / "bundle_tables.py"), *options]
    return subprocess.run(command, cwd=checkout, check=False, capture_output=True, text=True, timeout=120)


@pytest.fixture
def exported(checkout: Path, tmp_path: Path) -> Path:
    """What the tables are made of, of one shipped bundle."""
    source, target = checkout / "exported" / "tiny-resnet8", tmp_path / "exported" / "tiny-resnet8"
    (target / "report").mkdir(parents=True)
    for file in ("run.json", "model.int8.tflite", "report/report.json"):
        shutil.copyfile(source / file, target / file)
    return target.parent


def test_the_readme_is_what_the_reports_say(checkout: Path, tmp_path: Path) -> None:
    written = tmp_path / "README.md"
    shutil.copyfile(checkout / "README.md", written)
    process = tables(checkout, "--write", str(written))
    assert process.returncode == 0, process.stderr
    assert written.read_text() == (checkout / "README.md").read_text()


def test_a_row_follows_its_report(checkout: Path, exported: Path) -> None:
    path = exported / "tiny-resnet8" / "report" / "report.json"
    report = json.loads(path.read_text())
    for comparison in report["comparisons"]:
        if (comparison["artifact"], comparison["engine"]["runtime"]) == ("model.int8.tflite", "litert"):
            comparison["accuracy"]["correct"] = 4321
    path.write_text(json.dumps(report))
    process = tables(checkout, "--exported", str(exported))
    assert process.returncode == 0, process.stderr
    bundle, engine = (
        next(line for line in process.stdout.splitlines() if line.startswith(start))
        for start in ("| [`tiny-resnet8`]", "| `model.int8.tflite` | `litert` |")
    )
    assert "| 43.21 % |" in bundle
    assert "| 43.21 % · – · " in engine


@pytest.mark.parametrize(
    ("epochs", "named"), [(160, "tiny-distilled"), (161, "a-copy")], ids=["its-values", "others"]
)
def test_a_shipped_recipe_is_named_by_its_values(
    checkout: Path, exported: Path, epochs: int, named: str
) -> None:
    path = exported / "tiny-resnet8" / "run.json"
    record = json.loads(path.read_text())
    record["recipe"] |= {"name": "a-copy", "description": "With --set."}
    record["recipe"]["training"]["epochs"] = epochs
    path.write_text(json.dumps(record))
    process = tables(checkout, "--exported", str(exported))
    assert process.returncode == 0, process.stderr
    assert f"(exported/tiny-resnet8/report/report.md) | `{named}` |" in process.stdout


def test_a_report_on_fewer_images_is_refused(checkout: Path, exported: Path) -> None:
    path = exported / "tiny-resnet8" / "report" / "report.json"
    report = json.loads(path.read_text())
    for comparison in report["comparisons"]:
        comparison["accuracy"] = {"correct": 180, "total": 200}
    path.write_text(json.dumps(report))
    process = tables(checkout, "--exported", str(exported))
    assert process.returncode == 2
    assert "no model.int8.tflite on all test images in litert" in process.stderr


def test_a_file_without_the_places_is_left_alone(checkout: Path, exported: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing here\n")
    process = tables(checkout, "--exported", str(exported), "--write", str(page))
    assert process.returncode == 2
    assert "There are 0 places marked <!-- table: bundles -->" in process.stderr
    assert page.read_text() == "nothing here\n"


def test_no_bundle_is_told(checkout: Path, tmp_path: Path) -> None:
    process = tables(checkout, "--exported", str(tmp_path))
    assert process.returncode == 2
    assert "there is no verified bundle" in process.stderr
