import os
from pathlib import Path
from typing import Any

import pytest
import typer

from edgecifar.artifacts import Gate, Policy
from edgecifar.choices import Bound, OnSubset
from edgecifar.cli.gating import policy_of

CIFAR10_DIR = os.environ.get("EDGECIFAR_DATA_DIR")
NOTHING: dict[str, Any] = {
    "max_drop": None,
    "drop_bound": None,
    "max_class_drop": None,
    "min_agreement": None,
    "max_size": None,
    "max_latency": None,
    "on_subset": None,
}


def test_options_make_a_policy() -> None:
    found = policy_of(
        None,
        max_drop="0.5pp",
        drop_bound=Bound.UPPER,
        max_class_drop="2",
        min_agreement="98%",
        max_size="350KB",
        max_latency=1.5,
        on_subset=OnSubset.JUDGE,
    )
    assert found == Policy(
        gate=Gate(
            max_drop_pp=0.5,
            drop_bound=Bound.UPPER,
            max_class_drop_pp=2,
            min_agreement=0.98,
            max_size_bytes=350_000,
            max_latency_ratio=1.5,
            on_subset=OnSubset.JUDGE,
        )
    )
    assert policy_of(None, **NOTHING) == Policy()


def test_options_change_the_gate_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "verify.toml"
    path.write_text("[gate]\nmax_drop_pp = 2\nmin_agreement = 0.9\n[[rules]]\nmax_size_bytes = 10\n")
    found = policy_of(path, **NOTHING | {"max_drop": "0.5pp"})
    assert found.gate == Gate(max_drop_pp=0.5, min_agreement=0.9)
    assert found.rules[0].max_size_bytes == 10


@pytest.mark.parametrize(
    ("text", "size"), [("350000", 350_000), ("1MiB", 2**20), ("1.5 kb", 1_500), ("12B", 12)]
)
def test_sizes(text: str, size: int) -> None:
    assert policy_of(None, **NOTHING | {"max_size": text}).gate.max_size_bytes == size


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("max_drop", "much"),
        ("max_class_drop", "-1pp"),
        ("min_agreement", "0.98"),
        ("min_agreement", "101%"),
        ("min_agreement", "nan%"),
        ("max_size", "0"),
        ("max_size", "nanKB"),
        ("max_size", "1GiBB"),
        ("max_latency", 0.0),
        ("max_latency", float("inf")),
        ("drop_bound", Bound.UPPER),
        ("on_subset", OnSubset.VETO),
    ],
)
def test_what_cannot_be_understood_is_refused(option: str, text: object) -> None:
    with pytest.raises(typer.BadParameter, match=f"--{option.replace('_', '-')}"):
        policy_of(None, **NOTHING | {option: text})


def test_a_gate_that_is_not_proven_ends_with_1_and_is_named(invoke: Any, checkout: Path) -> None:
    model = checkout / "exported" / "tiny-resnet8" / "model.int8.onnx"
    arguments = ["verify", model, "--data", "sample", "--limit", 40, "--runtime", "ort-cpu", "--no-cache"]
    outcome = invoke(*arguments, "--max-drop", "5pp", "--drop-bound", "upper", "--max-size", "1MB")
    assert outcome.status == 1
    assert "images to prove it" in outcome.err
    assert "bytes" not in outcome.err


def test_each_broken_gate_is_named(invoke: Any, checkout: Path, tmp_path: Path) -> None:
    policy = tmp_path / "verify.toml"
    policy.write_text("[gate]\nmax_size_bytes = 10\n[[rules]]\nruntime = 'ort-*'\nmin_agreement = 1.0\n")
    bundle = checkout / "exported" / "tiny-resnet8"
    models = [bundle / "model.int8.onnx", bundle / "model.int8.tflite"]
    runtimes = ["--runtime", "ort-cpu", "--runtime", "litert"]
    options = ["--data", "sample", "--limit", 40, "--policy", policy, "--no-cache", "--json"]
    outcome = invoke("verify", *models, *runtimes, *options)
    assert outcome.status == 1
    assert outcome.err.count("more than the 10 allowed") == 2
    kinds = [[check["kind"] for check in one["checks"]] for one in outcome.json["comparisons"]]
    assert ["min_agreement", "max_size_bytes"] in kinds
    assert ["max_size_bytes"] in kinds


def test_engines_that_see_few_images_veto_and_do_not_vouch(invoke: Any, checkout: Path) -> None:
    """In litert-reference, 40 images give another drop than all 1,000 do, as chance wills."""
    model = checkout / "exported" / "tiny-resnet8" / "model.int8.tflite"
    common = ["verify", model, "--data", "sample", "--subset", 40, "--json"]
    both = ["--runtime", "litert", "--runtime", "litert-reference"]
    outcome = invoke(*common, *both, "--max-drop", "0.5pp")
    assert outcome.status == 0
    checks = [check for one in outcome.json["comparisons"] for check in one["checks"]]
    assert [(check["verdict"], check["is_veto"]) for check in checks] == [
        ("pass", False),
        ("undecided", True),
    ]
    assert "is undecided on 40 images" in checks[1]["sentence"]
    assert "skipped" in Path("report/junit.xml").read_text(encoding="utf-8")
    # Nobody vouches for the file: the few images alone prove nothing.
    outcome = invoke(*common, "--runtime", "litert-reference", "--max-drop", "0.5pp")
    assert outcome.status == 1
    assert "is undecided on 40 images" in outcome.err


def test_a_few_images_that_contradict_fail(invoke: Any, checkout: Path, tmp_path: Path) -> None:
    """Fed with black images the file loses far more than 0.5 pp: 40 of them show it."""
    bundle = checkout / "exported" / "tiny-resnet8"
    alone = tmp_path / "alone.tflite"
    alone.write_bytes((bundle / "model.int8.tflite").read_bytes())
    options = ["--against", bundle, "--data", "sample", "--subset", 40, "--max-drop", "0.5pp", "--json"]
    runtimes = ["--runtime", "litert-reference"]
    outcome = invoke("verify", alone, "--scale", "1/255", *options, *runtimes)
    assert outcome.status == 1
    assert "loses at least" in outcome.err


@pytest.fixture
def cifar10_dir() -> Path:
    if CIFAR10_DIR is None:
        pytest.skip("needs the full CIFAR-10, in the folder that EDGECIFAR_DATA_DIR names")
    return Path(CIFAR10_DIR).resolve()


def test_the_shipped_bundle_holds_half_a_point(
    invoke: Any, checkout: Path, cifar10_dir: Path, tmp_path: Path
) -> None:
    """On the official test set, of which the reference kernels see 200 images and lose more by chance."""
    bundle = checkout / "exported" / "tiny-resnet8"
    report = tmp_path / "report"
    outcome = invoke("verify", bundle, "--data-dir", cifar10_dir, "--max-drop", "0.5pp", "--out", report)
    assert outcome.status == 0, outcome.out + outcome.err
    assert "undecided on 200 images" in outcome.out
    assert "undecided on 200 images" in (report / "report.md").read_text(encoding="utf-8")
    assert "undecided on 200 images" in (report / "index.html").read_text(encoding="utf-8")
    assert 'failures="0"' in (report / "junit.xml").read_text(encoding="utf-8")
