import zipfile
from pathlib import Path

import numpy as np
import pytest
import tf_keras

from edgecifar.errors import ModelError, RecipeError
from edgecifar.models import build_model, load_model
from edgecifar.recipe import Form, ModelSpec

SMALL = (8, 8, 3)


@pytest.fixture(scope="module")
def model() -> tf_keras.Model:
    return build_model(ModelSpec(name="shallow3"), SMALL, 3, seed=1)


@pytest.fixture(scope="module")
def model_file(model: tf_keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "model.keras"
    model.save(path)
    return path


def weights_of(seed: int) -> np.ndarray:
    return np.concatenate(
        [weight.ravel() for weight in build_model(ModelSpec(name="shallow3"), SMALL, 3, seed).get_weights()]
    )


def test_the_seed_gives_the_weights() -> None:
    np.testing.assert_array_equal(weights_of(1), weights_of(1))
    assert (weights_of(1) != weights_of(2)).any()


@pytest.mark.parametrize("name", ["resnet8", "airbench"])
@pytest.mark.parametrize("option", [{"form": Form.SEED}, {"dropout": [0.0, 0.1, 0.0]}])
def test_an_option_that_the_network_does_not_have_is_refused(name: str, option: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=f"{name} has the edge form and no dropout"):
        build_model(ModelSpec.model_validate({"name": name} | option), (32, 32, 3), 10, seed=0)


@pytest.mark.parametrize("name", ["vgg6", "shallow3", "resnet8"])
def test_outputs_are_float32_probabilities_under_mixed_precision(name: str) -> None:
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = build_model(ModelSpec.model_validate({"name": name}), SMALL, 3, seed=0)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    probabilities = model(np.random.default_rng(0).normal(size=(4, *SMALL)).astype(np.float32)).numpy()
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype("float32")}


def test_a_model_comes_back_from_its_file(model: tf_keras.Model, model_file: Path) -> None:
    loaded = load_model(model_file)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    for before, after in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such model file"):
        load_model(tmp_path / "model.keras")


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such model file"):
        load_model(tmp_path)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_file_cut_short_is_told(share: float, model_file: Path, tmp_path: Path) -> None:
    content = model_file.read_bytes()
    path = tmp_path / "model.keras"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError, match=r"model.keras: not a readable Keras model"):
        load_model(path)


def test_a_file_with_a_hole_is_told(model_file: Path, tmp_path: Path) -> None:
    content = bytearray(model_file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 1000] = bytes(1000)
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model.keras: not a readable Keras model"):
        load_model(path)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + bytes(100), b"TFL3" * 100, b"{}"])
def test_another_kind_of_file_is_told(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model.keras: not a readable Keras model"):
        load_model(path)


@pytest.mark.parametrize("members", [{}, {"config.json": b"{}"}, {"config.json": b"not JSON"}])
def test_another_zip_is_told(members: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ModelError, match=r"model.keras: not a readable Keras model"):
        load_model(path)


def test_a_model_of_keras_3_is_told(model_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(model_file) as source, zipfile.ZipFile(path, "w") as archive:
        for name in source.namelist():
            content = source.read(name)
            # Keras 3 has another name for it.
            archive.writestr(name, content.replace(b"batch_input_shape", b"batch_shape"))
    with pytest.raises(ModelError, match=r"model.keras: not a readable Keras model"):
        load_model(path)
