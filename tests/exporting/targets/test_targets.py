import json
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest

from edgecifar.artifacts.files import sha256
from edgecifar.choices import Target
from edgecifar.errors import EngineMissingError, ExportError, ModelError
from edgecifar.exporting.targets import TARGETS, npu, write_targets
from edgecifar.exporting.targets.material import embed, need
from edgecifar.progress import Silent
from edgecifar.runtimes import get_runtime

COMPILED = (Target.ANDROID, Target.IOS, Target.WEB, Target.LINUX)


class Listening(Silent):
    def __init__(self):
        self.said = []

    def say(self, message):
        self.said.append(message)


def copied(material, folder):
    """The same bundle elsewhere, to be written into."""
    for path in material.folder.glob("model.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    return replace(material, folder=folder)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_each_target_has_what_an_app_embeds(material, tmp_path):
    bundle = copied(material, tmp_path)
    entries = write_targets(bundle, COMPILED)
    assert [entry.name for entry in entries] == ["android", "ios", "web", "linux"]
    for entry in entries:
        folder = tmp_path / entry.folder
        data = json.loads((folder / "model.json").read_text())
        assert [model["file"] for model in data["models"]] == list(entry.artifacts)
        for model in data["models"]:
            assert sha256(folder / model["file"]) == model["sha256"]
            expected = np.fromfile(folder / model["expected"]["file"], "<f4").reshape(16, -1)
            np.testing.assert_allclose(expected.sum(axis=1), 1, atol=0.02)
        images = np.fromfile(folder / "golden" / "images.bin", np.uint8)
        np.testing.assert_array_equal(images, material.golden.images.ravel())
        assert (folder / "labels.txt").read_text().splitlines() == list(material.class_names)
        assert (folder / "README.md").is_file()


def test_the_same_bundle_gives_the_same_bytes(materials, tmp_path):
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_targets(copied(materials["table"], tmp_path / name), COMPILED)
        found.append(contents(tmp_path / name))
    assert found[0] == found[1]


def test_nothing_that_is_written_names_this_machine(material, tmp_path):
    write_targets(copied(material, tmp_path), COMPILED)
    for name, content in contents(tmp_path / "embed").items():
        for place in (tmp_path, material.folder):
            assert str(place).encode() not in content, name


def test_a_target_without_its_format_is_refused(materials, tmp_path):
    material = materials["pixels"]
    alone = replace(material, artifacts=tuple(e for e in material.artifacts if e.format == "onnx"))
    bundle = copied(alone, tmp_path)
    with pytest.raises(ExportError, match="The target android embeds a model in tflite, and this"):
        write_targets(bundle, [Target.ANDROID])
    progress = Listening()
    entries = write_targets(bundle, [Target.ALL], progress)
    assert [entry.name for entry in entries] == ["ios", "web", "linux"]
    assert [line.split(":")[0] for line in progress.said] == [
        "Target android left out",
        "Target npu left out",
        "Target mcu left out",
    ]
    assert not (tmp_path / "embed" / "linux" / "classify_litert.py").exists()


def test_all_leaves_out_what_this_machine_cannot_make(materials, tmp_path, monkeypatch):
    def refuse(*_):
        raise EngineMissingError("Vela is not installed.")

    monkeypatch.setattr(npu, "compile_for_npu", refuse)
    bundle, progress = copied(materials["pixels"], tmp_path), Listening()
    assert "npu" not in [entry.name for entry in write_targets(bundle, [Target.ALL], progress)]
    vela, generator = progress.said
    assert vela == "Target npu left out: Vela is not installed."
    assert generator.startswith("Target mcu left out: The target mcu needs the generator of C")
    assert not (tmp_path / "embed" / "npu").exists()
    with pytest.raises(EngineMissingError):
        write_targets(bundle, [Target.NPU])


def test_an_npu_needs_int8(materials, tmp_path):
    with pytest.raises(ExportError, match="The target npu embeds an int8 model"):
        write_targets(copied(materials["float32"], tmp_path), [Target.NPU])


def test_a_model_is_compiled_for_an_npu(materials, tmp_path):
    pytest.importorskip("ethosu.vela", reason="Vela is not installed")
    write_targets(copied(materials["pixels"], tmp_path), [Target.NPU])
    folder = tmp_path / "embed" / "npu"
    compiled = folder / "model.int8.ethos-u55-128.tflite"
    assert compiled.read_bytes()[4:8] == b"TFL3"
    estimate = json.loads((folder / "estimate.json").read_text())
    assert estimate["npu"] == "ethos-u55-128"
    assert estimate["npu_operators"] > 0
    assert "not a measurement" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("able", "runtime", "told"),
    [(True, "litert-reference", "so the expected"), (False, "litert", "lack an operator")],
)
def test_an_npu_is_held_to_the_kernels_that_round_as_it_does(
    able, runtime, told, materials, tmp_path, monkeypatch
):
    pytest.importorskip("ethosu.vela", reason="Vela is not installed")
    if not able:
        monkeypatch.setattr(npu, "run_golden", Mock(side_effect=ModelError("no ELU")))
    material = copied(materials["pixels"], tmp_path)
    write_targets(material, [Target.NPU])
    folder = tmp_path / "embed" / "npu"
    [model] = json.loads((folder / "model.json").read_text())["models"]
    assert model["expected"]["runtime"] == runtime
    raw = get_runtime(runtime).load(folder / model["file"], threads=1).predict(material.golden.images)
    expected = np.fromfile(folder / model["expected"]["file"], "<f4").reshape(raw.shape)
    np.testing.assert_array_equal(expected, raw * np.float32(model["output"]["scale"]))
    assert told in (folder / "README.md").read_text()


def test_every_target_of_the_command_line_has_a_module():
    assert {*TARGETS, Target.ALL} == set(Target)


def test_int8_goes_before_float(materials):
    pixels, floats = materials["pixels"], materials["float32"]
    both = replace(pixels, artifacts=(*floats.artifacts, *pixels.artifacts))
    assert both.best("onnx").precision == "int8"
    assert floats.best("onnx").precision == "float32"
    assert floats.best("keras") is None


@pytest.mark.parametrize(
    ("feed", "first"), [("pixels", ()), ("table", tuple(range(-128, 128))), ("float", ()), ("float32", ())]
)
def test_the_feed_is_what_the_input_takes(feed, first, materials):
    model = embed(materials[feed], materials[feed].best("tflite"))
    assert model.feed == feed.removesuffix("32")
    # With a mean of 121 and a std of 64, int8 inputs are the pixel less 128.
    assert model.table == first


@pytest.mark.parametrize("name", ["two\nlines", "bell\a", "\u2028"])
def test_a_class_that_no_source_can_hold_is_refused(name, materials):
    material = replace(materials["pixels"], class_names=(name, *materials["pixels"].class_names[1:]))
    with pytest.raises(ExportError, match="cannot be written into an app's source"):
        need(material, "web", ("onnx",))
