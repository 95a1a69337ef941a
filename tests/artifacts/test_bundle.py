import json
from pathlib import Path
from typing import Any

import pytest

from edgecifar.artifacts import ArtifactEntry, Bundle, Manifest, Preprocessing, Weights
from edgecifar.artifacts.bundle import FileEntry
from edgecifar.artifacts.files import sha256
from edgecifar.errors import ModelError
from edgecifar.protocol import TensorInfo

CONTENTS = {"reference.keras": b"a float model", "model.int8.tflite": b"int8", "labels.txt": b"ant\nbee\n"}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle of two models and the labels; the models' contents are not looked at."""
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)

    def entry(name: str, **more: Any) -> dict[str, Any]:
        path = tmp_path / name
        return {"file": name, "size_bytes": path.stat().st_size, "sha256": sha256(path), **more}

    image = TensorInfo("image", (None, 32, 32, 3), "float32")
    pixels = TensorInfo("image", (1, 32, 32, 3), "int8", 1 / 64, -7)
    output = TensorInfo("probabilities", (None, 2), "float32")
    common = {"output": output, "raw_pixels": False, "output_step": None, "made_by": "hand"}
    reference = entry("reference.keras", format="keras", precision="float32", weights=Weights.TRAINED)
    int8 = entry("model.int8.tflite", format="tflite", precision="int8", weights=Weights.QAT)
    Manifest(
        name="garden",
        run="garden",
        recipe="edge",
        class_names=("ant", "bee"),
        preprocessing=Preprocessing(mean=121, std=64, height=32, width=32),
        reference="reference.keras",
        artifacts=(
            ArtifactEntry(**reference, input=image, **common),
            ArtifactEntry(**int8, input=pixels, **common),
        ),
        files=(FileEntry(**entry("labels.txt")),),
        calibration_fingerprint=None,
        calibration_images=0,
        golden_images=0,
        golden_twin_steps=None,
        tool_versions={"tensorflow": "2.21.0"},
    ).write(tmp_path / "manifest.json")
    return tmp_path


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
    content = CONTENTS[name]
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
    rewrite(bundle, "schema_version", value=2)
    with pytest.raises(ModelError, match="not a valid Manifest: schema_version: Input should be 1"):
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
