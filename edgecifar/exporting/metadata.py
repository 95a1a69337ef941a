"""What a model file says of itself: TFLite's standard metadata with the labels, and ONNX's metadata_props.

TFLite: a FlatBuffer `ModelMetadata` (metadata_schema.fbs of MediaPipe, identifier M001) in a buffer that the
model's metadata calls TFLITE_METADATA, and the labels as a zip archive behind the model. MediaPipe Tasks,
ML Kit and Android Studio read both. ONNX: the names of the standard's MetadataProps.md, and `names` as
Ultralytics writes it.
"""

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
import onnx
from tensorflow.lite.python import schema_py_generated as schema

from edgecifar.artifacts import Preprocessing
from edgecifar.protocol import Array

LABELS = "labels.txt"
BUFFER = "TFLITE_METADATA"
_MODEL_IDENTIFIER = b"TFL3"
_METADATA_IDENTIFIER = b"M001"
_PARSER_VERSION = "1.0.0"
_EARLIEST_DATE = (1980, 1, 1, 0, 0, 0)
"""Of files in a zip archive; a fixed one, so that the same model gives the same bytes."""
_BUFFER_ALIGNMENT = 16
"""Of constants, by TFLite's schema; kernels read vectors from there."""

# Values of metadata_schema.fbs.
_TENSOR_AXIS_LABELS = 2
_IMAGE_PROPERTIES = 2
_RGB = 1
_NORMALIZATION_OPTIONS = 1


@dataclass(frozen=True, slots=True)
class Description:
    """What a file says of itself."""

    name: str
    summary: str
    """One sentence."""
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    raw_pixels: bool
    """Whether the input takes the pixels' bytes."""

    @property
    def labels(self) -> bytes:
        """The labels' file: one class a line, in the order of the outputs."""
        return "".join(f"{name}\n" for name in self.class_names).encode()


