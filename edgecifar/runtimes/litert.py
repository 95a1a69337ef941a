"""LiteRT (TensorFlow Lite) with its XNNPACK, built-in or reference kernels."""

import importlib.metadata
import importlib.util
import math
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from edgecifar.chatter import diverted
from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.protocol import Array, EngineInfo, TensorInfo
from edgecifar.runtimes.installed import installed

CHUNK = 50
"""Images that XNNPACK runs in one call: 1.3 to 1.8 times as fast as one by one, and no faster beyond."""

_LARGEST_TENSOR = 1 << 28
"""Elements: a hundred times what an image classifier for small devices needs."""


class Kernels(Enum):
    """A set of kernels: the interpreter's name for its resolver, and ours."""

    XNNPACK = ("AUTO", "XNNPACK kernels")
    BUILTIN = ("BUILTIN_WITHOUT_DEFAULT_DELEGATES", "built-in kernels")
    REFERENCE = ("BUILTIN_REF", "reference kernels")


class LiteRT:
    """The LiteRT interpreter with one set of kernels."""

    suffixes = (".tflite",)

    def __init__(self, name: str, kernels: Kernels) -> None:
        self.name = name
        self._kernels = kernels

    def missing(self) -> str | None:
        """Returns why LiteRT cannot run here, or None where it can."""
        if importlib.util.find_spec("ai_edge_litert") is None:
            return "LiteRT is not installed. Install it with: pip install ai-edge-litert"
        return None

    def identity(self) -> dict[str, str] | None:
        """Returns the version that is installed, without starting the engine; None where there is none."""
        return installed("ai-edge-litert")

    def load(self, path: Path, threads: int) -> "LiteRTModel":
        """Returns the model of a `.tflite` file.

        Raises:
            EngineMissingError: LiteRT is not installed.
            ModelError: The file is missing, damaged, or no image classifier.
        """
        reason = self.missing()
        if reason is not None:
            raise EngineMissingError(reason)
        return LiteRTModel(path, _read(path), self.name, self._kernels, threads)


class LiteRTModel:
    """A TFLite model in the interpreter."""

    def __init__(self, path: Path, content: bytes, name: str, kernels: Kernels, threads: int) -> None:
        self._path = path
        self._content = content
        self._kernels = kernels
        self._threads = threads
        with self._naming_the_file():
            self._interpreter = self._start()
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
            if len(inputs) != 1 or len(outputs) != 1:
                found = f"{len(inputs)} inputs and {len(outputs)} outputs"
                raise ModelError(f"{path}: has {found}; an image classifier has one of each.")
            self._indices = int(inputs[0]["index"]), int(outputs[0]["index"])
            names = _signature_names(self._interpreter)
            self.input = _tensor_info(inputs[0], names[0])
            self.output = _tensor_info(outputs[0], names[1])
            version = importlib.metadata.version("ai-edge-litert")
            self.info = EngineInfo(name, "LiteRT", version, self._device(), threads)
            self._batch = 0
            """The batch size that tensors are allocated for; 0: the file's own, whatever it is."""
            self._only_batch: int | None = None
            """The one batch size that the graph computes; None: any."""
            self._chunk = self._find_chunk()

    def predict(self, batch: Array) -> Array:
        """Returns the raw outputs for a batch of any size; each image's is what it gives alone.

        Raises:
            ModelError: The batch is not of the input's shape or dtype, or the engine fails on it.
        """
        problem = self.input.mismatch(batch)
        if problem:
            raise ModelError(f"{self._path}: {problem}")
        with self._naming_the_file():
            pieces = [self._run(batch[at : at + self._chunk]) for at in range(0, len(batch), self._chunk)]
        return np.concatenate(pieces) if pieces else self.output.empty()

    @contextmanager
    def _naming_the_file(self) -> Iterator[None]:
        """Turns what the interpreter raises on a damaged model into an error that names the file."""
        try:
            yield
        except (ValueError, RuntimeError, MemoryError) as error:
            unknown = re.search(r"Didn't find op for builtin opcode '(\w+)'", str(error))
            if unknown:
                reason = f"LiteRT's {self._kernels.value[1]} cannot compute {unknown[1]}"
            else:
                reason = f"LiteRT refuses it: {_first_line(error)}"
            raise ModelError(f"{self._path}: {reason}.") from error

    def _start(self) -> Any:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver = OpResolverType[self._kernels.value[0]]
        with diverted():
            interpreter = Interpreter(
                model_content=self._content, num_threads=self._threads, experimental_op_resolver_type=resolver
            )
            for details in interpreter.get_tensor_details():
                _check_tensor(details)
            interpreter.allocate_tensors()
        return interpreter

    def _device(self) -> str:
        if self._kernels is not Kernels.XNNPACK:
            return f"CPU, {self._kernels.value[1]}"
        # No public call tells whether a delegate took the graph.
        operators = self._interpreter._get_ops_details()  # noqa: SLF001
        if any(operator["op_name"] == "DELEGATE" for operator in operators):
            return "CPU, XNNPACK"
        return "CPU, built-in kernels (XNNPACK took no operator)"

    def _find_chunk(self) -> int:
        """Returns how many images to run in one call: more than one only where that changes no bit.

        Built-in float kernels round differently in batches, and a graph may hold its batch size in a
        constant, so two random images run apart and together.
        """
        shape = (2, *(size or 1 for size in self.input.shape[1:]))
        probe = np.random.default_rng(0).integers(0, 128, shape).astype(self.input.dtype)
        try:
            alone = np.concatenate([self._run(probe[:1]), self._run(probe[1:])])
        except (ValueError, RuntimeError):
            own = self.input.shape[0] or 1
            if own == 1:
                raise
            self._interpreter, self._batch, self._only_batch = self._start(), own, own
            return own
        if self._kernels is not Kernels.XNNPACK:
            return 1
        try:
            together = self._run(probe)
        except (ValueError, RuntimeError):
            # The failed resize leaves the interpreter unusable.
            self._interpreter, self._batch = self._start(), 0
            return 1
        return CHUNK if np.array_equal(alone, together) else 1

    def _run(self, batch: Array) -> Array:
        input_index, output_index = self._indices
        count = len(batch)
        if self._only_batch is not None and count < self._only_batch:
            batch = np.concatenate([batch, np.repeat(batch[-1:], self._only_batch - count, axis=0)])
        if len(batch) != self._batch:
            with diverted():
                self._interpreter.resize_tensor_input(input_index, batch.shape)
                self._interpreter.allocate_tensors()
            self._batch = len(batch)
        self._interpreter.set_tensor(input_index, np.ascontiguousarray(batch))
        self._interpreter.invoke()
        output: Array = self._interpreter.get_tensor(output_index)
        return output[:count]


