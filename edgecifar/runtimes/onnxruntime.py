"""ONNX Runtime on the CPU, on CUDA or through TensorRT."""

import importlib.util
import json
import re
import tempfile
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from edgecifar.chatter import diverted
from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.protocol import Array, EngineInfo, TensorInfo
from edgecifar.runtimes.installed import installed

CHUNK = 100
"""Images that run in one call where the model allows any batch size and each image's result stays its own."""

_DTYPES = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64",
    "tensor(uint8)": "uint8", "tensor(int8)": "int8", "tensor(int16)": "int16",
}  # fmt: skip

_IDENTITY = bytes.fromhex(
    "08073a370a100a017812017922084964656e746974791201675a0f0a0178120a"
    "0a08080112040a020801620f0a0179120a0a08080112040a02080142040a00100d"
)
"""An ONNX model of one Identity on one float, to learn which providers really start."""


class Provider(StrEnum):
    """ONNX Runtime's own name of a processor's kernels."""

    CPU = "CPUExecutionProvider"
    CUDA = "CUDAExecutionProvider"
    TENSORRT = "TensorrtExecutionProvider"


_NAMES = {
    Provider.CUDA: ("CUDA", "pip install 'edgecifar[gpu]'"),
    Provider.TENSORRT: (
        "TensorRT",
        "pip install 'edgecifar[gpu]' and NVIDIA's TensorRT 10 libraries on LD_LIBRARY_PATH",
    ),
}
"""What people call a provider, and how they get it."""


class OnnxRuntime:
    """ONNX Runtime with one execution provider."""

    suffixes = (".onnx",)

    def __init__(self, name: str, provider: Provider) -> None:
        self.name = name
        self._provider = provider

    def missing(self) -> str | None:
        """Returns why the provider cannot run here, or None where it can.

        A provider that ONNX Runtime lists may still fail to start, so a session of one node is started.
        """
        if importlib.util.find_spec("onnxruntime") is None:
            return "ONNX Runtime is not installed. Install it with: pip install onnxruntime"
        if self._provider is Provider.CPU:
            return None
        import onnxruntime

        title, install = _NAMES[self._provider]
        if self._provider not in onnxruntime.get_available_providers():
            return f"This build of ONNX Runtime has no {title}. It needs: {install}"
        with diverted() as chatter:
            onnxruntime.preload_dlls()
            session = onnxruntime.InferenceSession(_IDENTITY, providers=[self._provider])
        if self._provider in session.get_providers():
            return None
        cause = re.search(r"with error: (.+)|(CUDA failure .+)", chatter.text)
        detail = f" ({cause.group(0).removeprefix('with error: ').strip()})" if cause else ""
        return f"ONNX Runtime cannot start {title}{detail}: it needs a GPU and: {install}"

    def identity(self) -> dict[str, str] | None:
        """Returns the version that is installed, without starting the engine; None where a GPU computes."""
        if self._provider is not Provider.CPU:
            return None
        # One engine under two names.
        return installed("onnxruntime-gpu") or installed("onnxruntime")

    def load(self, path: Path, threads: int) -> "OnnxModel":
        """Returns the model of an `.onnx` file.

        Raises:
            EngineMissingError: ONNX Runtime or its provider does not start here.
            ModelError: The file is missing, damaged, or no image classifier.
        """
        reason = self.missing()
        if reason is not None:
            raise EngineMissingError(reason)
        return OnnxModel(path, _read(path), self.name, self._provider, threads)


class OnnxModel:
    """An ONNX model in a session."""

    def __init__(self, path: Path, content: bytes, name: str, provider: Provider, threads: int) -> None:
        self._path = path
        with tempfile.TemporaryDirectory() as folder:
            self._session = _start(path, content, provider, threads, Path(folder) / "profile")
            inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
            if len(inputs) != 1 or len(outputs) != 1:
                found = f"{len(inputs)} inputs and {len(outputs)} outputs"
                raise ModelError(f"{path}: has {found}; an image classifier has one of each.")
            metadata = self._session.get_modelmeta().custom_metadata_map
            self.input = _tensor_info(path, inputs[0], metadata)
            self.output = _tensor_info(path, outputs[0], metadata)
            batch = self.input.shape[0] if self.input.shape else None
            # The scale of a dynamically quantized activation is that of the whole batch: an image's result
            # would depend on the images beside it.
            self._chunk = batch or (1 if b"DynamicQuantizeLinear" in content else CHUNK)
            device = str(provider) if provider is Provider.CPU else self._measure_device()
        self.info = EngineInfo(name, "ONNX Runtime", _version(), device, threads)

    def predict(self, batch: Array) -> Array:
        """Returns the raw outputs for a batch of any size.

        Raises:
            ModelError: The batch is not of the input's shape or dtype, or the engine fails on it.
        """
        problem = self.input.mismatch(batch)
        if problem:
            raise ModelError(f"{self._path}: {problem}")
        pieces = [
            self._run(batch[start : start + self._chunk]) for start in range(0, len(batch), self._chunk)
        ]
        return np.concatenate(pieces) if pieces else self.output.empty()

    def _run(self, batch: Array) -> Array:
        count = len(batch)
        if self.input.shape[0] is not None and count < self._chunk:
            # The last image again, not zeros: its values do not widen a range that is taken over the batch.
            batch = np.concatenate([batch, np.repeat(batch[-1:], self._chunk - count, axis=0)])
        try:
            outputs = self._session.run([self.output.name], {self.input.name: batch})
        except engine_errors() as error:
            raise ModelError(f"{self._path}: ONNX Runtime fails on it: {reason_of(error)}.") from error
        output: Array = outputs[0]
        return output[:count]

    def _measure_device(self) -> str:
        """Returns which providers computed a profiled run, by their share of the operators."""
        shape = (self._chunk, *(size or 1 for size in self.input.shape[1:]))
        self._run(np.zeros(shape, self.input.dtype))
        events = json.loads(Path(self._session.end_profiling()).read_text(encoding="utf-8"))
        return describe_providers(events)


