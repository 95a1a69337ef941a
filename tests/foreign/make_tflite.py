"""Makes TFLite files of classifier.keras, as stock tools convert and quantize it.

Run once, from the top of the checkout, in the development environment, after make_keras3.py:

    python tests/foreign/make_tflite.py

`dynamic.tflite` (int8 weights, float32 activations) and `int16x8.tflite` (int16 input, activations and
output) are by TensorFlow's converter, `ai_edge_quantizer.tflite` (int8 throughout) by ai-edge-quantizer.
"""

import tempfile
from pathlib import Path

import ai_edge_quantizer
import keras
import numpy as np
import tensorflow as tf
from PIL import Image

HERE = Path(__file__).parent
SAMPLE = HERE.parent.parent / "edgecifar" / "data" / "sample"


def read_calibration() -> np.ndarray:
    """Returns 200 training images, float32, 0 to 1."""
    sheets = [np.asarray(Image.open(path).convert("RGB"))[: 20 * 32] for path in SAMPLE.glob("train-*.webp")]
    return np.concatenate([sheet.reshape(-1, 32, 32, 3) for sheet in sheets]).astype(np.float32) / 255


def main() -> None:
    images = read_calibration()
    with tempfile.TemporaryDirectory() as folder:
        signature = tf.TensorSpec((1, 32, 32, 3), tf.float32, name="image")
        keras.models.load_model(HERE / "classifier.keras").export(
            folder, verbose=False, input_signature=[signature]
        )
        dynamic = tf.lite.TFLiteConverter.from_saved_model(folder)
        dynamic.optimizations = [tf.lite.Optimize.DEFAULT]
        (HERE / "dynamic.tflite").write_bytes(dynamic.convert())

        wide = tf.lite.TFLiteConverter.from_saved_model(folder)
        wide.optimizations = [tf.lite.Optimize.DEFAULT]
        wide.representative_dataset = lambda: ([image[np.newaxis]] for image in images)
        wide.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
        wide.inference_input_type = wide.inference_output_type = tf.int16
        (HERE / "int16x8.tflite").write_bytes(wide.convert())

        plain = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    quantizer = ai_edge_quantizer.Quantizer(bytearray(plain), ai_edge_quantizer.recipe.static_wi8_ai8())
    runner = tf.lite.Interpreter(model_content=plain).get_signature_runner("serving_default")
    [name] = runner.get_input_details()
    calibration = {"serving_default": [{name: image[np.newaxis]} for image in images]}
    quantized = quantizer.quantize(quantizer.calibrate(calibration)).quantized_model
    (HERE / "ai_edge_quantizer.tflite").write_bytes(bytes(quantized))


if __name__ == "__main__":
    main()