def _read(path: Path) -> bytes:
    """Returns the file's content if it is a whole TFLite file as far as its outline tells.

    LiteRT verifies every table of the content itself; this is for messages that a person can act on.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}).") from error
    if not content:
        raise ModelError(f"{path}: the file is empty.", "Copy or export it again.")
    if content[4:8] != b"TFL3":
        raise ModelError(f"{path}: not a TFLite model (bytes 4 to 7 are not TFL3).")
    promised = _promised_size(content)
    if promised > len(content):
        raise ModelError(
            f"{path}: ends after {len(content):,} bytes but its header promises at least {promised:,}.",
            "The file was cut short; copy or export it again.",
        )
    return content


def _promised_size(content: bytes) -> int:
    """Returns the least size that the file's outline asks for: its root table and its buffers of weights.

    Source: the flatbuffers wire format, and `Model.buffers` as field 4 and `Buffer.data` as field 0 of
    the TFLite schema.
    """
    reader = _Reader(content)
    root = reader.unsigned(0)
    buffers = reader.field(root, 4)
    for index in range(min(reader.unsigned(buffers), len(content)) if buffers else 0):
        element = buffers + 4 * (index + 1)
        data = reader.field(element + reader.unsigned(element), 0)
        if data:
            reader.reach(data + 4 + reader.unsigned(data))
    return reader.furthest


class _Reader:
    """Reads flatbuffers fields and remembers the furthest byte they refer to; beyond the end all is 0."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.furthest = 0

    def reach(self, end: int) -> None:
        self.furthest = max(self.furthest, end)

    def unsigned(self, position: int) -> int:
        return self._unpack("<I", position)

    def field(self, table: int, number: int) -> int:
        """Returns the position of what a table's field refers to; 0 where the table lacks it."""
        vtable = table - self._unpack("<i", table)
        slot = 4 + 2 * number
        offset = self._unpack("<H", vtable + slot) if self._unpack("<H", vtable) > slot else 0
        return table + offset + self.unsigned(table + offset) if offset else 0

    def _unpack(self, layout: str, position: int) -> int:
        end = position + struct.calcsize(layout)
        self.reach(end)
        if position < 0 or end > len(self._content):
            return 0
        return int(struct.unpack_from(layout, self._content, position)[0])


def _check_tensor(details: dict[str, Any]) -> None:
    """Returns if a tensor's size and quantization are possible: with damaged ones XNNPACK ends the process.

    LiteRT verifies where a file's tables lie, not every number in them.

    Raises:
        ValueError: They are not.
    """
    name = ascii(details["name"])
    if (
        math.prod(int(size) for size in details["shape"]) > _LARGEST_TENSOR
        or min(details["shape"], default=0) < 0
    ):
        raise ValueError(f"tensor {name} has an impossible shape")
    parameters = details["quantization_parameters"]
    scales, zero_points = parameters["scales"], parameters["zero_points"]
    if not np.all(np.isfinite(scales) & (scales > 0)):
        raise ValueError(f"tensor {name} has an impossible scale")
    dtype = np.dtype(details["dtype"])
    if len(scales) and np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        if np.any((zero_points < limits.min) | (zero_points > limits.max)):
            raise ValueError(f"tensor {name} has an impossible zero point")


def _signature_names(interpreter: Any) -> tuple[str | None, str | None]:
    """Returns the names of input and output that the one signature gives, if there is one."""
    signatures = list(interpreter.get_signature_list().values())
    if len(signatures) != 1 or len(signatures[0]["inputs"]) != 1 or len(signatures[0]["outputs"]) != 1:
        return None, None
    return signatures[0]["inputs"][0], signatures[0]["outputs"][0]


def _tensor_info(details: dict[str, Any], name: str | None) -> TensorInfo:
    scale, zero_point = details["quantization"]
    signature = details["shape_signature"] if len(details["shape_signature"]) else details["shape"]
    return TensorInfo(
        name=name or str(details["name"]),
        shape=tuple(None if size < 0 else int(size) for size in signature),
        dtype=np.dtype(details["dtype"]).name,
        scale=float(scale) if scale else None,
        zero_point=int(zero_point) if scale else None,
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


XNNPACK = LiteRT("litert", Kernels.XNNPACK)
BUILTIN = LiteRT("litert-builtin", Kernels.BUILTIN)
REFERENCE = LiteRT("litert-reference", Kernels.REFERENCE)
