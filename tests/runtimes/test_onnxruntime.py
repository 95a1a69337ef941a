import json

import numpy as np
import onnx
import onnxruntime
import pytest

from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.runtimes import get_runtime
from edgecifar.runtimes.onnxruntime import CHUNK, describe_providers


def node(name, provider):
    return {"cat": "Node", "name": name, "args": {"provider": provider}}


def test_the_provider_of_most_operators_comes_first():
    events = [
        {"cat": "Session", "name": "model_run", "args": {}},
        node("conv1", "CUDAExecutionProvider"),
        node("conv1", "CUDAExecutionProvider"),
        node("conv2", "CUDAExecutionProvider"),
        node("softmax", "CPUExecutionProvider"),
    ]
    assert describe_providers(events) == "CUDAExecutionProvider, CPUExecutionProvider for 1 of 3 operators"


def test_a_real_profile_is_understood(models, tmp_path):
    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
    session = onnxruntime.InferenceSession(
        models["float32.onnx"], options, providers=["CPUExecutionProvider"]
    )
    session.run(None, {"image": np.zeros((1, 32, 32, 3), np.float32)})
    with open(session.end_profiling(), encoding="utf-8") as file:  # noqa: PTH123
        assert describe_providers(json.load(file)) == "CPUExecutionProvider"


def test_cuda_that_does_not_start_is_an_error_that_says_why(models):
    cuda = get_runtime("ort-cuda")
    reason = cuda.missing()
    if reason is None:
        assert "CUDA" in cuda.load(models["float32.onnx"], threads=1).info.device
        return
    assert "edgecifar[gpu]" in reason
    with pytest.raises(EngineMissingError, match="CUDA"):
        cuda.load(models["float32.onnx"], threads=1)


def test_asking_for_cuda_prints_nothing(capfd):
    get_runtime("ort-cuda").missing()
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


@pytest.mark.parametrize("share", [0.001, 0.5, 0.99])
def test_a_file_cut_short_says_where_it_ends_and_what_it_promises(share, models, tmp_path):
    content = models["float32.onnx"].read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError) as caught:
        get_runtime("ort-cpu").load(path, threads=1)
    assert f"ends after {int(share * len(content)):,} bytes but its header promises" in caught.value.problem


def test_a_dynamically_quantized_model_runs_image_by_image(models):
    load = get_runtime("ort-cpu").load
    assert load(models["dynamic.onnx"], threads=1)._chunk == 1
    assert load(models["int8.onnx"], threads=1)._chunk == CHUNK
    assert load(models["batch4.onnx"], threads=1)._chunk == 4


def test_a_model_with_two_inputs_is_refused(tmp_path):
    helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT  # noqa: N806
    values = [helper.make_tensor_value_info(name, FLOAT, ["N", 3]) for name in ("a", "b", "c")]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "two", values[:2], values[2:])
    path = tmp_path / "two.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    with pytest.raises(ModelError, match="has 2 inputs and 1 outputs"):
        get_runtime("ort-cpu").load(path, threads=1)


def test_weights_in_a_file_beside_the_model_are_found(models, tmp_path):
    import onnx

    path, plain = tmp_path / "m.onnx", models["float32.onnx"]
    model = onnx.load(plain)
    onnx.save(model, path, save_as_external_data=True, location="m.onnx.data", size_threshold=100)
    loaded = get_runtime("ort-cpu").load(path, threads=1)
    batch = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3)).astype(loaded.input.dtype)
    expected = get_runtime("ort-cpu").load(plain, threads=1).predict(batch)
    np.testing.assert_array_equal(loaded.predict(batch), expected)
    (tmp_path / "m.onnx.data").unlink()
    with pytest.raises(ModelError, match=r"m\.onnx: ONNX Runtime refuses it"):
        get_runtime("ort-cpu").load(path, threads=1)


@pytest.mark.parametrize("said", ["", "[]", "{}", '{"scale": "x", "zero_point": 0}', '{"scale": 1}'])
def test_metadata_that_make_no_sense_are_said(said, models, tmp_path):
    model = onnx.load(models["float32.onnx"])
    model.metadata_props.add(key=f"quantization.{model.graph.input[0].name}", value=said)
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(ModelError, match=r"its metadata quantization\..* are no scale and zero point"):
        get_runtime("ort-cpu").load(tmp_path / "odd.onnx", threads=1)
