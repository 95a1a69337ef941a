"""benchmark, estimate, and verify in every runtime."""

from pathlib import Path
from typing import Any

import pytest

QUICK = ("--data", "sample", "--limit", 10, "--rounds", 1, "--calls", 3, "--batch", 1, "--threads", 1)


@pytest.fixture
def model(checkout: Path) -> Path:
    return checkout / "exported" / "tiny-resnet8" / "model.int8.tflite"


def test_benchmark_prints_a_table_and_writes_its_files(invoke: Any, model: Path, tmp_path: Path) -> None:
    outcome = invoke("benchmark", model, "--runtime", "litert", *QUICK)
    assert outcome.status == 0, outcome.err
    assert "model.int8.tflite litert" in outcome.out
    folder = tmp_path / "benchmark" / "model.int8.tflite"
    assert sorted(path.name for path in folder.iterdir()) == [
        "benchmark.csv",
        "benchmark.json",
        "benchmark.png",
    ]


def test_benchmark_as_json_is_the_report(invoke: Any, model: Path, tmp_path: Path) -> None:
    outcome = invoke(
        "benchmark", model, "--runtime", "litert", *QUICK, "--json", "--out", tmp_path / "mine", "--quiet"
    )
    [row] = outcome.json["rows"]
    assert row["engine"]["runtime"] == "litert"
    assert row["latency"]["calls"] == 3
    assert outcome.err == ""
    assert (tmp_path / "mine" / "benchmark.json").is_file()


def test_an_unknown_runtime_is_refused_with_the_known_ones(invoke: Any, model: Path) -> None:
    outcome = invoke("benchmark", model, "--runtime", "tensorrt")
    assert outcome.status == 2
    assert "litert-reference" in outcome.err


def test_a_missing_engine_is_status_3(refused: Any, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    message = refused("verify", model, "--runtime", "tflm", "--data", "sample", status=3)
    assert "pip install 'edgecifar[tflm]'" in message
    assert "pip install 'edgecifar[vela]'" in refused("estimate", model, status=3)


def test_estimate_says_that_it_is_one(invoke: Any, model: Path) -> None:
    outcome = invoke("estimate", model, "--npu", "ethos-u55-64", "--npu", "ethos-u85-256")
    assert outcome.status == 0
    assert "Estimates by Vela, not measurements" in outcome.out
    assert "ethos-u85-256" in outcome.out
    first, second = invoke(
        "estimate", model, "--npu", "ethos-u55-64", "--npu", "ethos-u85-256", "--json"
    ).json
    assert (first["npu"], second["npu"]) == ("ethos-u55-64", "ethos-u85-256")
    assert first["cpu_operators"] == []


@pytest.mark.slow
def test_verify_in_all_runtimes_is_one_matrix(invoke: Any, model: Path, tmp_path: Path) -> None:
    outcome = invoke(
        "verify", model, model.with_name("model.float32.tflite"), "--runtime", "all", "--data", "sample",
        "--limit", 20, "--subset", 10, "--out", tmp_path / "report", "--json", "--quiet",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    report = outcome.json
    rows = {(one["artifact"], one["engine"]["runtime"]): one for one in report["comparisons"]}
    here = {"litert", "litert-builtin", "litert-reference", "tflm", "openvino"}
    assert here <= {runtime for _, runtime in rows}
    builtin = rows["model.int8.tflite", "litert-builtin"]
    assert builtin["reference_kernels"]["images"] == 10
    assert builtin["twin"] == "model.int8.tflite in litert"
    assert rows["model.int8.tflite", "tflm"]["accuracy"]["total"] == 10
    # The float file takes bytes, which microcontroller kernels do not cast.
    assert ("model.float32.tflite", "tflm") not in rows
    assert any("model.float32.tflite: TensorFlow Lite Micro refuses it" in one for one in report["skipped"])
    assert any("tensor arena of" in note for note in report["notes"])
