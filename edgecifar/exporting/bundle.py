"""Bundles: every file that an app embeds, written together, with the manifest that says what each is."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tf_keras

import edgecifar
from edgecifar.artifacts import ArtifactEntry, Bundle, Dataset, Manifest, Preprocessing, Run, Weights
from edgecifar.artifacts.bundle import FileEntry, TargetEntry
from edgecifar.artifacts.files import replacing_folder, sha256
from edgecifar.choices import Target
from edgecifar.errors import ExportError
from edgecifar.exporting import integers, onnx, tflite
from edgecifar.exporting.embedding import describe, write_embedded
from edgecifar.exporting.options import (
    DEFAULT_OPSET,
    Activations,
    Format,
    Io,
    Precision,
    WeightRange,
    check_io,
    check_onnx,
)
from edgecifar.exporting.quantizing import Quantized, quantize
from edgecifar.exporting.targets.material import CMaker
from edgecifar.host import tool_versions
from edgecifar.progress import SILENT, Progress
from edgecifar.protocol import Array
from edgecifar.runtimes import get_runtime
from edgecifar.runtimes.onnx_findings import InspectedLayer
from edgecifar.runtimes.onnx_inspection import inspect

GOLDEN_IMAGES = 16
MAX_TWIN_STEPS = 2
"""Output steps by which the int8 TFLite and ONNX files may differ and still count as the same network."""
REFERENCE = "reference.keras"
_ENGINES = {Format.TFLITE: "litert", Format.ONNX: "ort-cpu"}
"""The engines that read an artifact's tensors back, and compute its golden outputs."""
_COPIED = ("run.json", "history.csv", "curves.png")


def export_bundle(
    *,
    run: Run,
    float_model: tf_keras.Model,
    qat_model: tf_keras.Model | None,
    formats: Sequence[Format],
    precisions: Sequence[Precision],
    io: Io,
    opset: int = DEFAULT_OPSET,
    batch: int | None = None,
    activations: Activations = Activations.UINT8,
    weights: WeightRange = WeightRange.SAFE,
    calibration: Dataset | None,
    golden: Dataset,
    targets: Sequence[Target] = (),
    make_c: CMaker | None = None,
    out: Path,
    progress: Progress = SILENT,
) -> Bundle:
    """Returns the bundle that is then in `out`; what was there is replaced once all of it is written.

    The same run and choices give the same bytes in every file.

    Args:
        run: Whose models are exported.
        float_model: Pruned where the run was pruned.
        qat_model: The quantization-aware model, from which int8 comes where there is one.
        formats: File formats.
        precisions: Of each format.
        io: Data type at the boundaries.
        opset: Of the ONNX files.
        batch: Fixed batch size of the ONNX files; None: any. TFLite files have 1, and engines change it.
        activations: Of the int8 ONNX file.
        weights: Of both int8 files: safe on every CPU, or as the quantizer left them.
        calibration: Training images; as many of them as the recipe says give int8 the ranges that no
            quantization-aware model knows.
        golden: Images that the model has not learned from; the first `GOLDEN_IMAGES` go into the bundle with
            the outputs that the int8 files have for them.
        targets: Platforms for which the bundle gets a folder with all that an app embeds.
        make_c: The generator of C, for the target mcu.
        out: The bundle's folder.
        progress: Told of each file, and of how far the int8 files agree.

    Raises:
        ExportError: The choices do not go together, or a model cannot be exported so; `out` is untouched.
        EngineMissingError: A target needs a tool that is not here.
    """
    order = _Order(tuple(formats), tuple(precisions), io, opset, batch, activations, run.record.preprocessing)
    golden = golden.select(slice(GOLDEN_IMAGES))
    with replacing_folder(out) as folder:
        shutil.copyfile(run.reference_path, folder / REFERENCE)
        artifacts = [_reference_entry(folder)]
        islands: tuple[InspectedLayer, ...] = ()
        with progress.task("Exporting", len(formats) * len(precisions), "files") as task:
            quantized = (
                quantize(run, float_model, qat_model, io, weights, calibration)
                if Precision.INT8 in order.precisions
                else None
            )
            for content, made in _make(order, float_model, quantized):
                described = describe(content, made.format, made.precision, io, run.record)
                (folder / made.name).write_bytes(described)
                artifacts.append(_entry(folder, made, io))
                if (made.format, made.precision) == (Format.ONNX, Precision.INT8):
                    islands += inspect(folder / made.name).float_islands
                task.advance()
        steps = _write_golden(folder, golden, artifacts, order.preprocessing)
        _write_descriptions(folder, run)
        embedded = write_embedded(folder, run.record, artifacts, golden, targets, progress, make_c)
        _write_manifest(
            folder, run, artifacts, quantized.calibration if quantized else None, len(golden), steps, embedded
        )
    floats = integers.float_operators(quantized.content) if quantized else ()
    if floats:
        kinds = ", ".join(sorted(set(floats)))
        progress.say(
            f"{len(floats)} operators of the int8 model compute in float32, having no integer form: {kinds}."
        )
    for island in islands:
        progress.say(f"{island.name} of the int8 ONNX file computes in float: {island.reason}.")
    if steps is not None:
        progress.say(_checked(steps, len(golden)))
    return Bundle.open(out)


