"""C of an int8 TFLite file, with a self-test from the engine whose bits it gives."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edgecifar.choices import Numerics, Optimize
from edgecifar.errors import EdgecifarError, EngineMissingError, ModelError
from edgecifar.exporting.targets.material import CSources
from edgecifar.microcontroller.generating import Golden
from edgecifar.microcontroller.graph import Graph
from edgecifar.microcontroller.reading import read
from edgecifar.microcontroller.translating import Translation, translate
from edgecifar.progress import SILENT, Progress
from edgecifar.protocol import Array, LoadedModel, TensorInfo
from edgecifar.runtimes import get_runtime

ENGINES = {
    Numerics.REFERENCE: "litert-reference",
    Numerics.XNNPACK: "litert",
    Numerics.TFLM: "tflm",
}
"""The runtimes whose bits the C gives."""
GOLDEN_IMAGES = 4
"""Images in the self-test: they lie in the device's flash."""


def make_c(
    model: Path,
    name: str,
    labels: Sequence[str],
    images: Array | None,
    numerics: Numerics,
    optimize: Optimize = Optimize.SPEED,
    progress: Progress = SILENT,
) -> tuple[Translation, int]:
    """Returns the C of an int8 TFLite file, and how many images its self-test has: 0 without the engine.

    Args:
        model: The file.
        name: Of the model.
        labels: Names of the classes; none, or as many as there are outputs.
        images: Pixels (N, ...) for the self-test; None, or of another shape than the input: random ones.
        numerics: The engine whose bits the C gives.
        optimize: What the C spares most.
        progress: Told where there is no self-test.

    Raises:
        ModelError: Not a TFLite file.
        ExportError: An operator of which no C is generated, or a float model.
    """
    try:
        content = model.read_bytes()
    except OSError as error:
        raise ModelError(f"{model}: cannot be read ({error.strerror}).") from error
    try:
        graph = read(content)
        golden = _golden(graph, model, images, numerics, progress)
        made = translate(content, numerics, name=name, optimize=optimize, labels=labels, golden=golden)
    except EdgecifarError as error:
        raise type(error)(f"{model}: {error.problem}", error.mend) from error
    return made, 0 if golden is None else len(golden.inputs)


def make_c_for_bundle(
    model: Path,
    name: str,
    labels: Sequence[str],
    images: Array,
    preprocess: Callable[[Array], Array] | None,
) -> CSources:
    """Returns the C of a bundle's int8 TFLite file, in the numerics of LiteRT with XNNPACK.

    Args:
        model: The file.
        name: Of the model.
        labels: Names of the classes.
        images: The golden images: uint8 (N, height, width, channels).
        preprocess: Makes real inputs of pixels; None where the file takes pixels.

    Raises:
        ExportError: An operator of which no C is generated.
    """
    numerics = Numerics.XNNPACK
    graph = read(model.read_bytes())
    every = np.arange(256, dtype=np.uint8)
    table = _as_signed(every)
    if preprocess is not None:
        declared = TensorInfo(
            "input", graph.input.shape, "int8", float(graph.input.scale), graph.input.zero_point
        )
        table = declared.quantize(preprocess(every.reshape(256, 1, 1, 1))).ravel()
    inputs = table[images]
    outputs = _answers(get_runtime(ENGINES[numerics]).load(model, threads=1), graph, inputs)
    flat = inputs.reshape(len(inputs), -1)
    golden = Golden(flat[:GOLDEN_IMAGES], outputs[:GOLDEN_IMAGES])
    made = translate(model.read_bytes(), numerics, name=name, labels=labels, golden=golden)
    return CSources(made.files, table, flat, outputs, made.plan.arena_bytes)


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
    signed = _as_signed(images[:GOLDEN_IMAGES].astype(np.uint8))
    return Golden(signed.reshape(len(signed), -1), _answers(engine, graph, signed))


def _as_signed(pixels: Array) -> Array:
    """Returns what the C makes of pixels: byte b is the integer b - 128."""
    return (pixels ^ np.uint8(0x80)).view(np.int8)


def _answers(engine: LoadedModel, graph: Graph, signed: Array) -> Array:
    """Returns what the engine gives for inputs of the network, as the network's outputs: int8 (N, size)."""
    outputs = engine.predict(_fed(engine, graph, signed))
    return _signed_output(engine, graph, outputs).reshape(len(signed), -1)


def _fed(engine: LoadedModel, graph: Graph, signed: Array) -> Array:
    """Returns the file's own input from the network's int8 input."""
    if engine.input.dtype == "uint8":
        return signed.view(np.uint8) ^ np.uint8(0x80)
    if engine.input.dtype == "int8":
        return signed
    centred = signed.astype(np.float32) - np.float32(graph.input.zero_point)
    return centred * graph.input.scale


def _signed_output(engine: LoadedModel, graph: Graph, outputs: Array) -> Array:
    """Returns the network's int8 output from the file's own."""
    if engine.output.dtype == "uint8":
        return (outputs ^ np.uint8(0x80)).view(np.int8)
    if engine.output.dtype == "int8":
        return outputs
    # Dequantized values, each a step of the integer output.
    return (np.rint(outputs / graph.output.scale) + graph.output.zero_point).astype(np.int8)
