from pathlib import Path

import pytest

from edgecifar.artifacts import Bundle, RunRecord
from edgecifar.artifacts.bundle import TargetEntry
from edgecifar.errors import ExportError
from edgecifar.exporting import card
from edgecifar.exporting.card import write_card

EXPORTED = Path(__file__).parents[2] / "exported"
WEB = TargetEntry(name="web", folder="embed/web", artifacts=("model.int8.onnx",))


def written(folder, targets=(), **changes):
    bundle = Bundle.open(EXPORTED / "edge-vgg6")
    record = RunRecord.read(bundle.folder / "run.json").model_copy(update=changes)
    write_card(folder, record, bundle.manifest.artifacts, targets)
    return (folder / "README.md").read_text(encoding="utf-8"), record


def test_the_head_is_a_model_cards(tmp_path):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    text, record = written(tmp_path, (WEB,))
    _, head, _ = text.split("---\n", 2)
    data = yaml.safe_load(head)
    assert data["pipeline_tag"] == "image-classification"
    assert data["tags"] == ["onnx", "tflite", "int8", "edge"]
    assert data["datasets"] == ["uoft-cs/cifar10"]
    [index] = data["model-index"]
    assert index["name"] == record.name
    values = [result["metrics"][0]["value"] for result in index["results"]]
    assert values == [round(record.validation.rate, 4), round(record.validation_quantized.rate, 4)]


def test_files_targets_and_licences_are_named(tmp_path):
    text, _ = written(tmp_path, (WEB,))
    assert "| `model.int8.tflite` | " in text
    assert "[`embed/web`](embed/web/README.md)" in text
    assert "reference.keras" not in text
    assert "Apache License" in (tmp_path / "LICENSE-examples.txt").read_text()


def test_a_bundle_without_examples_needs_no_licence_of_them(tmp_path):
    text, _ = written(tmp_path)
    assert "embed/" not in text
    assert not (tmp_path / "LICENSE-examples.txt").exists()


def test_an_installation_without_its_licence_is_told(tmp_path, monkeypatch):
    class Bare:
        def read_text(self, _):
            return None

    monkeypatch.setattr(card, "distribution", lambda _: Bare())
    with pytest.raises(ExportError, match="licence of edgecifar is missing"):
        written(tmp_path, (WEB,))
