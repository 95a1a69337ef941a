import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("two_devices.py")


def test_two_devices_train_as_one(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    one, two = json.loads(result.stdout)
    assert len(one["rows"]) == len(two["rows"]) == 2
    for row_of_one, row_of_two in zip(one["rows"], two["rows"], strict=True):
        assert row_of_two == pytest.approx(row_of_one, rel=1e-5)
    assert two["weights"] == pytest.approx(one["weights"], abs=1e-6)
    assert max(map(abs, one["weights"])) > 0.01
