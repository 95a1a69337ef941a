"""Engines that cannot compute a file: skipped with a sentence, unless they were asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

Invoke = Callable[..., Any]


@pytest.fixture(scope="module")
def elu_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TFLite file with ELU, which LiteRT's reference kernels have not."""
    weights = tf.random.stateless_normal((3, 10), seed=(1, 2))

    class Network(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, 32, 32, 3), tf.float32)])
        def __call__(self, image: tf.Tensor) -> tf.Tensor:
            return tf.nn.softmax(tf.nn.elu(tf.reduce_mean(image, axis=(1, 2))) @ weights)

    network = Network()
    concrete = network.__call__.get_concrete_function()
    path = tmp_path_factory.mktemp("elu") / "elu.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], network).convert())
    return path


@pytest.fixture
def options(elu_file: Path, tmp_path: Path) -> list[object]:
    return [
        "verify", elu_file, "--against", elu_file, "--data", "sample", "--limit", 20, "--scale", "1/255",
        "--out", tmp_path / "report", "--no-cache",
    ]  # fmt: skip


def test_reference_kernels_without_an_operator_are_skipped(invoke: Invoke, options: list[object]) -> None:
    found = invoke(*options, "--json")
    assert found.status == 0, found.err
    assert [one["engine"]["runtime"] for one in found.json["comparisons"]] == ["litert"]
    [told] = [one for one in found.json["skipped"] if "ELU" in one]
    assert told.endswith("elu.tflite: LiteRT's reference kernels cannot compute ELU.")


def test_kernels_that_were_asked_for_are_an_error(invoke: Invoke, options: list[object]) -> None:
    found = invoke(*options, "--runtime", "litert", "--runtime", "litert-reference")
    assert found.status == 2
    assert "reference kernels cannot compute ELU" in " ".join(found.err.split())


def test_a_damaged_file_is_an_error_all_the_same(
    invoke: Invoke, options: list[object], tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(Path(str(options[1])).read_bytes()[:200])
    found = invoke("verify", options[1], damaged, *options[2:])
    assert found.status == 2
    assert "damaged.tflite" in found.err
