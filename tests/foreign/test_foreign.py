from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecifar.data.sample import read_sample
from edgecifar.data.splitting import Half

FOLDER = Path(__file__).parent
UNIT = ("--scale", "1/255")
TORCHVISION = (*UNIT, "--mean", "0.4914,0.4822,0.4465", "--std", "0.247,0.2435,0.2616")
SAMPLE = ("--data", "sample")

Verify = Callable[..., Any]


def only(report: Any) -> Any:
    [comparison] = report["comparisons"]
    return comparison


def accuracy(counts: Any) -> float:
    return float(counts["correct"] / counts["total"])


@pytest.mark.parametrize(
    ("name", "runtime", "lowest", "dtype"),
    [
        ("dynamic.tflite", "litert", 0.53, "float32"),
        ("int16x8.tflite", "litert", 0.53, "int16"),
        ("ai_edge_quantizer.tflite", "litert", 0.48, "int8"),
        ("classifier.keras", "keras", 0.554, "float32"),
    ],
)
def test_tflite_files_of_other_tools_against_a_keras_3_file(
    name: str, runtime: str, lowest: float, dtype: str, verify: Verify
) -> None:
    report = verify(
        FOLDER / name, "--against", FOLDER / "classifier.keras", *SAMPLE, *UNIT, "--runtime", runtime
    )
    # 554 right is what Keras 3 itself counted when it had trained the model.
    assert report["reference_accuracy"] == {"correct": 554, "total": 1000}
    assert report["reference_engine"]["version"].startswith("3.")
    assert accuracy(only(report)["accuracy"]) >= lowest
    assert only(report)["input_dtype"] == dtype
    assert only(report)["agreements"] >= 880
    [note] = [
        text for text in report["notes"] if text.startswith(f"{name} (as the options say): a model sees")
    ]
    assert "pixel × 0.003921569, RGB, NHWC, as " in note
    assert note.endswith("Its outputs sum to one: taken as probabilities.")


def test_pytorchs_export_and_its_qoperator_form(verify: Verify) -> None:
    report = verify(
        FOLDER / "qoperator.onnx", "--against", FOLDER / "nchw.onnx", *SAMPLE, *TORCHVISION,
        "--runtime", "ort-cpu",
    )  # fmt: skip
    # PyTorch counted 543 itself.
    assert abs(report["reference_accuracy"]["correct"] - 543) <= 1
    assert accuracy(only(report)["accuracy"]) > 0.52
    assert only(report)["agreements"] >= 960
    notes = " ".join(report["notes"])
    assert "(0.247, 0.2435, 0.2616), RGB, NCHW, as float32" in notes
    assert "Its outputs do not sum to one: taken as logits, softmax applied." in notes


def test_a_float16_model_built_by_hand_is_its_source(verify: Verify) -> None:
    of_source = verify(
        FOLDER / "nchw.onnx", "--against", FOLDER / "nchw.onnx", *SAMPLE, *TORCHVISION, "--runtime", "ort-cpu"
    )
    report = verify(
        FOLDER / "by_hand.onnx", "--against", FOLDER / "by_hand.onnx", *SAMPLE, "--scale", 1,
        "--channels", "bgr", "--runtime", "ort-cpu",
    )  # fmt: skip
    # The same network with other rounding on its way in: fixed batches of four, BGR, float16, softmax inside.
    ours, theirs = report["reference_accuracy"]["correct"], of_source["reference_accuracy"]["correct"]
    assert abs(ours - theirs) <= 1
    assert only(report)["input_dtype"] == "float16"
    wrong_colours = verify(
        FOLDER / "by_hand.onnx", "--against", FOLDER / "by_hand.onnx", *SAMPLE, "--scale", 1,
        "--runtime", "ort-cpu",
    )  # fmt: skip
    assert wrong_colours["reference_accuracy"]["correct"] < ours - 30


def test_wrong_scaling_breaks_the_gate_and_is_warned_of(verify: Verify) -> None:
    report = verify(
        FOLDER / "int16x8.tflite", "--against", FOLDER / "classifier.keras", *SAMPLE, "--scale", 1,
        "--runtime", "litert", "--max-drop", "0.5pp", "--limit", 200, status=1,
    )  # fmt: skip
    assert any("is the preprocessing right?" in note for note in report["notes"])


