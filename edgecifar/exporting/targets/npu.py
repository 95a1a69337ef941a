"""The target npu: the int8 TFLite file compiled for an Arm Ethos-U, beside the file it came from."""

import dataclasses
import json
from pathlib import Path

from edgecifar.choices import Npu
from edgecifar.errors import ExportError, ModelError
from edgecifar.exporting.targets.material import Embedded, Material, need, run_golden
from edgecifar.exporting.targets.rendering import write_target
from edgecifar.runtimes.vela import compile_for_npu

REFERENCE_KERNELS = "litert-reference"
NPU = Npu.U55_128
"""What boards with an Ethos-U have most; the page in docs/embed says how to compile for another."""


def write(material: Material, folder: Path) -> list[Embedded]:
    """Returns what the folder embeds, after writing it: the model as Vela took it.

    Raises:
        EngineMissingError: Vela is not installed.
        ExportError: The bundle has no int8 TFLite file, or Vela refuses it.
    """
    [model] = need(material, "npu", ("tflite",))
    entry = model.entry
    if entry.precision != "int8":
        raise ExportError("The target npu embeds an int8 model, and this export writes none.", "Add --int8.")
    try:
        program = compile_for_npu(material.folder / entry.file, NPU)
    except ModelError as error:
        raise ExportError(error.problem, "Leave --target npu out.") from error
    models = [_rounded_as_there(material, model)]
    compiled = f"{Path(entry.file).stem}.{NPU}.tflite"
    estimate = dataclasses.asdict(program.estimate)
    write_target(
        material, folder, models, ("npu/README.md.jinja",), compiled=compiled, estimate=program.estimate
    )
    (folder / compiled).write_bytes(program.content)
    (folder / "estimate.json").write_text(json.dumps(estimate, indent=2) + "\n", encoding="utf-8")
    return models


def _rounded_as_there(material: Material, model: Embedded) -> Embedded:
    """Returns the model with what LiteRT's reference kernels expect of it: Vela has the NPU round as they do.

    Where they lack one of its operators it is returned as it is, and the README names the kernels.
    Source: `RoundingMode.TFLite` in Vela, whose outputs are tested against those kernels.
    """
    try:
        raw = run_golden(material, model.entry, REFERENCE_KERNELS)
    except ModelError:
        return model
    return dataclasses.replace(model, expected=model.entry.output.dequantize(raw), runtime=REFERENCE_KERNELS)
