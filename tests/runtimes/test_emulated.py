"""ONNX Runtime on emulated CPUs: results that this machine's own CPU would not show."""

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecifar.errors import ModelError
from edgecifar.runtimes import emulated, get_runtime
from edgecifar.runtimes.cpuid import cpuid_flags
from edgecifar.runtimes.emulated import ARM_ROOT, EMULATOR
from edgecifar.runtimes.onnx_inspection import inspect

EXPORTED = Path(__file__).parents[2] / "exported"

pytestmark = [
    pytest.mark.embed,
    pytest.mark.skipif(shutil.which(EMULATOR) is None, reason=f"{EMULATOR} is not installed"),
]


@pytest.mark.parametrize("level", ["haswell", "nehalem"])
def test_a_safe_file_gives_the_same_bits(level):
    path = EXPORTED / "tiny-resnet8" / "model.int8.onnx"
    pixels = np.load(path.parent / "golden" / "images.npy")
    model = get_runtime(f"ort-cpu-{level}").load(path, 1)
    assert "sse4_2" in model.cpu_flags
    assert ("avx2" in model.cpu_flags) == (level == "haswell")
    assert not {flag for flag in model.cpu_flags if "vnni" in flag}
    assert EMULATOR.removesuffix("-static") in model.info.emulator
    np.testing.assert_array_equal(model.predict(pixels), get_runtime("ort-cpu").load(path, 1).predict(pixels))


@pytest.mark.skipif(ARM_ROOT not in os.environ, reason=f"{ARM_ROOT} names no folder with arm64 programs")
@pytest.mark.parametrize("name", ["tiny-resnet8", "edge-vgg6", "seed-vgg6"])
def test_an_arm64_cpu_gives_the_same_bits(name):
    path = EXPORTED / name / "model.int8.onnx"
    pixels = np.load(path.parent / "golden" / "images.npy")
    model = get_runtime("ort-cpu-arm64").load(path, 1)
    assert model.cpu_flags == ("asimddp",)
    assert "aarch64" in model.info.emulator
    np.testing.assert_array_equal(model.predict(pixels), get_runtime("ort-cpu").load(path, 1).predict(pixels))


def dense_file(path, weights):
    """uint8 (N, k) -> QLinearMatMul with int8 weights -> uint8 (N, channels)."""
    zero = np.array(128, np.uint8)
    constants = {
        "s": np.array(1.0, np.float32), "z": np.array(0, np.uint8), "w": weights.T.copy(),
        "sw": np.array(1.0, np.float32), "zw": np.array(0, np.int8), "zo": zero,
        "so": np.array(1024.0, np.float32),
    }  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node("QLinearMatMul", ["x", "s", "z", "w", "sw", "zw", "so", "zo"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["N", weights.shape[1]])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, ["N", len(weights)])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_the_count_of_saturated_sums_is_what_an_emulated_haswell_does(tmp_path):
    path = tmp_path / "m.onnx"
    random = np.random.default_rng(0)
    weights = random.integers(-128, 128, (8, 32)).astype(np.int8)
    images = random.integers(0, 256, (16, 32)).astype(np.uint8)
    dense_file(path, weights)
    products = images[:, None].astype(np.int64) * weights
    sums = np.clip(products[..., ::2] + products[..., 1::2], -32768, 32767).sum(axis=-1)
    saturated = np.clip(np.rint(sums / 1024) + 128, 0, 255)
    exact = np.clip(np.rint(products.sum(axis=-1) / 1024) + 128, 0, 255)
    assert np.any(saturated != exact), "the weights are no example"
    assert inspect(path, images).saturated == np.count_nonzero(
        np.abs(products[..., ::2] + products[..., 1::2] + 0.5) > 32768
    )
    found = get_runtime("ort-cpu-haswell").load(path, 1).predict(images)
    np.testing.assert_array_equal(found, saturated)


def test_a_file_that_is_refused_says_why(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ModelError, match="not an ONNX model"):
        get_runtime("ort-cpu-haswell").load(path, 1)


def test_the_flags_are_those_of_this_cpu():
    listed = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    assert set(cpuid_flags()) <= set(listed)
    assert ("avx2" in cpuid_flags()) == ("avx2" in listed)


def test_without_the_emulator_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(emulated.shutil, "which", lambda _: None)
    assert "apt-get install qemu-user-static" in (get_runtime("ort-cpu-haswell").missing() or "")


def test_arm64_needs_a_folder_and_says_what_it_lacks(monkeypatch, tmp_path):
    monkeypatch.setattr(emulated.shutil, "which", lambda name: f"/usr/bin/{name}")
    runtime = get_runtime("ort-cpu-arm64")
    monkeypatch.delenv(ARM_ROOT, raising=False)
    assert f"named by {ARM_ROOT}. How to fill one: docs/onnx.md" in (runtime.missing() or "")
    monkeypatch.setenv(ARM_ROOT, str(tmp_path))
    for file in ("usr/bin/python3.11", "proc/cpuinfo", "site-packages/onnxruntime/x"):
        assert f"{tmp_path}, named by {ARM_ROOT}, has no {file.split('.')[0].removesuffix('/x')}" in (
            runtime.missing() or ""
        )
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    assert runtime.missing() is None
    with pytest.raises(ModelError, match="does not start on an emulated cortex-a76"):
        runtime.load(tmp_path / "m.onnx", 1)
