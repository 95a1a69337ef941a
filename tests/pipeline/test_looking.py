from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecifar.choices import Picture, Source
from edgecifar.errors import VerificationError
from edgecifar.pipeline import looking, predict, show, summarize
from edgecifar.pipeline.doctor import State, examine
from edgecifar.recipe import ModelSpec, Recipe


def test_summarize_counts_the_published_network() -> None:
    costs = summarize(Recipe(name="x", model=ModelSpec(name="resnet8")))
    assert costs[-1].output_shape == (10,)
    assert sum(cost.multiply_adds for cost in costs) == pytest.approx(12.5e6, rel=0.01)


def test_predict_sorts_the_classes_by_probability(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.zeros((2, 10), np.float32)
    rows[0, [3, 1]] = 0.75, 0.25
    rows[1] = 0.1
    monkeypatch.setattr(looking, "_run", lambda *_: rows)
    first, second = predict(made.run, first=2)
    assert (first.image, first.label) == ("test image 0", "airplane")
    assert first.classes[:2] == ("cat", "automobile")
    assert first.probabilities[:3] == (0.75, 0.25, 0.0)
    # Among equals the order of the classes stands.
    assert second.classes[:3] == ("airplane", "automobile", "bird")


def test_a_model_without_mistakes_leaves_nothing_to_draw(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def know_all(_subject: object, _model: object, images: Any) -> Any:
        labels = looking._test_images(made.run, None, None, looking.SILENT).labels[: len(images)]
        return np.eye(10, dtype=np.float32)[labels]

    monkeypatch.setattr(looking, "_run", know_all)
    with pytest.raises(VerificationError, match="makes no mistake in 1,000 images"):
        show(Picture.MISTAKES, tmp_path / "x.png", model=made.run)
    assert not (tmp_path / "x.png").exists()
    assert show(Picture.PREDICTIONS, tmp_path / "y.png", model=made.run).is_file()


def test_the_same_picture_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        show(Picture.AUGMENTED, tmp_path / f"{name}.png", source=Source.SAMPLE)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_doctor_looks_for_everything_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("EDGECIFAR_DATA_DIR", raising=False)
    checks = examine()
    names = [check.name for check in checks]
    assert len(set(names)) == len(names)
    assert {"edgecifar", "CPU", "tensorflow", "GPU in TensorFlow", "runtime ort-cuda", "CIFAR-10"} <= set(
        names
    )
    assert sum(name.startswith("onnxruntime") for name in names) == 1
    # What is missing is told with the way to get it.
    for check in checks:
        if check.state is State.MISSING:
            told = check.finding + check.mend
            assert any(way in told for way in ("pip install", "--data-dir", "docs/onnx.md")), told
