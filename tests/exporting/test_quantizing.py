from dataclasses import dataclass

import numpy as np
import pytest
import tf_keras
from tensorflow.lite.python import schema_py_generated as schema

from edgecifar.artifacts import Dataset, Run, Weights
from edgecifar.compression.quantization import make_quantization_aware, set_activation_ranges
from edgecifar.errors import ExportError
from edgecifar.exporting import integers, onnx, saturation
from edgecifar.exporting.options import Io, WeightRange
from edgecifar.exporting.quantizing import Quantized, quantize
from edgecifar.exporting.tflite_codes import unpacked_code_of
from edgecifar.models import build_model
from edgecifar.recipe import Form, ModelSpec
from edgecifar.runtimes import get_runtime


@dataclass(frozen=True)
class Seed:
    """A network of the seed's form (ELU, then batch norm) and its int8 form."""

    aware: tf_keras.Model
    made: Quantized


@pytest.fixture(scope="module")
def seed(small_run: Run, few_images: tuple[Dataset, Dataset]) -> Seed:
    model = build_model(ModelSpec(name="shallow3", form=Form.SEED), (16, 16, 3), 10, seed=0)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            # As if it had learned: at its start it computes nothing, and the converter drops it.
            channels = layer.gamma.shape[0]
            layer.set_weights(
                [random.uniform(0.5, 2, channels) if positive else random.normal(0, 0.3, channels)
                 for positive in (True, False, False, True)]
            )  # fmt: skip
    aware = make_quantization_aware(model, keep_zeros=False)
    values = small_run.record.preprocessing.apply(few_images[0].images)
    aware(values[:32], training=True)  # sets the ranges of the weights
    set_activation_ranges(aware, model, values, batch_size=32)
    made = quantize(small_run, model, aware, Io.UINT8, WeightRange.SAFE, few_images[0])
    return Seed(aware, made)


def probabilities(content: bytes, folder, name: str, runtime: str, images) -> np.ndarray:
    path = folder / name
    path.write_bytes(content)
    model = get_runtime(runtime).load(path, threads=1)
    return np.concatenate([model.predict(image[None]) for image in images]).astype(np.float64) / 256


def test_the_seeds_form_is_integer_throughout(seed):
    assert integers.float_operators(seed.made.content) == ()
    model = schema.ModelT.InitFromPackedBuf(seed.made.content, 0)
    operators = schema.BuiltinOperator
    codes = [unpacked_code_of(model, operator) for operator in model.subgraphs[0].operators]
    assert codes.count(operators.ELU) == codes.count(operators.MUL) == codes.count(operators.ADD) == 3
    assert operators.DEQUANTIZE not in codes


def test_it_computes_what_the_quantization_aware_model_does(seed, small_run, few_images, tmp_path):
    images = few_images[1].images
    expected = seed.aware(small_run.record.preprocessing.apply(images), training=False).numpy()
    found = probabilities(seed.made.content, tmp_path, "model.tflite", "litert", images)
    assert np.abs(found - expected).mean() < 0.1 * expected.std()


def test_its_onnx_twin_gives_the_same_bytes(seed, few_images, tmp_path):
    images = few_images[0].images
    first = probabilities(seed.made.content, tmp_path, "model.tflite", "litert", images)
    twin = onnx.convert_int8(seed.made.content, Io.UINT8)
    second = probabilities(twin, tmp_path, "model.onnx", "ort-cpu", images)
    assert np.mean(np.all(first == second, axis=1)) > 0.99


def test_images_that_gave_ranges_are_recorded(seed, small_run, few_images, tiny):
    assert seed.made.weights is Weights.QAT
    assert seed.made.calibration is not None
    assert len(seed.made.calibration) == len(few_images[0])
    # The edge form needs none: each range is trained.
    edge = quantize(
        run_of(small_run, tiny), tiny.float_model, tiny.qat_model, Io.UINT8, WeightRange.SAFE, tiny.train
    )
    assert edge.calibration is None


def run_of(run: Run, tiny) -> Run:
    """Returns a run of the tiny network, as far as the conversion asks."""
    record = run.record.model_copy(update={"preprocessing": tiny.preprocessing})
    return Run(run.folder, record)


def test_calibrated_weights_are_rounded_once(tiny, small_run):
    run = run_of(small_run, tiny)
    full, safe = (
        quantize(run, tiny.float_model, None, Io.UINT8, weights, tiny.train).content
        for weights in (WeightRange.FULL, WeightRange.SAFE)
    )
    assert saturation.make_safe(safe) == safe
    kernels = {
        layer.name: layer.kernel.numpy() for layer in tiny.float_model.layers if hasattr(layer, "kernel")
    }
    logits = kernels["logits"].T
    errors = []
    for content in (safe, saturation.make_safe(full)):
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        graph = model.subgraphs[0]
        (tensor,) = (
            graph.tensors[operator.inputs[1]]
            for operator in graph.operators
            if unpacked_code_of(model, operator) == schema.BuiltinOperator.FULLY_CONNECTED
        )
        values = np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(np.int8).reshape(tensor.shape)
        errors.append(np.square(values * np.reshape(tensor.quantization.scale, (-1, 1)) - logits).mean())
    assert errors[0] < 0.9 * errors[1]


def test_a_float_model_needs_images(tiny, small_run):
    with pytest.raises(ExportError, match="needs calibration images"):
        quantize(run_of(small_run, tiny), tiny.float_model, None, Io.UINT8, WeightRange.SAFE, None)
