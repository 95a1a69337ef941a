"""Each benchmark runs with its smallest settings and prints figures that can be."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(tiny, tmp_path_factory) -> Path:
    """The tiny network's bundle of float32 and int8 files."""
    from edgecifar.artifacts import Accuracy, RunRecord
    from edgecifar.choices import Device
    from edgecifar.exporting.bundle import export_bundle
    from edgecifar.exporting.options import Format, Io, Precision
    from edgecifar.learning.checkpoint import EpochRow
    from edgecifar.learning.devices import place
    from edgecifar.learning.recording import environment, write_run
    from edgecifar.recipe import load_recipe

    folder = tmp_path_factory.mktemp("benchmarks")
    record = RunRecord(
        name="tiny",
        recipe=load_recipe("demo"),
        preprocessing=tiny.preprocessing,
        class_names=tiny.train.class_names,
        train_fingerprint=tiny.train.fingerprint,
        parameters=tiny.float_model.count_params(),
        validation=Accuracy(correct=1, total=2),
        duration_s=1.0,
        environment=environment(place(Device.CPU), "float32"),
        command="edgecifar train",
    )
    row = EpochRow(
        epoch=1,
        phase="train",
        learning_rate=0.1,
        loss=1,
        accuracy=0.5,
        val_loss=1,
        val_accuracy=0.5,
        seconds=1,
    )
    run = write_run(folder / "run", record, tiny.float_model, (row,))
    return export_bundle(
        run=run,
        float_model=tiny.float_model,
        qat_model=tiny.qat_model,
        formats=tuple(Format),
        precisions=(Precision.FLOAT32, Precision.INT8),
        io=Io.FLOAT32,
        calibration=None,
        golden=tiny.test,
        out=folder / "bundle",
    ).folder


def benchmark(checkout: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    script, *options = (str(argument) for argument in arguments)
    command = [sys.executable, str(checkout / "benchmarks" / script), *options]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)


def figures_of(process: subprocess.CompletedProcess[str], repeats: int) -> dict[str, Any]:
    """Returns the figures by name, each sound in itself."""
    assert process.returncode == 0, process.stderr
    outcome = json.loads(process.stdout)
    assert outcome["machine"]["cpu"]
    assert outcome["machine"]["versions"]["python"]
    for figure in outcome["figures"]:
        assert 0 < figure["minimum"] <= figure["median"] <= figure["maximum"]
        assert figure["count"] == repeats
    return {figure["name"]: figure for figure in outcome["figures"]}


def test_startup(checkout: Path) -> None:
    process = benchmark(checkout, "startup.py", "--repeats", 2, "--json")
    figures = figures_of(process, 2)
    assert figures["edgecifar --help"]["goal"]["value"] == 0.4
    assert figures["edgecifar --help / python -c pass"]["unit"] == "times"
    (note,) = json.loads(process.stdout)["notes"]
    assert note.endswith("imports: none.")


def test_the_table_is_for_people(checkout: Path) -> None:
    process = benchmark(checkout, "startup.py", "--repeats", 1)
    assert process.returncode == 0, process.stderr
    assert "CPU flags" in process.stdout
    assert "at most 0.4:" in process.stdout


def test_input_pipeline(checkout: Path) -> None:
    small = ("--repeats", 1, "--images", 128, "--batches", 1, "--steps", 1)
    figures = figures_of(benchmark(checkout, "input_pipeline.py", *small, "--json"), 1)
    goals = {name: figure["goal"]["value"] for name, figure in figures.items() if figure["goal"]}
    assert goals == {
        "alone: Feed, batch 64 / ImageDataGenerator": 10,
        "alone: Feed, batch 128 / ImageDataGenerator": 10,
        "train seed: augmented / not augmented": 0.95,
        "train edge: augmented / not augmented": 0.95,
    }
    # Of one round, the quotient is that of the two speeds.
    quotient, feed, generator = (
        figures[f"alone: {name}"]["median"]
        for name in ("Feed, batch 64 / ImageDataGenerator", "Feed, batch 64", "ImageDataGenerator")
    )
    assert quotient == pytest.approx(feed / generator)


def test_verify(checkout: Path, bundle: Path) -> None:
    process = benchmark(checkout, "verify.py", bundle, "--repeats", 1, "--limit", 100, "--json")
    figures = figures_of(process, 1)
    assert "edgecifar verify, 4 artifacts" in figures
    whole, litert, ort, quotient = (
        figures[name]["median"]
        for name in (
            "verify the int8 pair",
            "loop: LiteRT",
            "loop: ONNX Runtime",
            "verify the int8 pair / the two engines' loops",
        )
    )
    assert quotient == pytest.approx(whole / (litert + ort))
    # The goals are for all test images, and these are a hundred.
    assert not any(figure["goal"] for figure in figures.values())


def test_what_edgecifar_refuses_ends_a_benchmark_as_it_ends_the_command(
    checkout: Path, tmp_path: Path
) -> None:
    process = benchmark(checkout, "verify.py", tmp_path / "none")
    assert process.returncode == 2
    assert "error:" in process.stderr
    assert "Traceback" not in process.stderr
