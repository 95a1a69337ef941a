"""`edgecifar --help` answers at once because it imports none of the engines."""

import subprocess
import sys
from pathlib import Path

HEAVY = {
    "PIL",
    "ai_edge_litert",
    "altair",
    "jinja2",
    "keras",
    "matplotlib",
    "numpy",
    "onnx",
    "onnxruntime",
    "scipy",
    "sklearn",
    "statsmodels",
    "tensorflow",
    "tensorflow_model_optimization",
    "tf2onnx",
    "tf_keras",
}

SCRIPT = """
import sys
from edgecifar.cli import main

sys.argv = ["edgecifar", *sys.argv[1:]]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print("imported:", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def imported_by(*arguments: str) -> set[str]:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], check=True, capture_output=True, text=True, timeout=60
    )
    last = result.stdout.splitlines()[-1]
    assert last.startswith("imported:")
    return set(last.split()[1:])


def test_help_imports_no_engine() -> None:
    modules = imported_by("--help")
    assert "edgecifar" in modules
    assert not modules & HEAVY


def test_a_commands_help_imports_no_engine() -> None:
    assert not imported_by("train", "--help") & HEAVY


def test_a_second_verify_starts_no_engine(checkout: Path, tmp_path: Path) -> None:
    bundle = checkout / "exported" / "tiny-resnet8"
    arguments = [
        "--quiet", "verify", str(bundle / "model.int8.tflite"), "--against", str(bundle), "--data", "sample",
        "--limit", "20", "--out", str(tmp_path),
    ]  # fmt: skip
    imported_by(*arguments)
    again = imported_by(*arguments, "--max-drop", "100pp")
    assert not again & {"tensorflow", "tf_keras", "keras", "ai_edge_litert", "onnxruntime"}
    assert "sklearn" in again