@dataclass(frozen=True, slots=True)
class _Order:
    """What to write."""

    formats: tuple[Format, ...]
    precisions: tuple[Precision, ...]
    io: Io
    opset: int
    batch: int | None
    activations: Activations
    preprocessing: Preprocessing

    def __post_init__(self) -> None:
        if not self.formats or not self.precisions:
            raise ExportError("Nothing to export: choose at least one format and one precision.")
        for precision in self.precisions:
            check_io(precision, self.io)
        check_onnx(self.opset, self.batch)


@dataclass(frozen=True, slots=True)
class _Made:
    """What one artifact is, apart from its content."""

    format: Format
    precision: Precision
    weights: Weights
    made_by: str

    @property
    def name(self) -> str:
        return f"model.{self.precision}.{self.format}"


def _make(
    order: _Order, float_model: tf_keras.Model, quantized: Quantized | None
) -> Iterator[tuple[bytes, _Made]]:
    for precision in order.precisions:
        if precision is not Precision.INT8:
            yield from _make_float(order, float_model, precision)
        elif quantized is not None:
            yield from _make_int8(order, quantized)


def _make_float(order: _Order, model: tf_keras.Model, precision: Precision) -> Iterator[tuple[bytes, _Made]]:
    weights, io, preprocessing = _FLOAT_WEIGHTS[precision], order.io, order.preprocessing
    for kind in order.formats:
        if kind is Format.TFLITE:
            content = tflite.convert(model, precision, io, preprocessing)
            yield content, _Made(kind, precision, weights, tflite.MADE_BY)
        else:
            content = onnx.convert(model, precision, io, preprocessing, order.opset, order.batch)
            yield content, _Made(kind, precision, weights, onnx.MADE_BY[precision])


_FLOAT_WEIGHTS = {
    Precision.FLOAT32: Weights.TRAINED,
    Precision.FLOAT16: Weights.ROUNDED,
    Precision.DYNAMIC: Weights.DYNAMIC,
}


def _make_int8(order: _Order, quantized: Quantized) -> Iterator[tuple[bytes, _Made]]:
    """One set of integers feeds both formats: the ONNX file is made of the TFLite file.

    So both have the weights that only ONNX Runtime needs, and stay the same network.
    """
    content = quantized.content
    for kind in order.formats:
        if kind is Format.TFLITE:
            yield content, _Made(kind, Precision.INT8, quantized.weights, quantized.made_by)
        else:
            made = _Made(kind, Precision.INT8, quantized.weights, onnx.MADE_BY[Precision.INT8])
            yield onnx.convert_int8(content, order.io, order.opset, order.batch, order.activations), made


def _entry(folder: Path, made: _Made, io: Io) -> ArtifactEntry:
    path = folder / made.name
    loaded = get_runtime(_ENGINES[made.format]).load(path, threads=1)
    return ArtifactEntry(
        file=made.name,
        format=made.format.value,
        precision=made.precision.value,
        size_bytes=path.stat().st_size,
        sha256=sha256(path),
        input=loaded.input,
        output=loaded.output,
        raw_pixels=io is Io.UINT8,
        output_step=integers.PROBABILITY_SCALE if made.precision is Precision.INT8 else None,
        weights=made.weights,
        made_by=made.made_by,
    )


