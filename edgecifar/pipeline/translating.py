"""export --format c: an int8 model as integer-only C, with a self-test from the engine itself."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecifar.artifacts import Bundle, Run
from edgecifar.artifacts.files import replacing_folder
from edgecifar.choices import Numerics, Optimize
from edgecifar.errors import ModelError
from edgecifar.exporting.options import Format, Io, Precision
from edgecifar.microcontroller.translating import Translation
from edgecifar.pipeline.c_sources import make_c
from edgecifar.pipeline.making import export
from edgecifar.pipeline.places import EXPORTED, check_place, is_bundle
from edgecifar.progress import SILENT, Progress
from edgecifar.protocol import Array


@dataclass(frozen=True, slots=True)
class CExport:
    """Generated C in a folder, and what it needs."""

    folder: Path
    files: tuple[str, ...]
    numerics: str
    optimize: str
    """What it spares most."""
    arena_bytes: int
    bound_bytes: int
    """What the plan's layers hold at once at the most: no placement needs less."""
    unstreamed_bytes: int
    """The arena if each layer ran alone."""
    constant_bytes: int
    """Weights, biases, scales and tables, with 8-bit weights."""
    multiply_adds: int
    sparse_layers: int
    """Convolutions whose weights are kept without their zeros."""
    spared_bytes: int
    """What that spares of the constants."""
    selftest_images: int
    """0 where the engine could not be asked."""


def export_c(
    source: Run | Bundle | Path | str,
    *,
    numerics: Numerics = Numerics.XNNPACK,
    optimize: Optimize = Optimize.SPEED,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> CExport:
    """Writes an int8 model as C sources.

    Args:
        source: A run, a bundle with an int8 TFLite file, or such a file, whoever made it.
        numerics: The engine whose bits the C gives.
        optimize: What the C spares most.
        out: Folder of the sources; None: `exported/NAME-c`.
        data_dir: Where the images lie that a run is calibrated on.
        force: Whether sources that are already in `out` are replaced.
        progress: Told of each step.

    Raises:
        ModelError: There is no int8 TFLite file, or `out` is in use.
        ExportError: An operator of which no C is generated, or a float model.
    """
    if not isinstance(source, (Run, Bundle)) and is_bundle(Path(source)):
        source = Bundle.open(Path(source))
    name = _name_of(source)
    target = EXPORTED / f"{name}-c" if out is None else Path(out)
    check_place(target, _is_generated, force=force)
    with tempfile.TemporaryDirectory(prefix="edgecifar-c-") as temporary:
        if isinstance(source, Run):
            source = export(
                source, formats=[Format.TFLITE], precisions=[Precision.INT8], io=Io.INT8,
                out=Path(temporary) / "bundle", data_dir=data_dir, progress=progress,
            )  # fmt: skip
        model, labels, images = _of_bundle(source) if isinstance(source, Bundle) else (Path(source), (), None)
        made = make_c(model, name, labels, images, numerics, optimize, progress)
        return _write(*made, target, numerics, optimize)


def _name_of(source: Run | Bundle | Path | str) -> str:
    if isinstance(source, Run):
        return source.record.name
    if isinstance(source, Bundle):
        return source.manifest.name
    return Path(source).stem.removesuffix(".int8")


def _is_generated(folder: Path) -> bool:
    return (folder / "model.c").is_file() and (folder / "model_weights.h").is_file()


def _of_bundle(bundle: Bundle) -> tuple[Path, tuple[str, ...], Array]:
    """Returns the int8 TFLite file of a bundle, its labels and its golden images."""
    for entry in bundle.manifest.artifacts:
        if entry.format == "tflite" and entry.precision == "int8":
            images = np.load(bundle.folder / "golden" / "images.npy")
            return bundle.folder / entry.file, bundle.manifest.class_names, images
    raise ModelError(f"{bundle.folder}: the bundle holds no int8 TFLite file.", "Export its run with --int8.")


def _write(
    made: Translation, selftest_images: int, target: Path, numerics: Numerics, optimize: Optimize
) -> CExport:
    with replacing_folder(target) as folder:
        for file, text in made.files.items():
            (folder / file).write_text(text, encoding="utf-8", newline="\n")
    return CExport(
        folder=target,
        files=tuple(made.files),
        numerics=str(numerics),
        optimize=str(optimize),
        arena_bytes=made.plan.arena_bytes,
        bound_bytes=made.plan.bound_bytes,
        unstreamed_bytes=made.plan.unstreamed_bytes,
        constant_bytes=made.constant_bytes,
        multiply_adds=made.multiply_adds,
        sparse_layers=made.sparse_layers,
        spared_bytes=made.spared_bytes,
        selftest_images=selftest_images,
    )
