from importlib.metadata import version
from pathlib import Path

import pytest

from edgecifar.runtimes import RUNTIME_NAMES, get_runtime, keras
from edgecifar.runtimes.installed import installed


def test_versions_by_name_or_none_where_one_is_missing() -> None:
    assert installed("numpy", "onnx") == {"numpy": version("numpy"), "onnx": version("onnx")}
    assert installed("numpy", "no-such-package-at-all") is None


def test_engines_tell_their_versions_before_they_start() -> None:
    told = {name: get_runtime(name).identity() for name in RUNTIME_NAMES}
    assert told["litert"] == told["litert-reference"] == {"ai-edge-litert": version("ai-edge-litert")}
    [engine] = told["ort-cpu"] or {}
    assert engine.startswith("onnxruntime")
    # What computes there, only the engine itself tells.
    assert told["ort-cuda"] is told["ort-web"] is told["c"] is told["ort-cpu-haswell"] is None


def test_tensorflows_settings_are_part_of_it_and_a_gpu_makes_it_unknown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keras, "_GPU_DEVICES", (str(tmp_path / "gpu"),))
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    without = get_runtime("keras").identity()
    assert without is not None
    assert without["tensorflow"] == version("tensorflow")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    assert get_runtime("keras").identity() not in (None, without)
    (tmp_path / "gpu").touch()
    assert get_runtime("keras").identity() is None