def _reference_entry(folder: Path) -> ArtifactEntry:
    path = folder / REFERENCE
    loaded = get_runtime("keras").load(path, threads=1)
    return ArtifactEntry(
        file=REFERENCE,
        format="keras",
        precision="float32",
        size_bytes=path.stat().st_size,
        sha256=sha256(path),
        input=loaded.input,
        output=loaded.output,
        raw_pixels=False,
        output_step=None,
        weights=Weights.TRAINED,
        made_by=f"tf_keras {tf_keras.__version__}",
    )


def _write_golden(
    folder: Path, golden: Dataset, artifacts: Sequence[ArtifactEntry], preprocessing: Preprocessing
) -> int | None:
    """Writes the golden images, and each int8 artifact's raw outputs on them.

    Returns:
        Largest difference in output steps between the two int8 artifacts; None where there are not two.
    """
    target = folder / "golden"
    target.mkdir()
    np.save(target / "images.npy", golden.images)
    np.save(target / "labels.npy", golden.labels)
    outputs: list[Array] = []
    for artifact in artifacts:
        if artifact.precision != "int8":
            continue
        loaded = get_runtime(_ENGINES[Format(artifact.format)]).load(folder / artifact.file, threads=1)
        pixels = (
            golden.images
            if artifact.raw_pixels
            else loaded.input.quantize(preprocessing.apply(golden.images))
        )
        raw = loaded.predict(pixels)
        np.save(target / f"{artifact.file}.outputs.npy", raw)
        outputs.append(raw)
    return count_steps(*outputs) if len(outputs) == 2 else None


def count_steps(first: Array, second: Array) -> int:
    """Returns the largest difference of two int8 models' outputs in quantization steps of 1/256.

    Args:
        first: (N, classes), integers, or float32 multiples of 1/256.
        second: As `first`, same shape and dtype.
    """
    difference = np.abs(first.astype(np.float64) - second.astype(np.float64)).max()
    scale = integers.PROBABILITY_SCALE if np.issubdtype(first.dtype, np.floating) else 1
    return round(float(difference) / scale)


def _write_descriptions(folder: Path, run: Run) -> None:
    (folder / "labels.txt").write_text(
        "".join(f"{name}\n" for name in run.record.class_names), encoding="utf-8", newline="\n"
    )
    run.record.preprocessing.write(folder / "preprocessing.json")
    for name in _COPIED:
        if (run.folder / name).is_file():
            shutil.copyfile(run.folder / name, folder / name)


def _checked(steps: int, images: int) -> str:
    verdict = "agree" if steps <= MAX_TWIN_STEPS else f"differ by more than {MAX_TWIN_STEPS} steps"
    return f"Checked: both int8 files {verdict} on {images} golden images (largest difference {steps} steps)."


def _write_manifest(
    folder: Path,
    run: Run,
    artifacts: Sequence[ArtifactEntry],
    calibration: Dataset | None,
    golden_images: int,
    golden_twin_steps: int | None,
    targets: tuple[TargetEntry, ...],
) -> None:
    files = tuple(_file_entries(folder, {artifact.file for artifact in artifacts}))
    Manifest(
        name=run.record.name,
        run=run.record.name,
        recipe=run.record.recipe.name,
        class_names=run.record.class_names,
        preprocessing=run.record.preprocessing,
        reference=REFERENCE,
        artifacts=tuple(artifacts),
        files=files,
        calibration_fingerprint=calibration.fingerprint if calibration else None,
        calibration_images=len(calibration) if calibration else 0,
        golden_images=golden_images,
        golden_twin_steps=golden_twin_steps,
        tool_versions=tool_versions() | {"edgecifar": edgecifar.__version__},
        targets=targets,
    ).write(folder / "manifest.json")


def _file_entries(folder: Path, artifacts: set[str]) -> Iterator[FileEntry]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name not in artifacts:
            yield FileEntry(file=name, size_bytes=path.stat().st_size, sha256=sha256(path))
