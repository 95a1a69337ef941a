from pathlib import Path

import pytest
from pydantic import ValidationError

from edgecifar.artifacts.record import Record
from edgecifar.errors import ModelError


class Pet(Record):
    name: str
    legs: int = 4


class Home(Record):
    pets: tuple[Pet, ...]


def test_a_record_comes_back_from_its_file(tmp_path: Path) -> None:
    home = Home(pets=(Pet(name="Mau"), Pet(name="Ørn", legs=2)))
    home.write(tmp_path / "home.json")
    assert Home.read(tmp_path / "home.json") == home
    text = (tmp_path / "home.json").read_text(encoding="utf-8")
    assert text.startswith('{\n  "pets": [')
    assert text.endswith("}\n")


def test_a_record_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Pet(name="Mau").legs = 3


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"home.json: cannot be read \(No such file or directory\)"):
        Home.read(tmp_path / "home.json")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "Invalid JSON"),
        (b'{"pets": [', "Invalid JSON"),
        (b"\xff\x00", "Invalid JSON"),
        (b"[]", "should be an object"),
        (b"{}", "pets: Field required"),
        (b'{"pets": [{"name": "Mau", "legs": "many"}]}', "pets.0.legs: Input should be a valid integer"),
        (b'{"pets": [], "plants": 3}', "plants: Extra inputs are not permitted"),
    ],
)
def test_a_file_of_another_form_is_told_with_the_place(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "home.json"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"home.json: not a valid Home: .*{told}"):
        Home.read(path)