def describe_tflite(content: bytes, description: Description) -> bytes:
    """Returns a TFLite file with metadata and labels; what it computes is untouched.

    Args:
        content: The file; such metadata that it has is replaced. Anything that edits the file must come
            before this.
        description: What it says.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    types = [graph.tensors[index].type for index in (graph.inputs[0], graph.outputs[0])]
    quantized = graph.tensors[graph.inputs[0]].quantization
    has_scale = quantized is not None and quantized.scale is not None
    metadata = _buffer(_model_metadata(description, types, is_normalized=has_scale))
    entries = list(model.metadata or [])
    former = next((entry for entry in entries if entry.name in {BUFFER, BUFFER.encode()}), None)
    if former is None:
        entry = schema.MetadataT()
        entry.name, entry.buffer = BUFFER, len(model.buffers)
        model.metadata = [*entries, entry]
        model.buffers.append(metadata)
    else:
        model.buffers[former.buffer] = metadata
    model.buffers = [_Aligned(buffer) for buffer in model.buffers]
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), _MODEL_IDENTIFIER)
    return _with_labels(bytes(builder.Output()), description.labels)


def describe_onnx(content: bytes, description: Description) -> bytes:
    """Returns an ONNX file whose metadata_props say what its input and outputs are; others are kept."""
    model = onnx.load_from_string(content)
    taken = {prop.key: prop.value for prop in model.metadata_props} | onnx_properties(description)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(sorted(taken.items())))
    model.doc_string = description.summary
    described: bytes = model.SerializeToString(deterministic=True)
    return described


def onnx_properties(description: Description) -> dict[str, str]:
    """Returns the metadata_props that a description becomes."""
    preprocessing = description.preprocessing
    mean, std = (0.0, 1.0) if description.raw_pixels else (preprocessing.mean, preprocessing.std)
    return {
        "description": description.summary,
        "edgecifar.preprocessing": json.dumps({"mean": mean, "std": std, "layout": "NHWC", "order": "RGB"}),
        "Image.BitmapPixelFormat": "Rgb8",
        "Image.ColorSpaceGamma": "SRGB",
        "Image.NominalPixelRange": "NominalRange_0_255",
        "imgsz": json.dumps([preprocessing.height, preprocessing.width]),
        "names": repr(dict(enumerate(description.class_names))),
        "task": "classify",
    }


class _Aligned(schema.BufferT):
    """A constant that keeps the alignment of the schema, which the generated code loses."""

    def __init__(self, buffer: Any) -> None:
        super().__init__()
        self.data, self.offset, self.size = buffer.data, buffer.offset, buffer.size

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802  the generated code's name
        data = None
        if self.data is not None and len(self.data):
            content = np.asarray(self.data, np.uint8).tobytes()
            builder.StartVector(1, len(content), _BUFFER_ALIGNMENT)
            builder.head -= len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return int(schema.BufferEnd(builder))


def _buffer(content: bytes) -> Any:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    return buffer


def _with_labels(content: bytes, labels: bytes) -> bytes:
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as archive:
        member = zipfile.ZipInfo(LABELS, _EARLIEST_DATE)
        # Unix, wherever this runs.
        member.create_system = 3
        archive.writestr(member, labels)
    return file.getvalue()


def _model_metadata(description: Description, types: list[int], *, is_normalized: bool) -> bytes:
    """Returns a FlatBuffer ModelMetadata.

    Args:
        description: What it says.
        types: Of the input and output tensor, schema.TensorType.
        is_normalized: Whether an input of bytes has a scale and zero point, so that its real values are
            preprocessed ones.
    """
    writer = _Writer()
    preprocessing = description.preprocessing
    plain = description.raw_pixels and not is_normalized
    mean, std = (0.0, 1.0) if plain else (preprocessing.mean, preprocessing.std)
    size = writer.table(writer.uint(preprocessing.width), writer.uint(preprocessing.height))
    image = writer.table(writer.byte(_RGB), size)
    content = writer.table(writer.byte(_IMAGE_PROPERTIES), image)
    options = writer.table(writer.floats([mean]), writer.floats([std]))
    normalization = writer.table(writer.byte(_NORMALIZATION_OPTIONS), options)
    limits = (np.array([0, 255], np.float32) - np.float32(mean)) / np.float32(std)
    stats = writer.table(writer.floats(limits[1:]), writer.floats(limits[:1]))
    labels = writer.table(
        writer.text(LABELS),
        writer.text("The classes, in the order of the outputs."),
        writer.byte(_TENSOR_AXIS_LABELS),
    )
    source = writer.table(
        writer.text("image"),
        writer.text("RGB, rows from the top, stretched to the model's size."),
        None,
        content,
        writer.tables([normalization]),
        stats,
    )
    is_float = types[1] == schema.TensorType.FLOAT32
    range_ = writer.table(writer.floats([1.0] if is_float else [255.0]), writer.floats([0.0]))
    result = writer.table(
        writer.text("probability"),
        writer.text("One probability a class."),
        None,
        None,
        None,
        range_,
        writer.tables([labels]),
    )
    graph = writer.table(None, None, writer.tables([source]), writer.tables([result]))
    root = writer.table(
        writer.text(description.name),
        writer.text(description.summary),
        None,
        writer.tables([graph]),
        None,
        None,
        None,
        writer.text(_PARSER_VERSION),
    )
    return writer.finish(root)


@dataclass(frozen=True, slots=True)
class _Value:
    """What stands in a slot of a FlatBuffer table: a number, or the place of a thing written before."""

    number: int
    kind: str


class _Writer:
    """Writes FlatBuffer tables by the numbers of their slots, in the order of the schema."""

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1024)

    @staticmethod
    def byte(number: int) -> _Value:
        return _Value(number, "byte")

    @staticmethod
    def uint(number: int) -> _Value:
        return _Value(number, "uint")

    def text(self, text: str) -> _Value:
        return _Value(self._builder.CreateString(text), "offset")

    def floats(self, values: Array | list[float]) -> _Value:
        return _Value(self._builder.CreateNumpyVector(np.asarray(values, np.float32)), "offset")

    def tables(self, tables: list[_Value]) -> _Value:
        self._builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            self._builder.PrependUOffsetTRelative(table.number)
        return _Value(self._builder.EndVector(), "offset")

    def table(self, *slots: _Value | None) -> _Value:
        add = {
            "byte": self._builder.PrependUint8Slot,
            "uint": self._builder.PrependUint32Slot,
            "offset": self._builder.PrependUOffsetTRelativeSlot,
        }
        self._builder.StartObject(len(slots))
        for place, value in enumerate(slots):
            if value is not None:
                add[value.kind](place, value.number, 0)
        return _Value(self._builder.EndObject(), "offset")

    def finish(self, root: _Value) -> bytes:
        self._builder.Finish(root.number, _METADATA_IDENTIFIER)
        return bytes(self._builder.Output())
