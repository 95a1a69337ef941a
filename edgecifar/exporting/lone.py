"""Int8 files that lie in no bundle: rewritten, one file to one file."""

from dataclasses import dataclass
from pathlib import Path

from edgecifar.artifacts.files import sha256, write_bytes
from edgecifar.errors import ExportError, ModelError
from edgecifar.exporting import foreign, onnx, saturation
from edgecifar.exporting.options import DEFAULT_OPSET, Activations, Format, Io, WeightRange
from edgecifar.runtimes.onnx_findings import Inspection
from edgecifar.runtimes.onnx_inspection import inspect


@dataclass(frozen=True, slots=True)
class LoneFile:
    """A file that was written."""

    path: Path
    size_bytes: int
    sha256: str
    io: Io
    inspection: Inspection | None
    """What ONNX Runtime makes of it; None for a TFLite file."""


def export_file(
    source: Path,
    kind: Format,
    *,
    io: Io | None = None,
    opset: int | None = None,
    batch: int | None = None,
    activations: Activations = Activations.UINT8,
    weights: WeightRange = WeightRange.SAFE,
    out: Path,
) -> LoneFile:
    """Returns the int8 file that is then at `out`: the network of another int8 file, made for its engine.

    Args:
        source: An int8 TFLite file, or an ONNX file in QDQ form.
        kind: TFLITE makes weights safe only; ONNX files come from both.
        io: Data type at the boundaries; None: as the source has it.
        opset: Of an ONNX file made of a TFLite file; None: the usual one.
        batch: Fixed batch size of an ONNX file made of a TFLite file; None: any.
        activations: Of an ONNX file.
        weights: Whether weights that may saturate are made safe.
        out: The file to write; replaced once the new one is whole.

    Raises:
        ExportError: The source cannot be rewritten so, with the reason; nothing is written.
        ModelError: The source cannot be read.
    """
    try:
        content = source.read_bytes()
    except OSError as error:
        raise ModelError(f"{source}: cannot be read ({error.strerror}).") from error
    try:
        if source.suffix == ".tflite":
            made, made_io = _from_tflite(content, kind, io, opset, batch, activations, weights)
        else:
            made, made_io = _from_onnx(content, kind, io, opset, batch, activations, weights)
    except ExportError as error:
        raise ExportError(f"{source}: {error.problem}", error.mend) from error
    write_bytes(out, made)
    inspection = inspect(out) if kind is Format.ONNX else None
    return LoneFile(out, len(made), sha256(out), made_io, inspection)


def _from_tflite(
    content: bytes,
    kind: Format,
    io: Io | None,
    opset: int | None,
    batch: int | None,
    activations: Activations,
    weights: WeightRange,
) -> tuple[bytes, Io]:
    own = foreign.check_tflite(content)
    if weights is WeightRange.SAFE:
        content = saturation.make_safe(content)
    if kind is Format.ONNX:
        chosen = io or own
        chosen_opset = DEFAULT_OPSET if opset is None else opset
        return onnx.convert_int8(content, chosen, chosen_opset, batch, activations), chosen
    if io not in (None, own):
        raise ExportError(
            f"a TFLite file keeps its boundaries, which are {own}.",
            "Leave --io out, or choose --format onnx.",
        )
    return content, own


def _from_onnx(
    content: bytes,
    kind: Format,
    io: Io | None,
    opset: int | None,
    batch: int | None,
    activations: Activations,
    weights: WeightRange,
) -> tuple[bytes, Io]:
    if kind is not Format.ONNX:
        raise ExportError("an ONNX file does not become a TFLite file.", "Choose --format onnx.")
    if opset is not None or batch is not None:
        raise ExportError(
            "a rewritten ONNX file keeps its opset and batch.", "Leave --opset and --batch out."
        )
    own = foreign.boundaries(foreign.read_qdq(content))
    return onnx.rewrite_int8(content, io, activations, weights), io or own
