"""Models that other tools made, and the command line in this process; the scripts beside say how."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edgecifar.cli import app


@pytest.fixture
def verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs `edgecifar verify --json` in an empty folder; returns the report."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, status: int = 0) -> Any:
        words = ["verify", *map(str, arguments), "--json"]
        result = CliRunner().invoke(app, words, catch_exceptions=False)
        assert result.exit_code == status, result.stderr
        return json.loads(result.stdout) if status < 2 else result.stderr

    return run
