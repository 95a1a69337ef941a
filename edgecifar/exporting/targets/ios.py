"""The target ios: Swift with LiteRT and with ONNX Runtime."""

from pathlib import Path

from edgecifar.exporting.targets.material import Embedded, Material, need
from edgecifar.exporting.targets.rendering import write_target

_CLASSIFIERS = {"tflite": "ios/LiteRTClassifier.swift.jinja", "onnx": "ios/OnnxClassifier.swift.jinja"}


def write(material: Material, folder: Path) -> list[Embedded]:
    """Returns what the folder embeds, after writing it: a file an engine, for the formats of the bundle."""
    models = need(material, "ios", ("tflite", "onnx"))
    classifiers = [_CLASSIFIERS[model.entry.format] for model in models]
    write_target(
        material, folder, models, ("ios/README.md.jinja", "ios/Classifying.swift.jinja", *classifiers)
    )
    return models
