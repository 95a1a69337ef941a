"""A training that was killed and resumed ends as one that was not."""

import csv
import io
import json
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")]

DYING = Path(__file__).with_name("dying.py")
DEATHS = [
    ("train", 1, "after"),
    ("train", 2, "inside"),
    ("prune", 2, "inside"),
    ("quantize", 1, "after"),
]


def weights_of(path: Path) -> dict[str, NDArray[Any]]:
    """Returns every array of a `.keras` or `.h5` file by its place."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            content = archive.read("model.weights.h5")
    else:
        content = path.read_bytes()
    arrays: dict[str, NDArray[Any]] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = np.asarray(item[()])

    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(keep)
    return arrays


def history_of(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["seconds"]
    return rows


@pytest.fixture(scope="module")
def survivor(
    made: Any,
    command_line: Any,
    process_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The run of `made`, but killed at each of `DEATHS` and resumed each time."""
    home = tmp_path_factory.mktemp("survivor")
    arguments = made.trained.args[made.trained.args.index("train") :]
    for phase, epoch, moment in DEATHS:
        done = subprocess.run(
            [sys.executable, str(DYING), phase, str(epoch), moment, *arguments],
            check=False,
            cwd=home,
            env=process_environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == -signal.SIGKILL, f"{phase} {epoch} {moment}\n{done.stdout}\n{done.stderr}"
        assert not list(home.glob("runs/*/run.json"))
        arguments = ["train", "--resume", "--device", "cpu"]
    done = command_line(*arguments, cwd=home)
    assert "runs/demo-shallow3-0001/trained is trained already." in done.stderr
    assert "Going on after epoch 1 of 2." in done.stderr
    return home / made.run.relative_to(made.home)


@pytest.mark.parametrize("name", ["trained/model.keras", "reference.keras", "model.keras", "qat.h5"])
def test_the_weights_are_the_same_to_the_bit(name: str, made: Any, survivor: Path) -> None:
    expected, found = weights_of(made.run / name), weights_of(survivor / name)
    assert len(expected) > 10
    assert found.keys() == expected.keys()
    for place, values in expected.items():
        np.testing.assert_array_equal(found[place], values, err_msg=place)


@pytest.mark.parametrize("folder", [".", "trained"])
def test_the_history_is_the_same_but_for_the_seconds(folder: str, made: Any, survivor: Path) -> None:
    expected = history_of(made.run / folder)
    assert [row["phase"] for row in history_of(made.run)] == ["train"] * 2 + ["prune"] * 2 + ["quantize"] * 2
    assert history_of(survivor / folder) == expected


def test_the_record_is_the_same_but_for_the_duration(made: Any, survivor: Path) -> None:
    records = [json.loads((run / "run.json").read_text(encoding="utf-8")) for run in (made.run, survivor)]
    for record in records:
        del record["duration_s"]
    assert records[1] == records[0]


def test_no_checkpoint_and_no_half_written_file_is_left(survivor: Path, made: Any) -> None:
    def names(run: Path) -> set[str]:
        paths = (path.relative_to(run) for path in run.rglob("*") if path.is_file())
        # Each process that trains adds a file of events.
        return {path.as_posix() for path in paths if "events" not in path.parts}

    assert names(survivor) == names(made.run)


@pytest.fixture
def heard() -> Iterator[None]:
    """Lets child processes hear Ctrl-C, which a shell's background jobs and their children ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_ends_with_one_clear_sentence(process_environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgecifar", "train", "--recipe", "demo", "--set", "model.name=shallow3"]
    with subprocess.Popen(
        [*command, "--set", "training.epochs=1000"],
        cwd=tmp_path,
        env=process_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        told = []
        for line in process.stderr:
            told.append(line)
            if "epoch 1," in line:
                break
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=60)
    assert process.returncode == 130, "".join(told) + rest
    assert out == ""
    assert "Traceback" not in rest
    last = rest.strip().splitlines()[-2:]
    assert last == [
        "error: Interrupted.",
        "       Finished epochs are kept; go on with: edgecifar train --resume --out runs/demo-shallow3-0001",
    ]
    assert (tmp_path / "runs/demo-shallow3-0001/trained/checkpoint/train/progress.json").is_file()
