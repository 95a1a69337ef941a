"""The int8 network of a run: one set of integers, for every format."""

from dataclasses import dataclass

import numpy as np
import tf_keras

from edgecifar.artifacts import Dataset, Run, Weights
from edgecifar.exporting import elu, integers, roundings, saturation, tflite
from edgecifar.exporting.options import Io, Precision, WeightRange


@dataclass(frozen=True, slots=True)
class Quantized:
    """An int8 network as a TFLite file, and where its numbers come from."""

    content: bytes
    weights: Weights
    made_by: str
    calibration: Dataset | None
    """Images that ranges come from; None where the model knows all of them."""


def quantize(
    run: Run,
    float_model: tf_keras.Model,
    qat_model: tf_keras.Model | None,
    io: Io,
    weights: WeightRange,
    calibration: Dataset | None,
) -> Quantized:
    """Returns a run's int8 network, with all that makes it the same in several engines.

    Args:
        run: Whose models they are.
        float_model: What is calibrated where there is no quantization-aware model.
        qat_model: The quantization-aware model, if there is one.
        io: Data type at the boundaries.
        weights: Safe on every CPU, or as the quantizer leaves them.
        calibration: Training images; as many of them as the recipe says are used, if any are needed.

    Raises:
        ExportError: The model cannot be quantized so, or images are needed and there are none.
    """
    preprocessing = run.record.preprocessing
    model = float_model if qat_model is None else qat_model

    def convert(images: Dataset | None) -> bytes:
        values = preprocessing.apply(images.images) if images else None
        return tflite.convert(model, Precision.INT8, io, preprocessing, values)

    used: Dataset | None = None
    source: bytes | None = None
    if qat_model is None:
        used = choose_calibration(run, calibration) if calibration else None
        content = convert(used)
        source = tflite.convert(float_model, Precision.FLOAT32, Io.FLOAT32, preprocessing)
    else:
        content = convert(None)
        if calibration and integers.float_operators(elu.make_integer(content)):
            # What a batch norm after an activation computes has no range of its own in tfmot's models.
            used = choose_calibration(run, calibration)
            content = convert(used)
    made_by, converted = tflite.MADE_BY, content
    content = elu.make_integer(converted)
    if content is not converted:
        made_by = f"{made_by}, {elu.MADE_BY}"
    if weights is WeightRange.SAFE:
        content, made_by = saturation.make_safe(content, source), f"{made_by}, {saturation.MADE_BY}"
    origin = Weights.CALIBRATED if qat_model is None else Weights.QAT
    return Quantized(roundings.settle(content), origin, made_by, used)


def choose_calibration(run: Run, images: Dataset) -> Dataset:
    """Returns as many of the images as the recipe says, drawn by its seed."""
    recipe = run.record.recipe
    count = min(recipe.calibration.images, len(images))
    drawn = np.random.default_rng(recipe.seed).choice(len(images), count, replace=False)
    return images.select(np.sort(drawn))
