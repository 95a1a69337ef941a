"""The target android: Kotlin with LiteRT."""

from pathlib import Path

import numpy as np

from edgecifar.exporting.targets.material import Embedded, Material, need
from edgecifar.exporting.targets.rendering import write_target
from edgecifar.protocol import TensorInfo


def write(material: Material, folder: Path) -> list[Embedded]:
    """Returns what the folder embeds, after writing it."""
    models = need(material, "android", ("tflite",))
    preprocessing, entry = material.preprocessing, models[0].entry
    pixels = preprocessing.height * preprocessing.width * 3
    write_target(
        material,
        folder,
        models,
        ("android/README.md.jinja", "android/Classifier.kt.jinja"),
        input_bytes=pixels * _item_bytes(entry.input),
        output_bytes=len(material.class_names) * _item_bytes(entry.output),
    )
    return models


def _item_bytes(info: TensorInfo) -> int:
    return np.dtype(info.dtype).itemsize