def describe_providers(events: list[dict[str, Any]]) -> str:
    """Returns the provider that computed most operators of an ONNX Runtime profile, and what others computed.

    Args:
        events: The decoded JSON that `InferenceSession.end_profiling` wrote.
    """
    providers = {
        event["name"]: event["args"]["provider"]
        for event in events
        if event.get("cat") == "Node" and event.get("args", {}).get("provider")
    }
    (first, _), *others = Counter(providers.values()).most_common() or [(Provider.CPU, 0)]
    parts = [first, *(f"{name} for {count} of {len(providers)} operators" for name, count in others)]
    return ", ".join(str(part) for part in parts)


def _start(path: Path, content: bytes, provider: Provider, threads: int, profile: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # PyTorch writes weights into a file beside the model; of a model in memory the engine knows no place.
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(path.resolve().parent)
    )
    providers = [Provider.CPU]
    if provider is not Provider.CPU:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
        # TensorRT leaves to CUDA what it cannot compute.
        between = [Provider.CUDA] if provider is Provider.TENSORRT else []
        providers = [provider, *between, Provider.CPU]
    try:
        with diverted():
            return onnxruntime.InferenceSession(content, options, providers=providers)
    except engine_errors() as error:
        raise ModelError(f"{path}: ONNX Runtime refuses it: {reason_of(error)}.") from error


def engine_errors() -> tuple[type[Exception], ...]:
    """Returns ONNX Runtime's exceptions: they have no common base but Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (
        state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NoModel,
        state.NotImplemented, state.RuntimeException, state.EPFail, state.NoSuchFile,
    )  # fmt: skip


def reason_of(error: Exception) -> str:
    """Returns ONNX Runtime's message without its code: "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : ..."."""
    return str(error).strip().splitlines()[0].rsplit(" : ", 1)[-1].rstrip(".")


def _version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)


def _tensor_info(path: Path, argument: Any, metadata: dict[str, str]) -> TensorInfo:
    """Returns an input or output as the session describes it, with its scale where the metadata has it.

    ONNX has no place for the scale of a graph's input or output; edgecifar writes it into the metadata,
    under "quantization.NAME", as {"scale": s, "zero_point": z}.
    """
    if argument.type not in _DTYPES:
        raise ModelError(
            f"{path}: {argument.name} is of type {argument.type}, which no image classifier here uses."
        )
    key = f"quantization.{argument.name}"
    scale = zero_point = None
    if key in metadata:
        try:
            said = json.loads(metadata[key])
            scale, zero_point = float(said["scale"]), int(said["zero_point"])
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(f"{path}: its metadata {key} are no scale and zero point.") from error
    return TensorInfo(
        name=argument.name,
        shape=tuple(size if isinstance(size, int) else None for size in argument.shape),
        dtype=_DTYPES[argument.type],
        scale=scale,
        zero_point=zero_point,
    )


def _read(path: Path) -> bytes:
    """Returns the file's content if it is a whole protobuf message as far as its outline tells."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}).") from error
    if not content:
        raise ModelError(f"{path}: the file is empty.", "Copy or export it again.")
    promised = _promised_size(content)
    if promised is None:
        raise ModelError(f"{path}: not an ONNX model.")
    if promised > len(content):
        raise ModelError(
            f"{path}: ends after {len(content):,} bytes but its header promises {promised:,}.",
            "The file was cut short; copy or export it again.",
        )
    return content


_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_GRAPH = 7


def _promised_size(content: bytes) -> int | None:
    """Returns the size that the top level of a protobuf message asks for; None if it is no ONNX model.

    Source: the protobuf wire format, and `ModelProto.graph` as field 7 of onnx.proto, whose highest field
    number is below 32.
    """
    position, has_graph = 0, False
    while position < len(content):
        key, position = _varint(content, position)
        number, wire_type = key >> 3, key & 7
        if not 0 < number < 32 or wire_type not in {_VARINT, _FIXED64, _BYTES, _FIXED32}:
            return None
        has_graph = has_graph or (number, wire_type) == (_GRAPH, _BYTES)
        if wire_type == _VARINT:
            _, position = _varint(content, position)
        elif wire_type == _BYTES:
            length, position = _varint(content, position)
            position += length
        else:
            position += 8 if wire_type == _FIXED64 else 4
    return position if has_graph or position > len(content) else None


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """Returns a protobuf variable-length integer and the position after it, past the end if it is cut."""
    value = shift = 0
    while position < len(content):
        byte = content[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    return value, len(content) + 1


CPU = OnnxRuntime("ort-cpu", Provider.CPU)
CUDA = OnnxRuntime("ort-cuda", Provider.CUDA)
TENSORRT = OnnxRuntime("ort-tensorrt", Provider.TENSORRT)
