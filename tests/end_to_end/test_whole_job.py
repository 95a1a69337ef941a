"""train, export and verify on the images in the package, as people type them."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

NAMES = {
    f"model.{precision}.{format_}"
    for precision in ("float32", "float16", "dynamic", "int8")
    for format_ in ("tflite", "onnx")
}


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_training_tells_what_it_does_and_what_comes_next(made: Any) -> None:
    told = made.trained.stderr
    assert "CIFAR-10 sample in the package: 1,800 training, 200 validation images." in told
    assert "Training on CPU in " in told
    for phase in ("train", "prune", "quantize"):
        assert f"{phase} 100%" in told
    assert told.rstrip().endswith("Next: edgecifar export runs/demo-shallow3-0001")
    assert "WARNING" not in told
    assert made.trained.stdout.startswith("Run runs/demo-shallow3-0001")


def test_a_run_holds_all_that_it_says(made: Any) -> None:
    names = {path.name for path in made.run.iterdir()}
    expected = {"run.json", "model.keras", "reference.keras", "qat.h5", "history.csv", "curves.png", "events"}
    assert names == expected | {"started.json", "trained"}
    record = json.loads((made.run / "run.json").read_text(encoding="utf-8"))
    assert record["parent"] == "demo-shallow3-0001-trained"
    assert record["recipe"]["training"]["epochs"] == 2
    # Half of each kernel, rounded to whole weights.
    assert abs(record["sparsity"] - 0.5) < 0.01
    assert record["command"].startswith("edgecifar train --recipe demo --set model.name=shallow3")
    assert list((made.run / "events").rglob("events.out.tfevents.*"))


def test_an_export_tells_what_it_made_and_what_comes_next(made: Any) -> None:
    told = made.exported.stderr
    assert "The newest run: runs/demo-shallow3-0001." in told
    assert "Checked: both int8 files agree on 16 golden images" in told
    assert told.rstrip().endswith("Next: edgecifar verify exported/demo-shallow3")
    assert all(name in made.exported.stdout for name in NAMES)


def test_a_bundles_manifest_vouches_for_each_file(made: Any) -> None:
    files = files_of(made.bundle)
    manifest = json.loads(files.pop("manifest.json"))
    entries = {entry["file"]: entry for entry in (*manifest["artifacts"], *manifest["files"])}
    assert set(entries) == set(files)
    for name, content in files.items():
        assert entries[name]["size_bytes"] == len(content)
        assert entries[name]["sha256"] == hashlib.sha256(content).hexdigest()
    assert {entry["file"] for entry in manifest["artifacts"]} == NAMES | {"reference.keras"}


def test_int8_comes_from_the_quantization_aware_model(made: Any) -> None:
    manifest = json.loads((made.bundle / "manifest.json").read_text(encoding="utf-8"))
    weights = {entry["file"]: entry["weights"] for entry in manifest["artifacts"]}
    assert weights["model.int8.tflite"] == weights["model.int8.onnx"] == "quantization-aware training"
    assert manifest["calibration_images"] == 0
    assert manifest["golden_twin_steps"] <= 2


def test_the_same_run_exported_again_gives_the_same_bytes(
    made: Any, command_line: Any, tmp_path: Path
) -> None:
    out = tmp_path / "again"
    command_line(
        "export", str(made.run), "--float32", "--fp16", "--dynamic", "--int8", "--out", str(out), cwd=tmp_path
    )
    first, second = files_of(made.bundle), files_of(out)
    assert len(first) > 15
    assert second.keys() == first.keys()
    assert [name for name in first if second[name] != first[name]] == []


def test_verify_compares_every_file_in_its_engines(made: Any, command_line: Any, tmp_path: Path) -> None:
    bundle = tmp_path / "exported" / "copied"
    shutil.copytree(made.bundle, bundle)
    done = command_line(
        "verify", "--limit", "200", "--subset", "10", "--max-drop", "100pp", "--json", cwd=tmp_path
    )
    assert "The newest bundle: exported/copied." in done.stderr
    report = json.loads(done.stdout)
    assert report == json.loads((bundle / "report" / "report.json").read_text(encoding="utf-8"))
    seen = {(each["artifact"], each["engine"]["runtime"]) for each in report["comparisons"]}
    assert {name for name, _ in seen} == NAMES
    engines = {name: {runtime for artifact, runtime in seen if artifact == name} for name in NAMES}
    for name, runtimes in engines.items():
        expected = {"litert", "litert-reference"} if name.endswith("tflite") else {"ort-cpu"}
        assert expected <= runtimes
    by_place = {(each["artifact"], each["engine"]["runtime"]): each for each in report["comparisons"]}
    assert by_place["model.float32.tflite", "litert"]["accuracy"]["total"] == 200
    assert by_place["model.float32.tflite", "litert-reference"]["accuracy"]["total"] == 10
    assert by_place["model.int8.onnx", "ort-cpu"]["max_twin_steps"] <= 2
    assert {path.name for path in (bundle / "report").iterdir()} == {
        "index.html",
        "junit.xml",
        "report.json",
        "report.md",
        "report.png",
    }
