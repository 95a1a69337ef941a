"""Metadata: what a lone model file says itself of its input and its classes.

TFLite: the standard's `ModelMetadata` (metadata_schema.fbs of MediaPipe) with its normalization, and the
labels in the zip archive behind the model. ONNX: `edgecifar.preprocessing`, which edgecifar writes, else the
names of the standard's MetadataProps.md; and `names` as Ultralytics writes it.
"""

import ast
import json
import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flatbuffers import encode, number_types
from flatbuffers.table import Table

from edgecifar.artifacts.files import DAMAGED_ARCHIVE
from edgecifar.choices import Channels, Layout
from edgecifar.errors import VerificationError
from edgecifar.verification.inputs import InputSpec

MOST_LABELS_BYTES = 1 << 20
"""Of a list of labels: ImageNet's takes 32 KB."""

# The numbers of fields, from TFLite's schema.fbs and metadata_schema.fbs.
_MODEL_BUFFERS, _MODEL_METADATA = 4, 6
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_BUFFER_DATA = 0
_ROOT_SUBGRAPHS = 3
_GRAPH_INPUTS, _GRAPH_OUTPUTS = 2, 3
_TENSOR_CONTENT, _TENSOR_UNITS, _TENSOR_FILES = 3, 4, 6
_UNIT_KIND, _UNIT_OPTIONS = 0, 1
_NORMALIZATION = 1
_MEAN, _STD = 0, 1
_FILE_NAME, _FILE_KIND = 0, 2
_AXIS_LABELS = 2

_RANGES = {
    "NominalRange_0_255": (1.0, 0.0, 1.0),
    "Normalized_0_1": (1 / 255, 0.0, 1.0),
    "Normalized_1_1": (1 / 255, 0.5, 0.5),
}
"""Scale, mean and std by the values of Image.NominalPixelRange."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a file says."""

    spec: InputSpec | None
    """What it sees of an image; None: it does not say."""
    raw_pixels: bool
    """Whether the input's bytes are said to be the pixels."""
    class_names: tuple[str, ...] | None


NOTHING = Metadata(None, raw_pixels=False, class_names=None)


def read_metadata(path: Path) -> Metadata:
    """Returns what a model file says of its input and classes; nothing where it is silent or unreadable.

    Whether the file as a whole is damaged is for its engine to say.

    Args:
        path: A model file or a SavedModel's folder.
    """
    if path.suffix not in _READERS:
        return NOTHING
    try:
        return _READERS[path.suffix](path)
    # What the readers of flatbuffers, zip, protobuf, JSON and literals raise on damage, and InputSpec on
    # numbers that make no image.
    except (
        OSError, ValueError, TypeError, LookupError, StopIteration, SyntaxError, MemoryError, struct.error,
        *DAMAGED_ARCHIVE, VerificationError,
    ):  # fmt: skip
        return NOTHING


def _read_tflite(path: Path) -> Metadata:
    content = path.read_bytes()
    model = _root(content)
    buffer = next(
        (
            _index(entry, _METADATA_BUFFER)
            for entry in _tables(model, _MODEL_METADATA)
            if _text(entry, _METADATA_NAME) == "TFLITE_METADATA"
        ),
        None,
    )
    if buffer is None:
        return NOTHING
    packed = _bytes([*_tables(model, _MODEL_BUFFERS)][buffer], _BUFFER_DATA)
    graph = next(_tables(_root(packed), _ROOT_SUBGRAPHS))
    source, result = next(_tables(graph, _GRAPH_INPUTS)), next(_tables(graph, _GRAPH_OUTPUTS), None)
    spec = None
    for unit in _tables(source, _TENSOR_UNITS):
        if _byte(unit, _UNIT_KIND) == _NORMALIZATION:
            options = _table(unit, _UNIT_OPTIONS)
            mean, std = _floats(options, _MEAN), _floats(options, _STD)
            spec = InputSpec(1.0, mean, std, Channels.RGB)
    return Metadata(spec, raw_pixels=False, class_names=None if result is None else _labels(path, result))


