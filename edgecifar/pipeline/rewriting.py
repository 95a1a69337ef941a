"""export of files: int8 models of other tools, or of a bundle, made fast and safe in ONNX Runtime."""

from pathlib import Path

from edgecifar.artifacts import Bundle
from edgecifar.errors import ExportError, ModelError
from edgecifar.exporting.lone import LoneFile
from edgecifar.exporting.lone import export_file as write_file
from edgecifar.exporting.options import Activations, Format, Io, WeightRange
from edgecifar.pipeline.places import EXPORTED, is_bundle

_SUFFIXES = (".tflite", ".onnx")


def is_file_source(path: Path) -> bool:
    """Returns whether a path is exported to one file: a model file or a bundle; a run becomes a bundle."""
    return path.suffix in _SUFFIXES or is_bundle(path)


def export_file(
    source: Bundle | Path | str,
    *,
    kind: Format = Format.ONNX,
    io: Io | None = None,
    opset: int | None = None,
    batch: int | None = None,
    activations: Activations = Activations.UINT8,
    weights: WeightRange = WeightRange.SAFE,
    out: Path | str | None = None,
    force: bool = False,
) -> LoneFile:
    """Writes one int8 file anew, so that ONNX Runtime computes it in integers and alike on every CPU.

    Args:
        source: An int8 TFLite file, an ONNX file in QDQ form, or a bundle (its int8 TFLite file, else ONNX).
        kind: Format of the new file.
        io: Data type at the boundaries; None: as the source has it.
        opset: Of an ONNX file made of a TFLite file; None: the usual one.
        batch: Fixed batch size of an ONNX file made of a TFLite file; None: any.
        activations: Of an ONNX file.
        weights: Whether weights that may saturate on x86 CPUs without VNNI are made safe.
        out: The file, or a folder for it; None: `exported/`. A file without a name of its own is named for
            its source: NAME.int8.onnx.
        force: Whether a file that is already there is replaced.

    Raises:
        ModelError: There is no int8 file, or `out` is in use.
        ExportError: The file cannot be rewritten so, with the reason.
    """
    path = source.folder if isinstance(source, Bundle) else Path(source)
    model, name = _int8_of(path) if path.is_dir() else (path, path.stem.removesuffix(".int8"))
    if model.suffix not in _SUFFIXES:
        raise ExportError(f"{model}: only .tflite and .onnx files can be rewritten.")
    if not model.is_file():
        raise ModelError(f"{model}: there is no such file or folder.")
    target = EXPORTED if out is None else Path(out)
    if target.suffix != f".{kind}":
        target /= f"{name}.int8.{kind}"
    if target.exists() and target.samefile(model):
        raise ModelError(f"{target} is the file that is read: it is left alone.", "Choose another --out.")
    if target.exists() and not force:
        raise ModelError(f"{target} exists.", "Choose another --out, or replace it with --force.")
    return write_file(
        model, kind, io=io, opset=opset, batch=batch, activations=activations, weights=weights, out=target
    )


def _int8_of(folder: Path) -> tuple[Path, str]:
    """Returns a bundle's int8 file and the bundle's name."""
    bundle = Bundle.open(folder)
    found = {entry.format: entry.file for entry in bundle.manifest.artifacts if entry.precision == "int8"}
    if not found:
        raise ModelError(f"{folder}: the bundle holds no int8 file.", "Export its run with --int8.")
    return folder / (found.get("tflite") or found["onnx"]), folder.resolve().name
