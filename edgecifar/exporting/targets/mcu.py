"""The target mcu: the int8 model as C for any microcontroller, with builds of it for a host and for boards.

One folder is an Arduino library, a Zephyr module and a CMake project at once: each looks for its own files.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from edgecifar.errors import ExportError
from edgecifar.exporting.targets.material import CSources, Embedded, Material, need
from edgecifar.exporting.targets.rendering import environment, write_target
from edgecifar.runtimes.boards import BOARDS, FIRMWARE, firmware

_PLACES = {
    "Makefile": "Makefile",
    "CMakeLists.txt": "CMakeLists.txt",
    "pixels.h": "src/model_pixels.h",
    "check.c": "host/check.c",
    "main.c": "bare_metal/main.c",
    "library.properties": "library.properties",
    "classify.ino": "examples/classify/classify.ino",
    "module.yml": "zephyr/module.yml",
    "zephyr.cmake": "zephyr/CMakeLists.txt",
    "Kconfig": "zephyr/Kconfig",
}
"""Templates, and where their text goes."""


def write(material: Material, folder: Path) -> list[Embedded]:
    """Returns what the folder is made of, after writing it.

    Raises:
        ExportError: The bundle has no int8 TFLite file, or one with an operator of which no C is generated.
    """
    models = need(material, "mcu", ("tflite",))
    model = models[0]
    if model.entry.precision != "int8":
        raise ExportError("The target mcu needs an int8 model, and this export writes none.", "Add --int8.")
    if material.make_c is None:
        raise ExportError("The target mcu needs the generator of C, which this export was not given.")
    made = material.make_c(
        material.folder / model.entry.file,
        material.name,
        material.class_names,
        material.golden.images,
        None if model.entry.raw_pixels else material.preprocessing.apply,
    )
    names = {
        "boards": BOARDS,
        "firmware": FIRMWARE,
        "identifier": _identifier(material.name),
        "plain": _is_plain(made),
        "table": made.table.tolist(),
    }
    write_target(material, folder, models, ("mcu/README.md.jinja",), arena_bytes=made.arena_bytes, **names)
    _write_sources(material, folder, made, names)
    return models


def _write_sources(material: Material, folder: Path, made: CSources, names: dict[str, Any]) -> None:
    for place in _PLACES.values():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
    for file, text in made.files.items():
        (folder / "src" / file).write_text(text, encoding="utf-8", newline="\n")
    for file in FIRMWARE:
        (folder / "bare_metal" / file).write_bytes(firmware(file))
    templates = environment()
    for template, place in _PLACES.items():
        text = templates.get_template(f"mcu/{template}.jinja").render(names, name=material.name)
        (folder / place).write_text(text, encoding="utf-8", newline="\n")
    (folder / "golden" / "inputs.int8.bin").write_bytes(made.inputs.tobytes())
    (folder / "golden" / "outputs.int8.bin").write_bytes(made.outputs.tobytes())


def _is_plain(made: CSources) -> bool:
    """Returns whether byte b of a picture is the integer b - 128, as `model_run_uint8` takes it."""
    return bool(np.array_equal(made.table, np.arange(-128, 128)))


def _identifier(name: str) -> str:
    """Returns a name that Arduino's library manager and Kconfig take: letters, digits and underscores."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "model"
