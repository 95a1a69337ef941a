"""The target linux: boards and servers, with Python or C++."""

from pathlib import Path

from edgecifar.exporting.targets.material import Embedded, Material, need
from edgecifar.exporting.targets.rendering import write_target

_PROGRAMS = {
    "tflite": ("linux/classify_litert.py.jinja",),
    "onnx": (
        "linux/classify_onnxruntime.py.jinja",
        "linux/classify.cpp.jinja",
        "linux/classifier.hpp.jinja",
        "linux/CMakeLists.txt.jinja",
    ),
}


def write(material: Material, folder: Path) -> list[Embedded]:
    """Returns what the folder embeds, after writing it: for one engine or both, as the bundle has."""
    models = need(material, "linux", ("tflite", "onnx"))
    programs = [name for model in models for name in _PROGRAMS[model.entry.format]]
    write_target(material, folder, models, ["linux/README.md.jinja", *programs])
    return models
