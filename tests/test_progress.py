import pytest

from edgecifar.progress import SILENT, Progress


def test_silent_takes_all_that_stages_tell_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    progress: Progress = SILENT
    with progress.task("train", 10, "images") as task:
        task.advance()
        task.advance(9, loss=0.5, accuracy=0.9)
    progress.say("Training on CPU.")
    assert capfd.readouterr() == ("", "")


def test_silent_lets_errors_through() -> None:
    with pytest.raises(KeyboardInterrupt), SILENT.task("train", 10, "images"):
        raise KeyboardInterrupt