def _labels(path: Path, tensor: Table) -> tuple[str, ...] | None:
    """Returns the classes of the output's labels, one a line of a file in the archive behind the model."""
    for file in _tables(tensor, _TENSOR_FILES):
        if _byte(file, _FILE_KIND) == _AXIS_LABELS:
            with zipfile.ZipFile(path) as archive:
                entry = archive.getinfo(_text(file, _FILE_NAME))
                if entry.file_size > MOST_LABELS_BYTES:
                    return None
                return tuple(archive.read(entry).decode().split("\n")[:-1])
    return None


def _read_onnx(path: Path) -> Metadata:
    content = path.read_bytes()
    # A model without any need not be parsed: each of the two keys is in a file that says something.
    if not any(key in content for key in (b"edgecifar.preprocessing", b"Image.NominalPixelRange", b"names")):
        return NOTHING
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_from_string(content)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    props = {prop.key: prop.value for prop in model.metadata_props}
    spec = _ours(props) or _standard(props)
    takes_bytes = model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    said = props.get("names", "")
    names: dict[int, object] = ast.literal_eval(said) if 0 < len(said) <= MOST_LABELS_BYTES else {}
    return Metadata(
        spec,
        # Such a file may hold a scale and zero point too, of the values that the network makes of the bytes.
        raw_pixels=spec is not None and spec.is_raw and takes_bytes,
        class_names=tuple(str(names[place]) for place in range(len(names))) or None,
    )


def _ours(props: Mapping[str, str]) -> InputSpec | None:
    if "edgecifar.preprocessing" not in props:
        return None
    said: dict[str, Any] = json.loads(props["edgecifar.preprocessing"])
    layout, channels = Layout(said["layout"].lower()), Channels(said["order"].lower())
    return InputSpec(1.0, (float(said["mean"]),), (float(said["std"]),), channels, layout)


def _standard(props: Mapping[str, str]) -> InputSpec | None:
    known = _RANGES.get(props.get("Image.NominalPixelRange", ""))
    order = {"Rgb8": Channels.RGB, "Bgr8": Channels.BGR}.get(props.get("Image.BitmapPixelFormat", ""))
    if known is None or order is None:
        return None
    scale, mean, std = known
    return InputSpec(scale, (mean,), (std,), order)


_READERS = {".tflite": _read_tflite, ".onnx": _read_onnx}


# flatbuffers: a field by its number.


def _root(content: bytes) -> Table:
    return Table(content, encode.Get(number_types.UOffsetTFlags.packer_type, content, 0))


def _offset(table: Table, field: int) -> int:
    """Returns where a field lies in its table; 0 where the table lacks it."""
    return int(table.Offset(4 + 2 * field))


def _byte(table: Table, field: int) -> int:
    offset = _offset(table, field)
    return int(table.Get(number_types.Uint8Flags, table.Pos + offset)) if offset else 0


def _index(table: Table, field: int) -> int:
    offset = _offset(table, field)
    return int(table.Get(number_types.Uint32Flags, table.Pos + offset)) if offset else 0


def _text(table: Table, field: int) -> str:
    offset = _offset(table, field)
    return bytes(table.String(table.Pos + offset)).decode() if offset else ""


def _table(table: Table, field: int) -> Table:
    return Table(table.Bytes, table.Indirect(table.Pos + _required(table, field)))


def _tables(table: Table, field: int) -> Iterator[Table]:
    """Yields the tables of a vector; none where the table lacks it."""
    offset = _offset(table, field)
    for place in range(table.VectorLen(offset) if offset else 0):
        yield Table(table.Bytes, table.Indirect(table.Vector(offset) + 4 * place))


def _floats(table: Table, field: int) -> tuple[float, ...]:
    offset = _required(table, field)
    start, count = table.Vector(offset), table.VectorLen(offset)
    return struct.unpack_from(f"<{count}f", table.Bytes, start)


def _bytes(table: Table, field: int) -> bytes:
    offset = _required(table, field)
    start, count = table.Vector(offset), table.VectorLen(offset)
    return bytes(table.Bytes[start : start + count])


def _required(table: Table, field: int) -> int:
    offset = _offset(table, field)
    if not offset:
        raise ValueError(f"field {field} is missing")
    return offset
