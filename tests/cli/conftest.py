"""The command line in this process."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edgecifar.cli import app


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Invoke = Callable[..., Outcome]


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs a command in an empty folder, where there is no CIFAR-10; what is no exit is a bug and raised."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras-home"))
    monkeypatch.delenv("EDGECIFAR_DATA_DIR", raising=False)
    # Rich takes the width of no terminal from here.
    monkeypatch.setenv("COLUMNS", "160")
    runner = CliRunner()

    def run(*arguments: object) -> Outcome:
        result = runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def refused(invoke: Invoke) -> Callable[..., str]:
    """Runs a command that must be refused as unusable input, in one clear message; returns the message."""

    def run(*arguments: object, status: int = 2) -> str:
        outcome = invoke(*arguments)
        assert outcome.status == status, outcome.out + outcome.err
        assert outcome.out == ""
        assert "Traceback" not in outcome.err
        problems = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
        assert len(problems) == 1, outcome.err
        # What to install ends with the command.
        assert problems[0].endswith((".", "?") if status == 2 else (".", "'")), problems[0]
        return outcome.err[outcome.err.index("error: ") :]

    return run
