"""What all commands share: help, version, exit statuses, errors."""

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import edgecifar
from edgecifar import pipeline
from edgecifar.choices import RuntimeName
from edgecifar.cli.terminal import Terminal, figures_text, repeatable, with_data_dir
from edgecifar.errors import DataError, EdgecifarError, EngineMissingError
from edgecifar.runtimes import RUNTIME_NAMES

COMMANDS = [
    "train",
    "compress",
    "export",
    "recipes",
    "summary",
    "verify",
    "compare",
    "predict",
    "show",
    "doctor",
    "unpack-check",
]


def test_help_names_commands_and_exit_statuses(invoke: Any) -> None:
    outcome = invoke("--help")
    assert outcome.status == 0
    for command in COMMANDS:
        assert f"  {command} " in outcome.out
    for status in ("0 done", "1 a gate failed", "2 wrong usage", "3 a needed engine", "130 interrupted"):
        assert status in " ".join(outcome.out.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str, invoke: Any) -> None:
    outcome = invoke(command, "-h")
    assert outcome.status == 0
    assert f"{command} [OPTIONS]" in outcome.out
    if command not in {"recipes", "doctor"}:
        assert "Examples:\n" in outcome.out


def test_version(invoke: Any) -> None:
    outcome = invoke("--version")
    assert (outcome.status, outcome.out) == (0, f"edgecifar {edgecifar.__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["tarin"],
        ["train", "--epoch", "3"],
        ["train", "--data", "imagenet"],
        ["train", "--device", "tpu"],
        ["compress", "--prune", "1.5"],
        ["compress", "--epochs", "0"],
        ["export", "--format", "coreml"],
        ["export", "--io", "int16"],
        ["verify", "--max-drop", "much"],
        ["verify", "--max-drop", "-1pp"],
        ["verify", "--max-drop", "nan"],
        ["verify", "--runtime", "tensorrt"],
        ["verify", "--limit", "0"],
        ["verify", "--mean", "121"],
        ["verify", "--mean", "300", "--std", "1"],
        ["verify", "--mean", "1,2", "--std", "1"],
        ["verify", "--scale", "1/0"],
        ["verify", "--scale", "1,1,1"],
        ["verify", "--scale", "1/255", "--mean", "121", "--std", "64"],
        ["verify", "--layout", "nchw"],
        ["verify", "--layout", "chw", "--scale", "1"],
        ["verify", "--channels", "bgr"],
        ["predict", "x.onnx", "y.png", "--resize", "0", "--scale", "1"],
        ["verify", "--mean", "0", "--std", "0"],
        ["predict"],
        ["predict", "x.onnx", "--first", "0"],
        ["show"],
        ["show", "movies", "-o", "x.png"],
        ["show", "data"],
        ["show", "data", "-o", "x.png", "--model", "m"],
        ["show", "mistakes", "-o", "x.png", "--model", "m", "-r", "demo"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(arguments: list[str], invoke: Any) -> None:
    outcome = invoke(*arguments)
    assert outcome.status == 2
    assert "Usage:" in outcome.out + outcome.err
    assert arguments == [] or outcome.out == ""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DataError("The disk sulks.", "Talk to it."), 2),
        (EngineMissingError("The engine is out.", "Wait."), 3),
        (EdgecifarError("[bold]brackets[/] stay", "pip install 'edgecifar[gpu]'"), 2),
    ],
)
def test_an_error_becomes_a_message_and_its_status(
    error: EdgecifarError, status: int, invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(pipeline, "examine", fail)
    outcome = invoke("doctor")
    assert (outcome.status, outcome.out) == (status, "")
    assert outcome.err == f"error: {error.problem}\n       {error.mend}\n"


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_the_traceback(place: str, invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise DataError("The disk sulks.")

    monkeypatch.setattr(pipeline, "examine", fail)
    with pytest.raises(DataError, match="sulks"):
        invoke(*(["--debug", "doctor"] if place == "before" else ["doctor", "--debug"]))


def test_words_after_two_dashes_are_no_options(refused: Any) -> None:
    assert "--debug: there is no such file" in refused("verify", "--", "--debug")


@pytest.mark.parametrize(
    ("number", "mend"),
    [
        (errno.ENOSPC, "Make room and try again"),
        (errno.EACCES, "Change its permissions"),
        (errno.EROFS, "Choose another place: this one is read-only."),
    ],
)
def test_an_error_of_the_system_names_the_file_and_the_mend(
    number: int, mend: str, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number), "there/file")

    monkeypatch.setattr(pipeline, "examine", fail)
    assert refused("doctor").startswith(f"error: there/file: {os.strerror(number)}.\n       {mend}")


def test_a_reader_that_has_gone_is_no_error_to_tell(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(pipeline, "examine", fail)
    outcome = invoke("doctor")
    assert (outcome.status, outcome.err) == (1, "")


@pytest.mark.parametrize("command", [["doctor"], ["doctor", "--json"]])
def test_ctrl_c_is_status_130(command: list[str], invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "examine", interrupt)
    outcome = invoke(*command)
    assert (outcome.status, outcome.out, outcome.err) == (130, "", "error: Interrupted.\n")


def test_json_is_not_wrapped_at_any_width(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    listed = invoke("recipes", "--json")
    assert json.loads(listed.out)
    assert max(map(len, listed.out.splitlines())) > 60


def test_the_engines_offered_are_those_that_there_are() -> None:
    assert tuple(RuntimeName) == RUNTIME_NAMES


# Words


def test_a_command_can_be_repeated_elsewhere() -> None:
    words = ["train", "--data-dir", "/home/me/data", "--set", "a.b=[1, 2]", "--data-dir=/x"]
    assert repeatable(words) == "edgecifar train --data-dir DIR --set 'a.b=[1, 2]' --data-dir=DIR"


def test_the_next_command_reads_the_same_images() -> None:
    assert with_data_dir("edgecifar verify", None) == "edgecifar verify"
    assert with_data_dir("edgecifar verify", Path("my data")) == "edgecifar verify --data-dir 'my data'"


def test_figures_are_put_in_words() -> None:
    figures = {"epoch": 3.0, "loss": 0.41234, "accuracy": 0.8714, "val_accuracy": 0.5}
    told = "epoch 3, loss 0.412, accuracy 87.1 %, val accuracy 50.0 %"
    assert figures_text(figures, 0.0, "images") == told
    assert figures_text(figures, 1234.5, "images") == "1,234 images/s, " + told


# Results


def test_names_may_hold_anything(capsys: pytest.CaptureFixture[str]) -> None:
    odd = "runs/[bold]/[/bold] :smile: " + 40 * "long/"
    terminal = Terminal(quiet=False, debug=False)
    terminal.result(f"Report: {odd}")
    terminal.say(odd)
    terminal.error(odd, odd)
    terminal.next_step(odd)
    out, err = capsys.readouterr()
    assert out == f"Report: {odd}\n"
    assert err == f"{odd}\nerror: {odd}\n       {odd}\nNext: {odd}\n"


def test_each_line_of_an_error_stands_under_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(quiet=False, debug=False).error("Wrong key.\nKnown keys: a.", "Do this.\nOr that.")
    indent = "       "
    assert capsys.readouterr().err == (
        f"error: Wrong key.\n{indent}Known keys: a.\n{indent}Do this.\n{indent}Or that.\n"
    )


# Progress


def test_a_bar_may_be_called_anything() -> None:
    screen = io.StringIO()
    terminal = Terminal(quiet=False, debug=False)
    terminal._err = Console(file=screen, force_terminal=True, width=100, color_system=None)
    with terminal.task("Reading [/x]", 100, "images") as task:
        task.advance(50)
    assert "Reading [/x]" in screen.getvalue()


@pytest.mark.parametrize(("width", "told"), [(120, "accuracy 25.0 %"), (60, "epoch 3")])
def test_a_terminal_gets_a_bar_that_keeps_its_time(width: int, told: str) -> None:
    screen = io.StringIO()
    terminal = Terminal(quiet=False, debug=False)
    terminal._err = Console(file=screen, force_terminal=True, width=width, color_system=None)
    with terminal.task("train", 100, "images") as task:
        task.advance(50, epoch=3, loss=1.5, accuracy=0.25)
    assert "train " in screen.getvalue()
    assert " 50% ETA " in screen.getvalue()
    assert told in screen.getvalue()


def test_tasks_at_one_time_share_the_terminal() -> None:
    screen = io.StringIO()
    terminal = Terminal(quiet=False, debug=False)
    terminal._err = Console(file=screen, force_terminal=True, width=100, color_system=None)
    with terminal.task("first", 100, "images") as one:
        with terminal.task("second", 10, "images") as other:
            one.advance(50)
            other.advance(9)
            assert terminal._bars is not None
            terminal._bars.refresh()
        one.advance(25)
    with terminal.task("third", 1, "images"):
        pass
    shown = screen.getvalue()
    assert all(text in shown for text in ("first", " 50%", "second", " 90%", " 75%", "third"))
    assert terminal._bars is None


def test_a_log_tells_how_long_it_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    terminal = Terminal(quiet=False, debug=False)
    terminal._err = Console(file=log, force_terminal=False, width=90, soft_wrap=True)
    clock = iter([0.0, 0.0, 10.0, 20.0])
    monkeypatch.setattr("edgecifar.cli.terminal.time.monotonic", lambda: next(clock))
    with terminal.task("m.onnx in ort-cpu", 1000, "images") as task:
        task.advance(250)
    assert log.getvalue() == "m.onnx in ort-cpu  25%  25 images/s, 30 s left\n"


def test_a_log_of_slow_steps_tells_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    terminal = Terminal(quiet=False, debug=False)
    terminal._err = Console(file=log, force_terminal=False, width=90, soft_wrap=True)
    clock = iter([0.0, 0.0, 10.0, 20.0, 40.0, 60.0])
    monkeypatch.setattr("edgecifar.cli.terminal.time.monotonic", lambda: next(clock))
    with terminal.task("Exporting", 2, "files") as task:
        task.advance()
        task.advance()
    assert log.getvalue() == "Exporting  50%  10 s left\nExporting 100%\n"


def test_a_log_gets_a_line_at_the_end_of_each_epoch() -> None:
    log = io.StringIO()
    terminal = Terminal(quiet=False, debug=False)
    terminal._err = Console(file=log, force_terminal=False, width=60, soft_wrap=True)
    with terminal.task("train", 100, "images") as task:
        task.advance(25, epoch=1, loss=1.5)
        task.advance(25, epoch=1, loss=1.25)
        task.advance(0, epoch=1, val_accuracy=0.5)
    assert log.getvalue() == "train  50%  epoch 1, loss 1.250, val accuracy 50.0 %\n"


def test_quiet_gets_no_progress() -> None:
    screen = io.StringIO()
    terminal = Terminal(quiet=True, debug=False)
    terminal._err = Console(file=screen, force_terminal=True)
    with terminal.task("train", 100, "images") as task:
        task.advance(100, val_accuracy=0.5)
    assert screen.getvalue() == ""
