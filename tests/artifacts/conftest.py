"""Records as stages write them."""

from pathlib import Path
from typing import Any

import pytest

from edgecifar.artifacts import (
    Accuracy,
    ArtifactEntry,
    Environment,
    Manifest,
    Preprocessing,
    RunRecord,
    Weights,
)
from edgecifar.artifacts.bundle import FileEntry
from edgecifar.artifacts.files import sha256
from edgecifar.protocol import TensorInfo
from edgecifar.recipe import Recipe


@pytest.fixture
def run_record() -> RunRecord:
    return RunRecord(
        name="garden",
        recipe=Recipe(name="garden"),
        preprocessing=Preprocessing(mean=121, std=64, height=32, width=32),
        class_names=("ant", "bee"),
        train_fingerprint="0" * 64,
        parameters=7,
        validation=Accuracy(correct=3, total=4),
        duration_s=1.5,
        environment=Environment(
            edgecifar="0.1.0",
            python="3.11.0",
            tensorflow="2.21.0",
            platform="Linux",
            cpu="a CPU",
            cpu_flags=("avx2",),
            devices=("CPU",),
            precision="float32",
        ),
        command="edgecifar train --recipe garden",
    )


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
