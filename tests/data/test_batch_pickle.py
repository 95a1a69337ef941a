import pickle
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecifar.data.batch_pickle import read_batch
from edgecifar.errors import DataError

PIXELS = np.arange(4 * 3072, dtype=np.uint32).astype(np.uint8).reshape(4, 3072)
LABELS = [6, 9, 0, 3]


def read(content: bytes) -> tuple[list[int], Any]:
    return read_batch(content, 4, where="data_batch_1", mend="Get it again.")


def batch(**changes: Any) -> dict[bytes, Any]:
    fields: dict[str, Any] = {"data": PIXELS, "labels": LABELS} | changes
    return {key.encode(): value for key, value in fields.items()}


def python2_batch() -> bytes:
    """Returns a batch as Python 2's cPickle wrote the official ones: byte strings, numpy.core, protocol 2."""

    def string(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text

    labels = b"](" + b"".join(b"K" + bytes([label]) for label in LABELS) + b"e"
    dtype = b"cnumpy\ndtype\n" + string(b"u1") + b"K\x00K\x01\x87R"
    dtype += b"(K\x03" + string(b"|") + b"NNN" + 2 * b"J\xff\xff\xff\xff" + b"K\x00tb"
    content = PIXELS.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string(b"b") + b"\x87R"
    array += (
        b"(K\x01K\x04M\x00\x0c\x86" + dtype + b"\x89T" + struct.pack("<i", len(content)) + content + b"tb"
    )
    label = string(b"batch_label") + string(b"training batch 1 of 5")
    return b"\x80\x02}(" + label + string(b"labels") + labels + string(b"data") + array + b"u."


def test_a_batch_as_python_2_wrote_it() -> None:
    content = python2_batch()
    np.testing.assert_array_equal(pickle.loads(content, encoding="bytes")[b"data"], PIXELS)  # noqa: S301
    labels, pixels = read(content)
    assert labels == LABELS
    np.testing.assert_array_equal(pixels, PIXELS)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_batches_of_other_protocols(protocol: int, module: bytes) -> None:
    content = pickle.dumps(batch(), protocol=protocol)
    if protocol < 4:  # Later ones put the length before the name.
        content = content.replace(b"numpy._core.multiarray", module)
    labels, pixels = read(content)
    assert labels == LABELS
    np.testing.assert_array_equal(pixels, PIXELS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": [6, 9, 0, 10]}, "label 10 is outside 0 to 9"),
        ({"labels": [-1, 9, 0, 3]}, "label -1 is outside 0 to 9"),
        ({"labels": [6, 9, 0]}, "not a list of 4 whole numbers"),
        ({"labels": [6, 9, 0, 3.0]}, "not a list of 4 whole numbers"),
        ({"labels": "6903"}, "not a list of 4 whole numbers"),
        ({"data": PIXELS[:3]}, r"uint8 of shape \(4, 3072\)"),
        ({"data": PIXELS.astype(np.float32)}, "images are f4"),
        ({"data": np.asfortranarray(PIXELS)}, "not uint8 of shape"),
        ({"data": PIXELS.tobytes()}, "not a CIFAR-10 batch"),
    ],
)
def test_a_malformed_batch_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(pickle.dumps(batch(**changes), protocol=2))
    assert caught.value.problem.startswith("data_batch_1: ")
    assert caught.value.mend == "Get it again."


@pytest.mark.parametrize("content", [[1, 2], {}, {b"data": PIXELS}, None])
def test_another_object_is_refused(content: object) -> None:
    with pytest.raises(DataError, match="not a CIFAR-10 batch"):
        read(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"cbuiltins\neval\n(U\x011tR.", "builtins.eval"),
        (b"cos\nsystem\n(U\x04truetR.", "os.system"),
        (b"cnumpy\nload\n(U\x01xtR.", "numpy.load"),
        (b"cnumpy.core.multiarray\nscalar\n.", "numpy.core.multiarray.scalar"),
        (b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.", "numpy.ndarray.__class__"),
    ],
)
def test_other_names_are_refused(content: bytes, name: str) -> None:
    with pytest.raises(DataError, match=f"refused to load {name}:"):
        read(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02]r\xff\xff\xff\x7f.", "memo index 2147483647"),
        (b"]p99999999\n.", "memo index 99999999"),
        (b"\x80\x05\x96\x00\x00\x00\x00\x00\x01\x00\x00a.", "expected 1099511627776 bytes"),
    ],
)
def test_no_memory_is_reserved_for_a_false_length(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(content)


def test_only_latin1_bytes_are_decoded() -> None:
    content = b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R."
    with pytest.raises(DataError, match="rot13"):
        read(content)


@given(st.data())
def test_a_cut_or_altered_pickle_never_escapes(data: st.DataObject) -> None:
    whole = python2_batch()
    head = len(whole) - len(PIXELS.tobytes())
    position = data.draw(st.integers(0, head - 1))
    if data.draw(st.booleans()):
        with pytest.raises(DataError):
            read(whole[:position])
        return
    altered = bytearray(whole)
    altered[position] = data.draw(st.integers(0, 255))
    try:
        labels, pixels = read(bytes(altered))
    except DataError:
        return
    assert len(labels) == 4
    assert pixels.shape == PIXELS.shape
