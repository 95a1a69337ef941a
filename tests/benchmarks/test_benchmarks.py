"""Each benchmark runs with its smallest settings and prints figures that can be."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgecifar.artifacts import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory) -> Run:
    """The tiny network as a run that was trained quantization-aware."""
    from edgecifar.artifacts import Accuracy, RunRecord
    from edgecifar.choices import Device
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
    return write_run(
        folder / "run", record, tiny.float_model, (row,), tiny.folder / "model.keras", tiny.qat_model
    )


@pytest.fixture(scope="module")
def bundle(tiny, run: Run, tmp_path_factory) -> Path:
    """The tiny network's bundle of float32 and int8 files."""
    from edgecifar.exporting.bundle import export_bundle
    from edgecifar.exporting.options import Format, Io, Precision

    return export_bundle(
        run=run,
        float_model=tiny.float_model,
        qat_model=tiny.qat_model,
        formats=tuple(Format),
        precisions=(Precision.FLOAT32, Precision.INT8),
        io=Io.FLOAT32,
        calibration=None,
        golden=tiny.test,
        out=tmp_path_factory.mktemp("exported") / "bundle",
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
    command = "edgecifar verify, 4 artifacts"
    assert {command, f"{command}, again with another gate", "verify the int8 pair, nothing kept"} <= set(
        figures
    )
    whole, litert, ort, quotient = (
        figures[name]["median"]
        for name in (
            "verify the int8 pair, reference kept",
            "loop: LiteRT",
            "loop: ONNX Runtime",
            "verify the int8 pair, reference kept / the two engines' loops",
        )
    )
    assert quotient == pytest.approx(whole / (litert + ort))
    # The goals are for all test images, and these are a hundred.
    assert not any(figure["goal"] for figure in figures.values())


def test_training_speed(checkout: Path, tmp_path: Path) -> None:
    small = ("speed", "--repeats", 1, "--steps", 1, "--batch-sizes", 16, "--results", tmp_path)
    process = benchmark(checkout, "training.py", *small, "--json")
    figures = figures_of(process, 1)
    assert json.loads((tmp_path / "training-speed.json").read_text()) == json.loads(process.stdout)
    ((name, quotient),) = ((name, figure) for name, figure in figures.items() if figure["goal"])
    assert quotient["goal"]["value"] == 1.3
    ours, keras = name.split(" / ")
    assert keras == "Keras fit, float32, batch 16"
    assert quotient["median"] == pytest.approx(figures[ours]["median"] / figures[keras]["median"])


def test_training_curves(checkout: Path, made: Any, tmp_path: Path) -> None:
    small = ("published", "--images", 128, "--epochs", 2, "--results", tmp_path)
    process = benchmark(checkout, "training.py", *small, "--json")
    figures_of(process, 2)
    published = json.loads((tmp_path / "curve-published.json").read_text())
    assert len(published["val_accuracy"]) == len(published["seconds"]) == 2
    assert published["images"] == 128
    # Of the published network: 38.65 million forward, twice that for gradients, less the first layer's input.
    assert published["multiply_adds"] == 3 * 38_653_952 - 32 * 32 * 32 * 27

    trained = made.run / "trained"
    process = benchmark(checkout, "training.py", "ours", trained, "--results", tmp_path, "--json")
    assert process.returncode == 0, process.stderr
    ours = json.loads((tmp_path / "curve-ours.json").read_text())
    rows = list(csv.DictReader((trained / "history.csv").read_text().splitlines()))
    assert ours["val_accuracy"] == [float(row["val_accuracy"]) for row in rows]
    assert ours["seconds"] == [float(row["seconds"]) for row in rows]
    assert ours["images"] == 1800
    assert "not reached" in process.stdout

    process = benchmark(checkout, "training.py", "compute", "--results", tmp_path)
    assert process.returncode == 2
    assert "did not reach 90 %" in process.stderr


def test_training_profile(checkout: Path, tmp_path: Path) -> None:
    small = ("profile", "--repeats", 1, "--steps", 1, "--results", tmp_path, "--json")
    process = benchmark(checkout, "training.py", *small, "--set", "training.batch_size=8")
    outcome = json.loads(process.stdout)
    assert process.returncode == 0, process.stderr
    (share,) = (figure for figure in outcome["figures"] if figure["unit"] == "times")
    assert 0 < share["median"] < 1
    # The step's convolutions and their gradients were seen, whatever library computes them.
    listed = " ".join(outcome["notes"])
    assert "Conv2DBackpropFilter" in listed
    assert "Conv2DBackpropInput" in listed


def test_export(checkout: Path, bundle: Path) -> None:
    small = ("--repeats", 1, "--limit", 20, "--calibration", 10, "--calls", 3)
    figures = figures_of(benchmark(checkout, "export.py", bundle, *small, "--json"), 1)
    judged = {name for name, figure in figures.items() if figure["goal"]}
    assert judged == {
        "int8.tflite, edgecifar / int8.tflite, TFLiteConverter",
        "int8.tflite, edgecifar, int8 in and out / int8.tflite, ai-edge-quantizer",
        "int8.onnx, edgecifar / int8.onnx, tf2onnx",
        "int8.onnx, edgecifar, floats in and out / int8.onnx, quantize_static",
    }
    ours, theirs = (figures[f"int8.onnx, {maker}: one image"]["median"] for maker in ("edgecifar", "tf2onnx"))
    quotient = figures["int8.onnx, edgecifar / int8.onnx, tf2onnx"]["median"]
    assert quotient == pytest.approx(ours / theirs)
    assert figures["int8.tflite, edgecifar: size"]["median"] == (bundle / "model.int8.tflite").stat().st_size
    # Other boundaries, the same network.
    for twin in ("int8.tflite, edgecifar, int8 in and out", "int8.onnx, edgecifar, floats in and out"):
        plain = twin.rpartition(", ")[0]
        assert figures[f"{twin}: top-1"]["median"] == figures[f"{plain}: top-1"]["median"]
    # One network in all files: top-1 on twenty images may differ by a few.
    rates = [figure["median"] for name, figure in figures.items() if name.endswith(": top-1")]
    assert max(rates) - min(rates) <= 25


def test_what_edgecifar_refuses_ends_a_benchmark_as_it_ends_the_command(
    checkout: Path, tmp_path: Path
) -> None:
    process = benchmark(checkout, "verify.py", tmp_path / "none")
    assert process.returncode == 2
    assert "error:" in process.stderr
    assert "Traceback" not in process.stderr


def test_twins(checkout: Path, run: Run) -> None:
    process = benchmark(checkout, "twins.py", run.folder, "--images", 100)
    assert process.returncode == 0, process.stderr
    rows = [line for line in process.stdout.splitlines() if " of 100 |" in line]
    assert len(rows) == 3
    assert "| 0 of 100 | 0 | 0 |" in rows[-1]


def test_int8_onnx(checkout: Path, run: Run, tmp_path: Path) -> None:
    small = (
        "--repeats",
        1,
        "--images",
        100,
        "--json",
        tmp_path / "rows.json",
        "--plot",
        tmp_path / "plot.png",
    )
    process = benchmark(checkout, "onnx_int8.py", run.folder, *small)
    assert process.returncode == 0, process.stderr
    written = json.loads((tmp_path / "rows.json").read_text())
    rows = {row["variant"]: row for row in written["rows"]}
    (cpu,) = (cpu["name"] for cpu in written["cpus"])
    assert len(rows) == 8
    assert all(row["on"][cpu]["ms"]["median"] > 0 for row in rows.values())
    # The stock file has the converter's weights and TFLite's activations; this tool's are safe and fused.
    stock, ours = rows["stock tf2onnx"], rows["edgecifar"]
    assert ours["unsafe_pairs"] == 0
    assert ours["integer_layers"] == ours["layers"] > stock["integer_layers"]
    assert ours["size_bytes"] < min(
        row["size_bytes"] for name, row in rows.items() if "edgecifar" not in name
    )
    assert rows["edgecifar without safe weights"]["unsafe_pairs"] > 0
    found = ours["on"][cpu]
    assert (found["unlike_xnnpack"], found["classes_unlike_xnnpack"]) == (0, 0)
    assert rows["float32"]["on"][cpu]["unlike_xnnpack"] is None
    reached = {figure["name"]: figure for figure in written["figures"]}
    assert reached[f"{cpu}: images bit for bit as XNNPACK"]["goal"] == {
        "bound": "at least",
        "value": 99.9,
        "met": True,
    }
    speed, bits = (block.splitlines() for block in process.stdout.split("\n\n")[-2:])
    assert len(speed) == len(bits) == 2 + 8
    assert (tmp_path / "plot.png").stat().st_size > 1000


@pytest.mark.mcu
def test_microcontroller(checkout: Path) -> None:
    bundle = checkout / "exported" / "tiny-resnet8"
    process = benchmark(
        checkout, "microcontroller.py", bundle, "--repeats", 1, "--limit", 1, "--cores", "m4", "--json"
    )
    figures = figures_of(process, 1)
    assert figures["TensorFlow Lite Micro / C, portable"]["goal"]["value"] == 25
    for level in ("-Os", "-O2", "-O3"):
        flash, beyond = (figures[f"m4 {level}: {name}"] for name in ("flash", "flash beyond constants"))
        assert beyond["median"] < flash["median"] < 150_000
        assert figures[f"m4 {level}: RAM"]["unit"] == "bytes"
        assert figures[f"m4 {level}: instructions"]["median"] > 1_000_000
    assert figures["m4 -O2: instructions"]["goal"]["value"] == 20e6
    arena, micro = json.loads(process.stdout)["notes"]
    assert arena.startswith("Arena ")
    assert micro.startswith("TensorFlow Lite Micro needs a tensor arena of ")
