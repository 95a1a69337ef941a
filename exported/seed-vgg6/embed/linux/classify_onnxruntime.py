#!/usr/bin/env python3
"""Names what a picture shows, with ONNX Runtime alone: pip install onnxruntime pillow

    python classify_onnxruntime.py photo.jpg

Without a picture it runs the self-check and ends.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

HERE = Path(__file__).parent
MODEL = HERE / "model.int8.onnx"
LABELS = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
HEIGHT, WIDTH = 32, 32
GOLDEN_IMAGES = 16
TOLERANCE = 0.0078125
"""Largest difference in a probability to what the export measured."""


def shrink(picture: np.ndarray) -> np.ndarray:
    """Stretches a picture, uint8 (h, w, 3) RGB, to the model's size; each pixel is the mean of its area."""
    h, w = picture.shape[:2]
    out = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    for y in range(HEIGHT):
        top = y * h // HEIGHT
        bottom = max(top + 1, (y + 1) * h // HEIGHT)
        for x in range(WIDTH):
            left = x * w // WIDTH
            right = max(left + 1, (x + 1) * w // WIDTH)
            area = picture[top:bottom, left:right].reshape(-1, 3).astype(np.int64)
            out[y, x] = (area.sum(axis=0) + len(area) // 2) // len(area)
    return out


def preprocess(image: np.ndarray) -> np.ndarray:
    """Returns the model's input for an image, uint8 (HEIGHT, WIDTH, 3)."""
    # The model takes the pixels as they are.
    return image[np.newaxis]


def probabilities(output: np.ndarray) -> np.ndarray:
    """Returns the model's output, (1, classes), as one float32 for each class."""
    zero_point, scale = 0, np.float32(0.00390625)
    return (output[0].astype(np.float32) - zero_point) * scale


def self_check(classify: Callable[[np.ndarray], np.ndarray]) -> float:
    """Returns the largest difference in a probability on the golden images; raises if it is too large."""
    images = np.fromfile(HERE / "golden" / "images.bin", np.uint8).reshape(GOLDEN_IMAGES, HEIGHT, WIDTH, 3)
    expected = np.fromfile(HERE / "golden/expected.onnx.bin", "<f4").reshape(GOLDEN_IMAGES, len(LABELS))
    found = np.stack([classify(image) for image in images])
    largest = float(np.abs(found - expected).max())
    if not largest <= TOLERANCE:
        raise SystemExit(f"self-check failed: a probability is off by {largest:g}, more than {TOLERANCE:g}")
    return largest


def read(path: str) -> np.ndarray:
    """Returns a picture, uint8 (h, w, 3) RGB: turned upright as its EXIF data say, transparent parts on white."""
    from PIL import Image, ImageOps  # pip install pillow

    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGBA")
    except OSError as error:
        raise SystemExit(f"{path}: cannot be read as a picture ({error})") from error
    white = Image.new("RGBA", upright.size, "white")
    return np.asarray(Image.alpha_composite(white, upright).convert("RGB"))


def main(classify: Callable[[np.ndarray], np.ndarray]) -> None:
    largest = self_check(classify)
    print(f"self-check: {GOLDEN_IMAGES} golden images, largest difference {largest:g} of {TOLERANCE:g} allowed")
    for path in sys.argv[1:]:
        scores = classify(shrink(read(path)))
        for index in np.argsort(-scores, kind="stable")[:3]:
            print(f"{path}\t{LABELS[index]}\t{100 * scores[index]:.1f} %")


class Classifier:
    """The model in ONNX Runtime, on one thread of the CPU."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Returns the probabilities of an image, uint8 (HEIGHT, WIDTH, 3)."""
        (output,) = self._session.run(None, {"image": preprocess(image)})
        return probabilities(output)


if __name__ == "__main__":
    main(Classifier())
