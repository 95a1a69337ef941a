"""Rendering: templates into source files that a person can read and a device's compiler takes."""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from edgecifar.exporting.targets.material import Embedded, Material
from edgecifar.protocol import TensorInfo

_PACKAGE = "edgecifar.exporting.targets"
_ENDING = ".jinja"
"""Of templates; other files are copied as they are."""


def environment() -> Environment:
    """Returns the templates of all targets; an unknown name in one is an error."""
    made = Environment(
        loader=PackageLoader(_PACKAGE),
        # Source code, not HTML: every text goes through a filter that quotes it for its language.
        autoescape=False,  # noqa: S701
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["quoted"] = quoted
    made.filters["kotlin"] = lambda text: quoted(text).replace("$", "\\$")
    made.filters["number"] = number
    return made


def quoted(text: str) -> str:
    """Returns a string literal of C++, JavaScript, Python and Swift; printable text is kept as it is."""
    return json.dumps(text, ensure_ascii=False)


def number(value: float) -> str:
    """Returns the shortest decimal that reads back as the same float32, with a point: "64.0", "0.0078125"."""
    text = np.format_float_positional(np.float32(value), unique=True, trim="0")
    return text if "." in text else f"{text}.0"


def write_target(
    material: Material, folder: Path, models: Sequence[Embedded], templates: Sequence[str], **more: Any
) -> None:
    """Writes what all targets have, and the templates of one.

    Args:
        material: The bundle.
        folder: The target's, which is made.
        models: What it embeds; each is copied, with its expected outputs.
        templates: Names below `templates/`, of templates and plain files.
        more: Further names for the templates.
    """
    (folder / "golden").mkdir(parents=True)
    (folder / "labels.txt").write_text(
        "".join(f"{name}\n" for name in material.class_names), encoding="utf-8", newline="\n"
    )
    (folder / "golden" / "images.bin").write_bytes(np.ascontiguousarray(material.golden.images).tobytes())
    for model in models:
        (folder / model.entry.file).write_bytes((material.folder / model.entry.file).read_bytes())
        (folder / model.golden_file).write_bytes(model.expected.astype("<f4").tobytes())
    (folder / "model.json").write_text(
        json.dumps(_as_data(material, models), indent=2) + "\n", encoding="utf-8"
    )
    by_format = {model.entry.format: model for model in models}
    names = {
        "name": material.name,
        "class_names": material.class_names,
        "preprocessing": material.preprocessing,
        "golden_images": len(material.golden),
        "tflite": by_format.get("tflite"),
        "onnx": by_format.get("onnx"),
    } | more
    templates_ = environment()
    for template in templates:
        if template.endswith(_ENDING):
            content = templates_.get_template(template).render(names).encode()
        else:
            content = files(_PACKAGE).joinpath("templates", template).read_bytes()
        (folder / Path(template).name.removesuffix(_ENDING)).write_bytes(content)


def _as_data(material: Material, models: Sequence[Embedded]) -> dict[str, Any]:
    """Returns the content of model.json: what the code in the target does, as data."""
    preprocessing = material.preprocessing
    return {
        "schema_version": 1,
        "name": material.name,
        "labels": "labels.txt",
        "preprocessing": {
            "height": preprocessing.height,
            "width": preprocessing.width,
            "layout": "NHWC",
            "channels": "RGB",
            "resize": "stretch, area average",
            "mean": preprocessing.mean,
            "std": preprocessing.std,
        },
        "golden": {"images": "golden/images.bin", "count": len(material.golden), "dtype": "uint8"},
        "models": [
            {
                "file": model.entry.file,
                "sha256": model.entry.sha256,
                "format": model.entry.format,
                "precision": model.entry.precision,
                "input": _tensor(model.entry.input) | {"feed": model.feed},
                "output": _tensor(model.entry.output),
                "expected": {
                    "file": model.golden_file,
                    "dtype": "float32, little-endian",
                    "runtime": model.runtime,
                    "tolerance": model.tolerance,
                },
            }
            for model in models
        ],
    }


def _tensor(info: TensorInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "shape": list(info.shape),
        "dtype": info.dtype,
        "scale": info.scale,
        "zero_point": info.zero_point,
    }
