"""estimate: what an NPU's compiler says of a model, before there is a board."""

from pathlib import Path

from edgecifar.artifacts import Bundle
from edgecifar.choices import Npu
from edgecifar.errors import ModelError
from edgecifar.pipeline.subjects import place_of
from edgecifar.runtimes.vela import NpuEstimate, compile_for_npu


def estimate(model: Bundle | Path | str, npus: tuple[Npu, ...]) -> list[NpuEstimate]:
    """Returns Vela's estimate of a bundle's int8 TFLite file, or of one TFLite file, for each NPU.

    Raises:
        EngineMissingError: Vela is not installed.
        ModelError: There is no such file, or Vela refuses it.
    """
    path = _int8_tflite(place_of(model))
    return [compile_for_npu(path, npu).estimate for npu in npus]


def _int8_tflite(path: Path) -> Path:
    if not path.is_dir():
        return path
    bundle = Bundle.open(path)
    for entry in bundle.manifest.artifacts:
        if (entry.format, entry.precision) == ("tflite", "int8"):
            return path / entry.file
    raise ModelError(
        f"{path} has no int8 TFLite file, which NPUs need.", "Export with --format tflite --int8."
    )
