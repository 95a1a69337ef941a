import json
from pathlib import Path

import numpy as np
import pytest

from edgecifar.errors import DataError
from edgecifar.verification.diagnosis.logged import read_logged

SCORES = np.array([[0.1, 0.9], [0.75, 0.25], [0.5, 0.5]], np.float32)
PLACES = [4, 0, 2]


def write(path: Path) -> Path:
    if path.suffix == ".npz":
        np.savez(path, outputs=SCORES, indices=PLACES)
    elif path.suffix == ".json":
        path.write_text(json.dumps({"outputs": SCORES.tolist(), "indices": PLACES}))
    else:
        rows = [f"{place},{a},{b}" for place, (a, b) in zip(PLACES, SCORES, strict=True)]
        path.write_text("\n".join(["index,cat,dog", *rows]) + "\n")
    return path


@pytest.mark.parametrize("suffix", [".npz", ".json", ".csv"])
def test_outputs_and_their_images_are_read(tmp_path: Path, suffix: str) -> None:
    logged, places = read_logged(write(tmp_path / f"app{suffix}"), available=5, limit=9)
    assert np.allclose(logged.scores, SCORES)
    assert places.tolist() == PLACES
    assert logged.name == f"app{suffix}"


def test_a_lone_array_is_of_the_first_images(tmp_path: Path) -> None:
    np.save(tmp_path / "app.npy", SCORES)
    logged, places = read_logged(tmp_path / "app.npy", available=5, limit=2)
    assert places.tolist() == [0, 1]
    assert np.array_equal(logged.scores, SCORES[:2])


@pytest.mark.parametrize("last", ["0.99999", "1.5e+01", "-2", "1E3"])
def test_a_csv_file_needs_no_heading(last: str, tmp_path: Path) -> None:
    (tmp_path / "app.csv").write_text(f"3,1e-05,{last}\n")
    logged, places = read_logged(tmp_path / "app.csv", available=5, limit=2)
    assert places.tolist() == [3]
    assert logged.scores[0].tolist() == [np.float32(1e-05), np.float32(last)]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("app.txt", b"1", "not logged in files that end in .txt"),
        ("app.npy", b"", "no table of outputs"),
        ("app.npz", b"PK\x03\x04 cut", "no table of outputs"),
        ("app.json", b"{", "no table of outputs"),
        ("app.json", b"3", "no table of outputs"),
        ("app.json", b'{"scores": []}', "no table of outputs"),
        ("app.json", b"[[1, 2], [3]]", "its rows have from 1 to 2 values"),
        ("app.json", b"[]", "holds no outputs"),
        ("app.json", b"[1, 2]", "are no table"),
        ("app.json", b'{"outputs": [[1, 2]], "indices": [9]}', "names image 9"),
        ("app.json", b'{"outputs": [[1, 2]], "indices": [0.5]}', "not one whole number"),
        ("app.csv", b"", "holds no outputs"),
        ("app.csv", b"0,0.5,0.5\n1,0.5\n", "its rows have from 2 to 3 values"),
        ("app.csv", b"x,y\n1,z\n", "no table of outputs"),
        ("app.csv", b"7,0.5,0.5\n", "names image 7"),
    ],
)
def test_another_file_is_refused_in_a_sentence(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=problem):
        read_logged(tmp_path / name, available=5, limit=9)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "app.npy", np.array([[print]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="no table of outputs"):
        read_logged(tmp_path / "app.npy", available=5, limit=9)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_logged(tmp_path / "app.csv", available=5, limit=9)
