"""Files of Keras 2 and Keras 3, and SavedModels, in one process."""

import json
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.runtimes import get_runtime, keras_files

IMAGES = np.random.default_rng(0).random((5, 8, 8, 3), dtype=np.float32)


def build(layers: Any) -> Any:
    """Returns a small classifier of Keras 2 or Keras 3, whose layers are given."""
    return [
        layers.Conv2D(4, 3, padding="same", activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(3, activation="softmax"),
    ]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with a model by each Keras in each form, and what each gave for IMAGES."""
    import edgecifar  # noqa: F401, I001  it chooses Keras 2
    import tensorflow as tf
    import keras
    import tf_keras

    folder = tmp_path_factory.mktemp("keras-files")
    expected = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, package in (("two", tf_keras), ("three", keras)):
            model = package.Sequential([package.layers.Input((8, 8, 3)), *build(package.layers)])
            model.save(folder / f"{name}.keras")
            model.save(folder / f"{name}.h5")
            expected[name] = np.asarray(model(IMAGES))
        model.export(folder / "saved", verbose=False)
        lambdas = [tf_keras.layers.Input((8, 8, 3)), *build(tf_keras.layers), tf_keras.layers.Lambda(abs)]
        tf_keras.Sequential(lambdas).save(folder / "lambda.h5")
        tf_keras.Sequential([*build(tf_keras.layers)]).save(folder / "unbuilt.keras")
        tf.saved_model.save(tf.Module(), str(folder / "unsigned"))
    return folder, expected


@pytest.mark.parametrize(
    ("file", "writer", "engine", "version"),
    [
        ("two.keras", "two", "Keras", "2."),
        ("two.h5", "two", "Keras", "2."),
        ("three.keras", "three", "Keras", "3."),
        ("three.h5", "three", "Keras", "3."),
        ("saved", "three", "TensorFlow", "SavedModel"),
    ],
)
def test_each_file_is_run_by_what_wrote_it(
    file: str, writer: str, engine: str, version: str, written: tuple[Path, dict[str, Any]]
) -> None:
    folder, expected = written
    model = get_runtime("keras").load(folder / file, threads=1)
    np.testing.assert_allclose(model.predict(IMAGES), expected[writer], atol=1e-6)
    assert model.input.shape == (None, 8, 8, 3)
    assert (model.input.dtype, model.output.shape[-1]) == ("float32", 3)
    assert model.info.engine == engine
    assert model.info.version.startswith(version)
    assert model.predict(IMAGES[:0]).shape == (0, 3)


def test_a_saved_model_of_a_fixed_batch_runs_any_number(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.weights = tf.Variable(np.random.default_rng(1).random((192, 3), dtype=np.float32))
    module.serve = tf.function(
        lambda image: tf.reshape(image, (4, 192)) @ module.weights,
        input_signature=[tf.TensorSpec((4, 8, 8, 3), tf.float32)],
    )
    tf.saved_model.save(module, str(tmp_path / "four"), signatures=module.serve)
    model = get_runtime("keras").load(tmp_path / "four", threads=1)
    expected = IMAGES.reshape(5, 192) @ module.weights.numpy()
    np.testing.assert_allclose(model.predict(IMAGES), expected, rtol=1e-5)


def test_what_is_no_whole_saved_model_is_refused(written: tuple[Path, Any], tmp_path: Path) -> None:
    folder, _ = written
    with pytest.raises(ModelError, match="no signature named serving_default; it has none"):
        get_runtime("keras").load(folder / "unsigned", threads=1)
    shutil.copytree(folder / "saved", tmp_path / "cut")
    graph = tmp_path / "cut" / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:1000])
    with pytest.raises(ModelError, match="not a SavedModel that can be read"):
        get_runtime("keras").load(tmp_path / "cut", threads=1)
    shutil.copytree(folder / "saved", tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "variables")
    with pytest.raises(ModelError, match="not a SavedModel that can be read"):
        get_runtime("keras").load(tmp_path / "bare", threads=1)


@pytest.mark.parametrize(
    ("written_as", "spelt"),
    [
        ('"Lambda"', '"Lambda"'),
        # JSON may spell a letter by its number.
        ('"Lambda"', r'"\u004cambda"'),
        ('"activation": "softmax"', '"activation": {"class_name": "__lambda__", "config": {"value": []}}'),
    ],
)
def test_code_in_a_file_is_not_run(
    written_as: str, spelt: str, written: tuple[Path, Any], tmp_path: Path
) -> None:
    import h5py

    path = tmp_path / "code.h5"
    shutil.copyfile(written[0] / ("lambda.h5" if "Lambda" in written_as else "two.h5"), path)
    with h5py.File(path, "a") as file:
        config = str(file.attrs["model_config"])
        assert written_as in config
        file.attrs["model_config"] = config.replace(written_as, spelt)
    with pytest.raises(ModelError, match="holds code of its own, which is not run"):
        get_runtime("keras").load(path, threads=1)


def test_a_model_without_input_is_refused(written: tuple[Path, Any]) -> None:
    with pytest.raises(ModelError, match="has no input of a known shape"):
        get_runtime("keras").load(written[0] / "unbuilt.keras", threads=1)


def test_weights_alone_are_no_model(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["kernel"] = IMAGES
    with pytest.raises(ModelError, match="holds no model, only weights"):
        get_runtime("keras").load(tmp_path / "weights.h5", threads=1)


@pytest.mark.parametrize("metadata", ["{}", "[]", "no json", None])
def test_an_archive_without_metadata_is_refused(metadata: str | None, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        if metadata is not None:
            archive.writestr("metadata.json", metadata)
    with pytest.raises(ModelError, match="not a Keras model"):
        get_runtime("keras").load(tmp_path / "m.keras", threads=1)


def test_keras_3_that_is_missing_or_set_otherwise_is_told(
    written: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(EngineMissingError, match=r"with jax, not TensorFlow\.\nSet KERAS_BACKEND=tensorflow"):
        get_runtime("keras").load(written[0] / "three.keras", threads=1)
    find: Callable[..., Any] = keras_files.importlib.util.find_spec
    monkeypatch.setattr(
        keras_files.importlib.util, "find_spec", lambda name: None if name == "keras" else find(name)
    )
    with zipfile.ZipFile(written[0] / "three.keras") as archive:
        version = json.loads(archive.read("metadata.json"))["keras_version"]
    with pytest.raises(EngineMissingError, match=f"written by Keras {version}, which is not installed"):
        get_runtime("keras").load(written[0] / "three.keras", threads=1)
