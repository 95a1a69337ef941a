"""What targets are made of: a bundle's artifacts, and its golden images with what engines say of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts import ArtifactEntry, Dataset, Preprocessing
from edgecifar.errors import ExportError
from edgecifar.protocol import Array
from edgecifar.runtimes import get_runtime

ENGINES = {"tflite": "litert", "onnx": "ort-cpu"}
"""The engines whose outputs on the golden images a device's are held to."""
_PREFERENCE = ("int8", "float32", "float16", "dynamic")
"""Of the artifacts of one format: int8 is what devices are for; dynamic differs most between engines."""
TOLERANCES = {"int8": 2 / 256, "float32": 1e-4, "float16": 5e-3, "dynamic": 5e-2}
"""Largest difference in a probability between a device and the golden outputs, by precision. Of int8: two
steps. float16 weights may be computed with in float16, and a dynamic range turns on the last bit of an
activation."""


@dataclass(frozen=True, slots=True, eq=False)
class CSources:
    """A model as C, and what it has to give."""

    files: Mapping[str, str]
    """Sources and headers by name."""
    table: Array
    """int8 (256,): the input's integer for each byte of a picture."""
    inputs: Array
    """int8 (golden images, input size)"""
    outputs: Array
    """int8 (golden images, output size), of the engine whose bits the C gives."""
    arena_bytes: int


CMaker = Callable[[Path, str, Sequence[str], Array, Callable[[Array], Array] | None], CSources]
"""Makes C of an int8 TFLite file: its path, the model's name, the classes, uint8 images, and what makes real
inputs of pixels, or None where the file takes pixels."""


@dataclass(frozen=True, slots=True)
class Material:
    """A bundle before its manifest is written."""

    folder: Path
    name: str
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    artifacts: tuple[ArtifactEntry, ...]
    golden: Dataset
    make_c: CMaker | None = None
    """The generator of C, which is a stage of its own; None: the target mcu cannot be written."""

    def best(self, kind: str) -> ArtifactEntry | None:
        """Returns the artifact of a format that a device embeds; None where there is none.

        Args:
            kind: "tflite" or "onnx".
        """
        by_precision = {entry.precision: entry for entry in self.artifacts if entry.format == kind}
        return next((by_precision[name] for name in _PREFERENCE if name in by_precision), None)


@dataclass(frozen=True, slots=True)
class Embedded:
    """One artifact as an app embeds it, and how the app is to feed and read it."""

    entry: ArtifactEntry
    feed: str
    """"pixels": the picture's bytes; "table": an integer for each byte; "float": (pixel - mean) / std."""
    table: tuple[int, ...]
    """The input's integer for each byte; empty but for the feed "table"."""
    expected: NDArray[np.float32]
    """(golden images, classes): probabilities in the engine named by `runtime`."""
    runtime: str
    tolerance: float

    @property
    def golden_file(self) -> str:
        """Where a target has the expected probabilities: float32, little-endian, image by image."""
        return f"golden/expected.{self.entry.format}.bin"


def embed(material: Material, entry: ArtifactEntry) -> Embedded:
    """Returns an artifact with its feed, and its probabilities on the golden images."""
    runtime = ENGINES[entry.format]
    raw = run_golden(material, entry, runtime)
    table: tuple[int, ...] = ()
    if entry.raw_pixels:
        feed = "pixels"
    elif entry.input.scale is not None:
        feed = "table"
        every_byte = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)
        table = tuple(int(v) for v in entry.input.quantize(material.preprocessing.apply(every_byte)).ravel())
    else:
        feed = "float"
    return Embedded(entry, feed, table, entry.output.dequantize(raw), runtime, TOLERANCES[entry.precision])


def run_golden(material: Material, entry: ArtifactEntry, runtime: str) -> Array:
    """Returns an artifact's raw outputs on the golden images: (N, classes) in the output's dtype."""
    images = material.golden.images
    pixels = images if entry.raw_pixels else entry.input.quantize(material.preprocessing.apply(images))
    loaded = get_runtime(runtime).load(material.folder / entry.file, threads=1)
    return loaded.predict(pixels)


def need(material: Material, target: str, kinds: Sequence[str]) -> list[Embedded]:
    """Returns the best artifact of each of the formats that a target embeds and the bundle has.

    Raises:
        ExportError: It has none of them, or a class has a name that source code cannot hold.
    """
    for name in material.class_names:
        if not name.isprintable():
            raise ExportError(f"The class {name!r} cannot be written into an app's source: rename it.")
    found = [entry for kind in kinds if (entry := material.best(kind))]
    if not found:
        names = " or ".join(kinds)
        raise ExportError(
            f"The target {target} embeds a model in {names}, and this export writes none.",
            f"Add --format {kinds[0]} or leave --target {target} out.",
        )
    return [embed(material, entry) for entry in found]
