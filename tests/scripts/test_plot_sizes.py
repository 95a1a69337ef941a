"""The README's plot says what the bundles' reports say."""

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

BUNDLES = ("edge-vgg6", "edge-vgg6-sparse", "tiny-resnet8")


def plot(checkout: Path, exported: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(checkout / "scripts" / "plot_sizes.py")]
    options = ["--exported", str(exported), "--out", str(out)]
    return subprocess.run([*command, *options], check=False, capture_output=True, text=True, timeout=120)


def copy_report(checkout: Path, name: str, exported: Path) -> Path:
    """Copies what the plot reads of a shipped bundle, and returns the report's path."""
    source, target = checkout / "exported" / name, exported / name
    (target / "report").mkdir(parents=True)
    for file in ("run.json", "model.int8.tflite", "report/report.json"):
        shutil.copyfile(source / file, target / file)
    return target / "report" / "report.json"


def test_it_draws_the_bundles(checkout: Path, tmp_path: Path) -> None:
    for name in BUNDLES:
        copy_report(checkout, name, tmp_path / "exported")
    process = plot(checkout, tmp_path / "exported", tmp_path / "plot.png")
    assert process.returncode == 0, process.stderr
    for name in BUNDLES:
        size = (checkout / "exported" / name / "model.int8.tflite").stat().st_size
        (line,) = (line for line in process.stdout.splitlines() if line.startswith(f"{name}: "))
        assert f" {size:,} bytes" in line
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.width > 600
        picture.verify()


def test_a_pruned_model_is_shown_as_it_is_downloaded_too(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(checkout / "scripts"))
    from plot_sizes import read_point

    for name in BUNDLES:
        copy_report(checkout, name, tmp_path)
    sparse = read_point(tmp_path / "edge-vgg6-sparse")
    content = (checkout / "exported" / "edge-vgg6-sparse" / "model.int8.tflite").read_bytes()
    assert sparse.size_bytes == len(content)
    assert sparse.gzip_bytes == len(gzip.compress(content, 9)) < 0.6 * len(content)
    assert read_point(tmp_path / "edge-vgg6").gzip_bytes is None


def test_a_report_on_fewer_images_is_refused(checkout: Path, tmp_path: Path) -> None:
    path = copy_report(checkout, "tiny-resnet8", tmp_path / "exported")
    report = json.loads(path.read_text())
    for comparison in report["comparisons"]:
        comparison["accuracy"] = {"correct": 180, "total": 200}
    path.write_text(json.dumps(report))
    process = plot(checkout, tmp_path / "exported", tmp_path / "plot.png")
    assert process.returncode == 2
    assert "no model.int8.tflite on all test images in litert" in process.stderr
    assert not (tmp_path / "plot.png").exists()


def test_no_bundle_is_told(checkout: Path, tmp_path: Path) -> None:
    process = plot(checkout, tmp_path, tmp_path / "plot.png")
    assert process.returncode == 2
    assert "there is no verified bundle" in process.stderr
