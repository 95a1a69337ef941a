"""The target npu: the int8 TFLite file compiled for an Arm Ethos-U, beside the file it came from."""

import dataclasses
import json
from pathlib import Path

from edgecifar.choices import Npu
from edgecifar.errors import ExportError, ModelError
from edgecifar.exporting.targets.material import Embedded, Material, need
from edgecifar.exporting.targets.rendering import write_target
from edgecifar.runtimes.vela import compile_for_npu

NPU = Npu.U55_128
"""What boards with an Ethos-U have most; the page in docs/embed says how to compile for another."""


def write(material: Material, folder: Path) -> list[Embedded]:
    """Returns what the folder embeds, after writing it: the model as Vela took it.

    Raises:
        EngineMissingError: Vela is not installed.
        ExportError: The bundle has no int8 TFLite file, or Vela refuses it.
    """
    models = need(material, "npu", ("tflite",))
    entry = models[0].entry
    if entry.precision != "int8":
        raise ExportError("The target npu embeds an int8 model, and this export writes none.", "Add --int8.")
    try:
        program = compile_for_npu(material.folder / entry.file, NPU)
    except ModelError as error:
        raise ExportError(error.problem, "Leave --target npu out.") from error
    compiled = f"{Path(entry.file).stem}.{NPU}.tflite"
    estimate = dataclasses.asdict(program.estimate)
    write_target(
        material, folder, models, ("npu/README.md.jinja",), compiled=compiled, estimate=program.estimate
    )
    (folder / compiled).write_bytes(program.content)
    (folder / "estimate.json").write_text(json.dumps(estimate, indent=2) + "\n", encoding="utf-8")
    return models
