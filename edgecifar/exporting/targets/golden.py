"""golden/golden.json: what each engine says of the golden images, and how far another may stray from it."""

import json
from typing import Any

import numpy as np

from edgecifar.artifacts import ArtifactEntry
from edgecifar.errors import ModelError
from edgecifar.exporting.targets.material import ENGINES, TOLERANCES, Material, run_golden
from edgecifar.runtimes import get_runtime

_RUNTIMES = {"tflite": ("litert", "litert-reference"), "onnx": ("ort-cpu",)}
"""Those that every installation has, so that the bundle's bytes do not depend on extras."""


def write_golden(material: Material) -> None:
    """Writes each artifact's raw outputs in each engine, and the table of them.

    What the export wrote already, `golden/FILE.outputs.npy` of the int8 files, is not written again.
    """
    outputs: list[dict[str, Any]] = []
    unable: list[dict[str, str]] = []
    for entry in material.artifacts:
        for runtime in _RUNTIMES.get(entry.format, ()):
            try:
                outputs.append(_write_outputs(material, entry, runtime))
            except ModelError as error:
                # LiteRT's reference kernels lack operators, ELU for one: the table says so.
                reason = error.problem.replace(f"{material.folder}/", "").splitlines()[0]
                unable.append({"artifact": entry.file, "runtime": runtime, "reason": reason})
    table = {
        "schema_version": 1,
        "images": "images.npy",
        "labels": "labels.npy",
        "count": len(material.golden),
        "outputs": outputs,
        "unable": unable,
    }
    path = material.folder / "golden" / "golden.json"
    path.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def _write_outputs(material: Material, entry: ArtifactEntry, runtime: str) -> dict[str, Any]:
    name = f"{entry.file}.outputs.npy"
    if runtime != ENGINES[entry.format] or not (material.folder / "golden" / name).is_file():
        name = f"{entry.file}.{runtime}.npy"
        np.save(material.folder / "golden" / name, run_golden(material, entry, runtime))
    info = get_runtime(runtime).load(material.folder / entry.file, threads=1).info
    return {
        "artifact": entry.file,
        "runtime": runtime,
        "engine": f"{info.engine} {info.version}",
        "file": name,
        "scale": entry.output.scale,
        "zero_point": entry.output.zero_point,
        # Of a probability: `scale * (value - zero_point)` where there is a scale.
        "tolerance": TOLERANCES[entry.precision],
    }
