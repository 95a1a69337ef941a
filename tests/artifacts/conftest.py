"""Records as stages write them."""

import pytest

from edgecifar.artifacts import Accuracy, Environment, Preprocessing, RunRecord
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
