import io
import json
import struct
import zipfile

import numpy as np
import onnx
import pytest
from flatbuffers import Table, encode, number_types, packer
from tensorflow.lite.python import schema_py_generated as schema

from edgecifar.exporting import onnx as onnx_files
from edgecifar.exporting import tflite
from edgecifar.exporting.metadata import Description, describe_onnx, describe_tflite, onnx_properties
from edgecifar.exporting.options import Io, Precision
from edgecifar.runtimes import get_runtime


@pytest.fixture
def description(tiny) -> Description:
    return Description("tiny", "Names things.", tiny.train.class_names, tiny.preprocessing, raw_pixels=True)


def predict(content, name, tmp_path, pixels):
    path = tmp_path / name
    path.write_bytes(content)
    return (
        get_runtime("litert" if name.endswith("tflite") else "ort-cpu").load(path, threads=1).predict(pixels)
    )


class Reader:
    """Reads FlatBuffer tables by the numbers of their slots: written apart from what wrote them."""

    def __init__(self, content, place):
        self.content, self.table = content, Table(bytearray(content), place)

    @classmethod
    def root(cls, content):
        return cls(content, encode.Get(packer.uoffset, content, 0))

    def offset(self, slot):
        return self.table.Offset(4 + 2 * slot)

    def text(self, slot):
        return self.table.String(self.offset(slot) + self.table.Pos).decode()

    def byte(self, slot):
        return self.table.Get(number_types.Uint8Flags, self.offset(slot) + self.table.Pos)

    def number(self, slot):
        return self.table.Get(number_types.Uint32Flags, self.offset(slot) + self.table.Pos)

    def part(self, slot):
        return Reader(self.content, self.table.Indirect(self.offset(slot) + self.table.Pos))

    def parts(self, slot):
        start = self.table.Vector(self.offset(slot))
        count = self.table.VectorLen(self.offset(slot))
        return [Reader(self.content, self.table.Indirect(start + 4 * index)) for index in range(count)]

    def floats(self, slot):
        count = self.table.VectorLen(self.offset(slot))
        return list(struct.unpack_from(f"<{count}f", self.content, self.table.Vector(self.offset(slot))))


def metadata(content):
    """Returns the ModelMetadata of a TFLite file."""
    model = schema.Model.GetRootAs(content, 0)
    entries = [model.Metadata(index) for index in range(model.MetadataLength())]
    [place] = [entry.Buffer() for entry in entries if entry.Name() == b"TFLITE_METADATA"]
    stored = model.Buffers(place).DataAsNumpy().tobytes()
    assert stored[4:8] == b"M001"
    return Reader.root(stored)


@pytest.mark.parametrize("io_", list(Io))
def test_what_a_tflite_file_computes_is_untouched(io_, int8_files, description, tiny, tmp_path):
    content = int8_files["qat_model", io_]
    described = describe_tflite(content, description)
    dtype = io_.value
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    inputs = {
        "uint8": images,
        "int8": (images.astype(np.int16) - 128).astype(np.int8),
        "float32": tiny.preprocessing.apply(images),
    }[dtype]
    np.testing.assert_array_equal(
        predict(content, "before.tflite", tmp_path, inputs),
        predict(described, "after.tflite", tmp_path, inputs),
    )


def test_a_tflite_file_says_what_it_takes_and_gives(int8_files, description):
    root = metadata(describe_tflite(int8_files["qat_model", Io.UINT8], description))
    assert (root.text(0), root.text(1), root.text(7)) == ("tiny", "Names things.", "1.0.0")
    [graph] = root.parts(3)
    [source], [result] = graph.parts(2), graph.parts(3)
    content = source.part(3)
    assert content.byte(0) == 2  # image properties
    assert content.part(1).byte(0) == 1  # RGB
    assert [content.part(1).part(1).number(slot) for slot in (0, 1)] == [32, 32]
    [unit] = source.parts(4)
    assert unit.byte(0) == 1  # normalization
    assert (unit.part(1).floats(0), unit.part(1).floats(1)) == ([121.0], [64.0])
    [labels] = result.parts(6)
    assert (labels.text(0), labels.byte(2)) == ("labels.txt", 2)


def test_raw_pixels_of_a_float_model_are_not_normalized(tiny, description):
    content = tflite.convert(tiny.float_model, Precision.FLOAT32, Io.UINT8, tiny.preprocessing)
    [graph] = metadata(describe_tflite(content, description)).parts(3)
    options = graph.parts(2)[0].parts(4)[0].part(1)
    assert (options.floats(0), options.floats(1)) == ([0.0], [1.0])


def test_the_labels_lie_behind_the_model_as_an_archive(int8_files, description, tiny):
    described = describe_tflite(int8_files["qat_model", Io.UINT8], description)
    with zipfile.ZipFile(io.BytesIO(described)) as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt").decode().splitlines() == list(tiny.train.class_names)
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_constants_keep_their_alignment_and_other_metadata_stays(int8_files, description):
    content = int8_files["qat_model", Io.UINT8]
    before, after = (
        schema.Model.GetRootAs(one, 0) for one in (content, describe_tflite(content, description))
    )
    names = [[model.Metadata(i).Name() for i in range(model.MetadataLength())] for model in (before, after)]
    assert names[1] == [*names[0], b"TFLITE_METADATA"]
    assert after.BuffersLength() == before.BuffersLength() + 1
    for index in range(after.BuffersLength()):
        buffer = after.Buffers(index)
        if buffer.DataLength():
            assert buffer._tab.Vector(buffer._tab.Offset(4)) % 16 == 0


def test_the_same_file_gives_the_same_bytes(int8_files, description):
    content = int8_files["qat_model", Io.UINT8]
    assert describe_tflite(content, description) == describe_tflite(content, description)
    onnx_file = onnx_files.convert_int8(content, Io.UINT8)
    assert describe_onnx(onnx_file, description) == describe_onnx(onnx_file, description)


def test_an_onnx_file_says_what_it_is(int8_files, description, tiny, tmp_path):
    content = onnx_files.convert_int8(int8_files["qat_model", Io.UINT8], Io.UINT8)
    model = onnx.load_from_string(content)
    onnx.helper.set_model_props(model, {"ours": "kept", "names": "old"})
    described = describe_onnx(model.SerializeToString(), description)
    props = {prop.key: prop.value for prop in onnx.load_from_string(described).metadata_props}
    assert props["ours"] == "kept"
    assert json.loads(props["imgsz"]) == [32, 32]
    assert props["names"] == repr(dict(enumerate(tiny.train.class_names)))
    assert json.loads(props["edgecifar.preprocessing"])["mean"] == 0
    images = tiny.test.images[:4]
    np.testing.assert_array_equal(
        predict(content, "before.onnx", tmp_path, images), predict(described, "after.onnx", tmp_path, images)
    )


def test_preprocessed_inputs_are_told(tiny):
    names = tiny.train.class_names
    props = onnx_properties(Description("tiny", "", names, tiny.preprocessing, raw_pixels=False))
    assert json.loads(props["edgecifar.preprocessing"]) == {
        "mean": 121.0, "std": 64.0, "layout": "NHWC", "order": "RGB"
    }  # fmt: skip
