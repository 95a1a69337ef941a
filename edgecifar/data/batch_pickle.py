"""Reading CIFAR-10's Python batches, which are pickles, without running what a pickle may ask for.

A pickle names functions and calls them. This reader answers to the five names that the official batches use,
with stand-ins that only keep the bytes; every other name is refused. NumPy's own code never sees the
pickle.
"""

import io
import pickle
import pickletools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecifar.errors import DataError

CLASSES = 10
PIXEL_BYTES = 3 * 32 * 32


class _PickledDtype:
    """Stands in for numpy.dtype: keeps the type's name."""

    def __init__(self, name: str | bytes, *_flags: int) -> None:
        self.name = name.decode("ascii") if isinstance(name, bytes) else name

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Ignores byte order and fields, which one-byte integers do not have."""


class _PickledArray:
    """Stands in for numpy.ndarray: keeps the array's state as pickled."""

    def __init__(self) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def bytes_of_shape(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Returns the array.

        Raises:
            ValueError: It is not uint8, in C order, of this shape.
        """
        _version, found, dtype, fortran_order, content = self.state
        if dtype.name not in ("u1", "|u1", "uint8") or fortran_order or tuple(found) != shape:
            raise ValueError(f"images are {dtype.name} of shape {tuple(found)}, not uint8 of shape {shape}")
        return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _reconstruct(_subtype: object, _shape: object, _dtype: object) -> _PickledArray:
    return _PickledArray()


def _encode_latin1(text: str, encoding: str) -> bytes:
    """Stands in for codecs.encode, by which pickles of protocol 2 written in Python 3 hold bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes in the encoding {encoding}")
    return text.encode("latin1")


ADMITTED: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _PickledArray,
    ("numpy", "dtype"): _PickledDtype,
    ("_codecs", "encode"): _encode_latin1,
}


class _BatchUnpickler(pickle.Unpickler):
    def __init__(self, content: bytes, where: str) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._where = where

    def find_class(self, module: str, name: str) -> Any:
        admitted = ADMITTED.get((module, name))
        if admitted is None:
            raise DataError(
                f"{self._where}: refused to load {module}.{name}: a CIFAR-10 batch has no use for it.",
                "This file is not the official one and may be hostile. Delete it.",
            )
        return admitted


def _check_lengths(content: bytes) -> None:
    """Refuses a pickle that would make the reader reserve more memory than the pickle itself takes.

    Raises:
        ValueError: A length or a memo index leads beyond the pickle's end.
    """
    # genops itself raises where a string is longer than what is left.
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in ("PUT", "LONG_BINPUT") and argument is not None and argument > len(content):
            raise ValueError(f"memo index {argument}")


def read_batch(content: bytes, images: int, where: str, mend: str) -> tuple[list[int], NDArray[np.uint8]]:
    """Returns the labels, and the pixels as (images, 3072) uint8: R, G and B planes, row by row.

    The batch's structure is checked, not its sum: the same images are also in use as pickles of other
    protocols.

    Args:
        content: A pickled dictionary with "data" and "labels".
        images: How many it must hold.
        where: Names the file in an error.
        mend: What a person may do about a damaged file.

    Raises:
        DataError: The pickle asks for anything but arrays, strings, lists and dictionaries, or does not hold
            so many images and labels of 0 to 9.
    """
    try:
        _check_lengths(content)
        batch = _BatchUnpickler(content, where).load()
        fields = {
            key.decode("ascii") if isinstance(key, bytes) else key: value for key, value in batch.items()
        }
        pixels = fields["data"].bytes_of_shape((images, PIXEL_BYTES))
        labels = fields["labels"]
    except DataError:
        raise
    # A damaged pickle raises whatever its broken instructions lead to; pickle's documentation lists no end.
    except Exception as error:
        raise DataError(f"{where}: not a CIFAR-10 batch ({type(error).__name__}: {error}).", mend) from error
    if (
        not isinstance(labels, list)
        or len(labels) != images
        or not all(type(label) is int for label in labels)
    ):
        raise DataError(f"{where}: its labels are not a list of {images:,} whole numbers.", mend)
    for label in labels:
        if not 0 <= label < CLASSES:
            raise DataError(f"{where}: label {label} is outside 0 to {CLASSES - 1}.", mend)
    return labels, pixels
