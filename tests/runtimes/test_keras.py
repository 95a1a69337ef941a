import zipfile

import pytest

from edgecifar.errors import ModelError
from edgecifar.runtimes import get_runtime


def test_a_file_cut_short_is_refused(models, tmp_path):
    path = tmp_path / "cut.keras"
    path.write_bytes(models["model.keras"].read_bytes()[:5000])
    with pytest.raises(ModelError, match="ends after 5,000 bytes") as caught:
        get_runtime("keras").load(path, threads=1)
    assert "cut short" in caught.value.mend


def test_a_flipped_byte_in_the_weights_is_found(models, tmp_path):
    content = bytearray(models["model.keras"].read_bytes())
    content[len(content) // 2] ^= 0xFF
    path = tmp_path / "flipped.keras"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        get_runtime("keras").load(path, threads=1)


def test_an_archive_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no model")
    with pytest.raises(ModelError, match="not a Keras model that can be read"):
        get_runtime("keras").load(path, threads=1)


def test_a_cut_hdf5_file_is_refused(tiny, tmp_path):
    path = tmp_path / "cut.h5"
    path.write_bytes((tiny.folder / "qat.h5").read_bytes()[:9000])
    with pytest.raises(ModelError, match="truncated"):
        get_runtime("keras").load(path, threads=1)
