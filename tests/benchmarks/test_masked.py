"""An engine that does not see VNNI: pairs of products saturate in it, as on processors without."""

import importlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecifar.artifacts import Preprocessing
from edgecifar.errors import ModelError

LENGTH = 64
"""Of the sum of products 255 x 127."""
ASK = f"""
import sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
print(session.run(None, {{"x": np.full((1, {LENGTH}), 255, np.uint8)}})[0].max())
"""


@pytest.fixture
def masked(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("instruction sets are hidden on x86-64 Linux only")
    for tool in ("gcc", "objdump"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not here")
    monkeypatch.syspath_prepend(checkout / "benchmarks")
    return importlib.import_module("masked")


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """The largest bytes times weights of 127, as an ONNX file."""
    weights = numpy_helper.from_array(np.full((LENGTH, 16), 127, np.int8), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, LENGTH])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 16])],
        [weights],
    )
    path = tmp_path / "product.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def ask(product: Path, environment: dict[str, str] | None = None) -> int:
    command = [sys.executable, "-c", ASK, str(product)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120)
    return int(done.stdout)


@pytest.mark.parametrize(("level", "found"), [
    # Two products are added in 16 bits, which end at 32,767.
    ("avx2", LENGTH // 2 * 32_767),
    # SSE has no such kernel of ONNX Runtime's: the sum is exact.
    ("sse4", LENGTH * 255 * 127),
])  # fmt: skip
def test_the_engine_runs_the_kernels_of_the_processor_that_it_sees(
    masked: ModuleType, product: Path, tmp_path: Path, level: str, found: int
) -> None:
    environment = masked.mask(masked.Level(level), tmp_path)
    assert ask(product, environment) == found


@pytest.mark.usefixtures("masked")
def test_a_script_says_what_was_hidden_and_ends_with_its_status(checkout: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nsys.path.insert(0, sys.argv[1])\nfrom timing import Machine\n"
        "machine = Machine.here([])\nprint(*machine.lines(), sep='\\n')\n"
        "sys.exit(7 if 'avx512f' in machine.cpu_flags else 3)\n"
    )
    benchmarks = checkout / "benchmarks"
    command = [sys.executable, benchmarks / "masked.py", "avx2", script, benchmarks]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3, done.stderr
    flags = next(line for line in done.stdout.splitlines() if line.startswith("CPU flags"))
    assert "512" not in flags


def test_int8_onnx_is_measured_on_the_processor_that_it_sees(
    masked: ModuleType, product: Path, checkout: Path
) -> None:
    measuring = importlib.import_module("onnx_measuring")
    bundle = checkout / "exported" / "tiny-resnet8"
    images = np.load(bundle / "golden" / "images.npy")
    variant = measuring.Variant.OURS
    files = {variant: measuring.Made(bundle / "model.int8.onnx", bundle / "model.int8.tflite")}
    preprocessing = Preprocessing(mean=0, std=1, height=32, width=32)
    whole, lesser = (
        measuring.measure(files, images, preprocessing, 2, level) for level in (None, masked.Level.AVX2)
    )
    for found in (whole, lesser):
        assert found.outputs[variant].shape == (len(images), 10)
        np.testing.assert_array_equal(found.outputs[variant], found.twins[variant])
        assert len(found.seconds[variant]) == 2
    np.testing.assert_array_equal(lesser.outputs[variant], whole.outputs[variant])
    refused = {variant: measuring.Made(product, None)}
    with pytest.raises(ModelError, match="ended with exit status 2"):
        measuring.measure(refused, images, preprocessing, 1, None)
