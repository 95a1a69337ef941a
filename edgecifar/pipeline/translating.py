"""export --format c: an int8 model as integer-only C, with a self-test from the engine itself."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecifar.artifacts import Bundle, Run
from edgecifar.artifacts.files import replacing_folder
from edgecifar.choices import Numerics
from edgecifar.errors import EdgecifarError, EngineMissingError, ModelError
from edgecifar.exporting.options import Format, Io, Precision
from edgecifar.microcontroller.generating import Golden
from edgecifar.microcontroller.graph import Graph
from edgecifar.microcontroller.reading import read
from edgecifar.microcontroller.translating import Translation, translate
from edgecifar.pipeline.making import export
from edgecifar.pipeline.places import EXPORTED, check_room, is_bundle
from edgecifar.progress import SILENT, Progress
from edgecifar.protocol import Array, LoadedModel
from edgecifar.runtimes import get_runtime

ENGINES = {
    Numerics.REFERENCE: "litert-reference",
    Numerics.XNNPACK: "litert",
    Numerics.TFLM: "tflm",
}
"""The runtimes whose bits the C gives."""
GOLDEN_IMAGES = 4
"""Images in the self-test: they lie in the device's flash."""


@dataclass(frozen=True, slots=True)
class CExport:
    """Generated C in a folder, and what it needs."""

    folder: Path
    files: tuple[str, ...]
    numerics: str
    arena_bytes: int
    bound_bytes: int
    """What the plan's layers hold at once at the most: no placement needs less."""
    unstreamed_bytes: int
    """The arena if each layer ran alone."""
    constant_bytes: int
    """Weights, biases, scales and tables, with 8-bit weights."""
    multiply_adds: int
    selftest_images: int
    """0 where the engine could not be asked."""


def export_c(
    source: Run | Bundle | Path | str,
    *,
    numerics: Numerics = Numerics.XNNPACK,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> CExport:
    """Writes an int8 model as C sources.

    Args:
        source: A run, a bundle with an int8 TFLite file, or such a file, whoever made it.
        numerics: The engine whose bits the C gives.
        out: Folder of the sources; None: `exported/NAME-c`.
        data_dir: Where the images lie that a run is calibrated on.
        force: Whether sources that are already in `out` are replaced.
        progress: Told of each step.

    Raises:
        ModelError: There is no int8 TFLite file, or `out` is in use.
        ExportError: An operator of which no C is generated, or a float model.
    """
    with tempfile.TemporaryDirectory(prefix="edgecifar-c-") as temporary:
        if isinstance(source, Run):
            name = source.record.name
            folder = Path(temporary) / "bundle"
            source = export(
                source, formats=[Format.TFLITE], precisions=[Precision.INT8], io=Io.INT8, out=folder,
                data_dir=data_dir, progress=progress,
            )  # fmt: skip
            model, labels, images = _of_bundle(source)
        elif isinstance(source, Bundle) or is_bundle(Path(source)):
            bundle = source if isinstance(source, Bundle) else Bundle.open(Path(source))
            name = bundle.manifest.name
            model, labels, images = _of_bundle(bundle)
        else:
            model, labels, images = Path(source), (), None
            name = model.stem.removesuffix(".int8")
        target = EXPORTED / f"{name}-c" if out is None else Path(out)
        check_room(target, _is_generated, force=force)
        return _write(model, name, labels, images, numerics, target, progress)


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
    model: Path,
    name: str,
    labels: tuple[str, ...],
    images: Array | None,
    numerics: Numerics,
    target: Path,
    progress: Progress,
) -> CExport:
    try:
        content = model.read_bytes()
    except OSError as error:
        raise ModelError(f"{model}: cannot be read ({error.strerror}).") from error
    try:
        graph = read(content)
        golden = _golden(graph, model, images, numerics, progress)
        made = translate(content, numerics, name=name, labels=labels, golden=golden)
    except EdgecifarError as error:
        raise type(error)(f"{model}: {error.problem}", error.mend) from error
    with replacing_folder(target) as folder:
        for file, text in made.files.items():
            (folder / file).write_text(text)
    return _told(made, target, numerics, 0 if golden is None else len(golden.inputs))


def _told(made: Translation, folder: Path, numerics: Numerics, images: int) -> CExport:
    return CExport(
        folder=folder,
        files=tuple(made.files),
        numerics=str(numerics),
        arena_bytes=made.plan.arena_bytes,
        bound_bytes=made.plan.bound_bytes,
        unstreamed_bytes=made.plan.unstreamed_bytes,
        constant_bytes=made.constant_bytes,
        multiply_adds=made.multiply_adds,
        selftest_images=images,
    )


def _golden(
    graph: Graph, model: Path, images: Array | None, numerics: Numerics, progress: Progress
) -> Golden | None:
    """Returns images, or random ones, and what the engine gives for them; None where it is not here."""
    runtime = get_runtime(ENGINES[numerics])
    try:
        engine = runtime.load(model, threads=1)
    except EngineMissingError as error:
        progress.say(f"Without a self-test: {error.problem}")
        return None
    shape = graph.input.shape[1:]
    if images is None or images.shape[1:] != shape:
        images = np.random.default_rng(0).integers(0, 256, (GOLDEN_IMAGES, *shape), np.uint8)
    pixels = images[:GOLDEN_IMAGES].astype(np.uint8)
    signed = (pixels ^ np.uint8(0x80)).view(np.int8)
    outputs = _signed_output(engine, graph, engine.predict(_for(engine, graph)(signed)))
    return Golden(signed.reshape(len(signed), -1), outputs.reshape(len(signed), -1))


def _for(engine: LoadedModel, graph: Graph) -> Callable[[Array], Array]:
    """Returns what turns the network's int8 input into the file's own input."""

    def convert(signed: Array) -> Array:
        if engine.input.dtype == "uint8":
            return signed.view(np.uint8) ^ np.uint8(0x80)
        if engine.input.dtype == "int8":
            return signed
        centred = signed.astype(np.float32) - np.float32(graph.input.zero_point)
        return centred * graph.input.scale

    return convert


def _signed_output(engine: LoadedModel, graph: Graph, outputs: Array) -> Array:
    """Returns the network's int8 output from the file's own."""
    if engine.output.dtype == "uint8":
        return (outputs ^ np.uint8(0x80)).view(np.int8)
    if engine.output.dtype == "int8":
        return outputs
    # Dequantized values, each a step of the integer output.
    return (np.rint(outputs / graph.output.scale) + graph.output.zero_point).astype(np.int8)
