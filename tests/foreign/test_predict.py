from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from edgecifar.cli import app
from edgecifar.data.sample import read_sample
from edgecifar.data.splitting import Half

FOLDER = Path(__file__).parent
TORCHVISION = ("--scale", "1/255", "--mean", "0.4914,0.4822,0.4465", "--std", "0.247,0.2435,0.2616")

Predict = Callable[..., Any]


@pytest.fixture
def predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predict:
    """Runs `edgecifar predict` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Any:
        return CliRunner().invoke(app, ["predict", *map(str, arguments)], catch_exceptions=False)

    return run


def test_the_first_images_with_what_is_fed(predict: Predict) -> None:
    result = predict(FOLDER / "nchw.onnx", "--first", 20, "--data", "sample", *TORCHVISION)
    assert result.exit_code == 0, result.stderr
    assert "(0.247, 0.2435, 0.2616), RGB, NCHW, as float32." in result.stderr
    assert "test image 19" in result.stdout


def test_image_files_get_the_models_size(predict: Predict, tmp_path: Path) -> None:
    truck = read_sample(Half.TEST).images[9]
    Image.fromarray(truck).resize((96, 64), Image.Resampling.NEAREST).save(tmp_path / "truck.png")
    result = predict(FOLDER / "int16x8.tflite", "truck.png", "--scale", "1/255")
    assert result.exit_code == 0, result.stderr
    assert "truck.png" in result.stdout
    assert "class 9" in result.stdout


def test_another_size_than_the_models_is_refused(predict: Predict, tmp_path: Path) -> None:
    Image.new("RGB", (50, 50)).save(tmp_path / "black.png")
    result = predict(FOLDER / "int16x8.tflite", "black.png", "--scale", "1/255", "--resize", 40)
    assert result.exit_code == 2
    assert "takes images of 32×32 pixels; --resize makes them 40×40." in result.stderr
