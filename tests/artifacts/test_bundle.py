import json
from pathlib import Path

import pytest

from edgecifar.artifacts import Bundle, Manifest
from edgecifar.errors import ModelError
from edgecifar.protocol import TensorInfo

CONTENTS = ("reference.keras", "model.int8.tflite", "labels.txt")


def rewrite(bundle: Path, *place: str | int, value: object) -> None:
    """Changes one value of the manifest."""
    table = json.loads((bundle / "manifest.json").read_text())
    part = table
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    (bundle / "manifest.json").write_text(json.dumps(table))


def test_a_bundle_is_opened_and_knows_its_reference(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    assert opened.reference_path == bundle / "reference.keras"
    assert opened.manifest == Manifest.read(bundle / "manifest.json")
    assert opened.manifest.artifacts[1].input == TensorInfo("image", (1, 32, 32, 3), "int8", 1 / 64, -7)


def test_another_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not a bundle \(no manifest.json\)"):
        Bundle.open(tmp_path)


@pytest.mark.parametrize("name", CONTENTS)
def test_a_missing_file_is_told(name: str, bundle: Path) -> None:
    (bundle / name).unlink()
    with pytest.raises(ModelError, match=f"{name}: the manifest names it, but it is not there"):
        Bundle.open(bundle)


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("change", ["cut short", "one bit", "longer"])
def test_an_altered_file_is_told(name: str, change: str, bundle: Path) -> None:
    content = (bundle / name).read_bytes()
    altered = {
        "cut short": content[:-1],
        "one bit": bytes([content[0] ^ 1]) + content[1:],
        "longer": content + b"\0",
    }
    (bundle / name).write_bytes(altered[change])
    with pytest.raises(ModelError, match=f"{name}: altered since it was exported"):
        Bundle.open(bundle)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "..\\secret"])
@pytest.mark.parametrize("place", [("reference",), ("artifacts", 1, "file"), ("files", 0, "file")])
def test_a_path_out_of_the_bundle_is_refused(name: str, place: tuple[str | int, ...], bundle: Path) -> None:
    rewrite(bundle, *place, value=name)
    with pytest.raises(ModelError, match=r"manifest.json: not a valid Manifest: .* leads out of the bundle"):
        Bundle.open(bundle)


def test_a_newer_schema_is_told(bundle: Path) -> None:
    rewrite(bundle, "schema_version", value=3)
    with pytest.raises(ModelError, match=r"schema_version: .*3 is newer than 2.* update it"):
        Bundle.open(bundle)


def test_the_first_schema_is_still_read(bundle: Path) -> None:
    table = json.loads((bundle / "manifest.json").read_text())
    del table["targets"]
    (bundle / "manifest.json").write_text(json.dumps(table | {"schema_version": 1}))
    manifest = Bundle.open(bundle).manifest
    assert manifest.schema_version == 1
    assert manifest.targets == ()


@pytest.mark.parametrize("name", ["labels.txt", "LABELS.TXT", "model.int8.tflite", "manifest.json"])
def test_a_file_that_is_named_twice_is_refused(name: str, bundle: Path) -> None:
    table = json.loads((bundle / "manifest.json").read_text())
    rewrite(bundle, "files", value=[*table["files"], {**table["files"][0], "file": name}])
    with pytest.raises(ModelError, match=f"{name} is named twice"):
        Bundle.open(bundle)


def test_a_target_of_another_bundle_is_refused(bundle: Path) -> None:
    target = {"name": "android", "folder": "android", "artifacts": ["model.float32.tflite"]}
    rewrite(bundle, "targets", value=[target])
    with pytest.raises(ModelError, match="target android has an artifact that is none of the bundle's"):
        Bundle.open(bundle)


@pytest.mark.parametrize("name", ["", ".", "a//b", "./a", "a/", "c:a", "a\0b"])
def test_a_name_that_systems_read_differently_is_refused(name: str, bundle: Path) -> None:
    rewrite(bundle, "files", 0, "file", value=name)
    with pytest.raises(ModelError, match=r"(leads out of the bundle|is not the plain name of a file)"):
        Bundle.open(bundle)


def test_a_reference_that_no_entry_vouches_for_is_refused(bundle: Path) -> None:
    rewrite(bundle, "reference", value="labels.txt")
    with pytest.raises(ModelError, match=r"reference labels.txt is none of the artifacts"):
        Bundle.open(bundle)


def test_a_damaged_manifest_is_told(bundle: Path) -> None:
    manifest = bundle / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"manifest.json: not a valid Manifest: .*Invalid JSON"):
        Bundle.open(bundle)
