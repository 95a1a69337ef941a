"""estimate: what an NPU's compiler says of a model, before there is a board."""

from collections.abc import Sequence
from pathlib import Path

from edgecifar.artifacts import Bundle
from edgecifar.choices import Npu
from edgecifar.errors import ModelError
from edgecifar.pipeline.subjects import place_of
from edgecifar.runtimes.vela import NpuEstimate, compile_for_npu


def estimate(model: Bundle | Path | str, npus: Sequence[Npu | str] = (Npu.U55_128,)) -> list[NpuEstimate]:
    """Returns Vela's estimate of a bundle's int8 TFLite file, or of one TFLite file, for each NPU.

    Args:
        model: A bundle, or a TFLite file whose operators are int8.
        npus: Or their names, "ethos-u55-128".

    Raises:
        EngineMissingError: Vela is not installed.
        ModelError: There is no such file or NPU, or Vela refuses the file.
    """
    chosen = [_npu(npu) for npu in npus]
    path = _int8_tflite(place_of(model))
    return [compile_for_npu(path, npu).estimate for npu in chosen]


def _npu(name: Npu | str) -> Npu:
    if name not in set(Npu):
        raise ModelError(f"{name!r} is no NPU that Vela knows here.", f"Known are: {', '.join(Npu)}.")
    return Npu(name)


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