def test_images_of_an_archive(verify: Verify, tmp_path: Path) -> None:
    data = read_sample(Half.TEST).select(slice(0, 200))
    archive = tmp_path / "test.npz"
    np.savez(archive, images=data.images, labels=data.labels, class_names=np.array(data.class_names))
    report = verify(
        FOLDER / "dynamic.tflite", "--against", FOLDER / "classifier.keras", *UNIT, "--runtime", "litert",
        "--data", "npz", "--data-dir", archive,
    )  # fmt: skip
    assert report["data_fingerprint"] == data.fingerprint
    assert report["data_source"] == str(archive)
    assert report["reference_accuracy"]["total"] == 200


def test_larger_images_are_stretched_only_when_asked(verify: Verify, tmp_path: Path) -> None:
    data = read_sample(Half.TEST).select(slice(0, 100))
    archive = tmp_path / "test.npz"
    np.savez(archive, images=data.images.repeat(2, axis=1).repeat(2, axis=2), labels=data.labels)
    arguments = (
        FOLDER / "dynamic.tflite", "--against", FOLDER / "classifier.keras", *UNIT, "--runtime", "litert",
        "--data", "npz", "--data-dir", archive,
    )  # fmt: skip
    assert "takes images of 32×32 pixels" in verify(*arguments, status=2)
    report = verify(*arguments, "--resize", 32)
    assert accuracy(report["reference_accuracy"]) > 0.4
    assert any("resized to 32×32 (bilinear" in note for note in report["notes"])


def test_nothing_is_guessed(verify: Verify) -> None:
    message = verify(FOLDER / "dynamic.tflite", "--against", FOLDER / "classifier.keras", *SAMPLE, status=2)
    assert "nothing in or beside the file says how its pixels are scaled" in message
    assert "Give --scale" in message


def test_the_reference_may_see_other_values_than_the_candidate(verify: Verify) -> None:
    # nchw.onnx takes normalized values; by_hand.onnx, the same network, pixels in the other order of colours.
    of_reference = [
        f"--against-{word.removeprefix('--')}" if word.startswith("--") else word for word in TORCHVISION
    ]
    report = verify(
        FOLDER / "by_hand.onnx", "--scale", 1, "--channels", "bgr",
        "--against", FOLDER / "nchw.onnx", *of_reference, *SAMPLE, "--limit", 300, "--runtime", "ort-cpu",
    )  # fmt: skip
    assert only(report)["agreements"] >= 298
    notes = " ".join(report["notes"])
    assert "nchw.onnx (as the options say): a model sees (pixel × 0.003921569 - (0.4914" in notes
    assert "by_hand.onnx (as the options say): a model sees pixel, BGR" in notes


def test_options_for_the_reference_go_together(verify: Verify) -> None:
    told = verify(
        FOLDER / "by_hand.onnx", "--scale", 1, "--against", FOLDER / "nchw.onnx", "--against-mean", 0,
        *SAMPLE, status=2,
    )  # fmt: skip
    assert "--against-mean and --against-std go together" in " ".join(told.split())


def test_another_gate_runs_no_engine_again(verify: Verify) -> None:
    arguments = (
        FOLDER / "dynamic.tflite", "--against", FOLDER / "classifier.keras", *SAMPLE, *UNIT,
        "--limit", 150, "--runtime", "litert",
    )  # fmt: skip
    first = verify(*arguments)
    again = verify(*arguments, "--max-drop", "50pp")
    kept = [note for note in again["notes"] if "are kept from an earlier run" in note]
    assert len(kept) == 2
    assert only(again)["accuracy"] == only(first)["accuracy"]
    assert only(again)["images_per_s"] == only(first)["images_per_s"]
    fresh = verify(*arguments, "--no-cache")
    assert not any("kept from an earlier run" in note for note in fresh["notes"])


def test_models_run_side_by_side_unless_speed_is_judged(
    verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecifar.pipeline.proving.core_count", lambda: 2)
    arguments = (
        FOLDER / "nchw.onnx", "--against", FOLDER / "qoperator.onnx", *SAMPLE, *TORCHVISION,
        "--limit", 50, "--runtime", "ort-cpu",
    )  # fmt: skip
    beside = "images/s were measured with 2 models at a time."
    together = verify(*arguments)
    assert beside in together["notes"]
    assert only(together)["engine"]["threads"] == together["reference_engine"]["threads"] == 1
    for choice in (("--jobs", 1), ("--max-latency", 1000)):
        alone = verify(*arguments, *choice)
        assert beside not in alone["notes"]
        assert only(alone)["engine"]["threads"] == 2
