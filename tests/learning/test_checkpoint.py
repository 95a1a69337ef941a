import errno
from pathlib import Path

import pytest
import tensorflow as tf

from edgecifar.errors import TrainingError
from edgecifar.learning.checkpoint import Checkpointer, EpochRow


class State(tf.Module):
    """Something with 1,000 numbers."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.numbers = tf.Variable(tf.fill([1000], value))


def row(epoch: int) -> EpochRow:
    return EpochRow(
        epoch=epoch,
        phase="train",
        learning_rate=0.1,
        loss=1 / 3,
        accuracy=0.5,
        val_loss=1e-9,
        val_accuracy=0.25,
        seconds=1.5,
    )


def checkpointer(folder: Path, value: float = 0.0, identity: str = "me") -> tuple[Checkpointer, State]:
    state = State(value)
    return Checkpointer(folder, identity, {"model": state}), state


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A checkpoint of the value 7 after two epochs."""
    folder = tmp_path / "run" / "checkpoint" / "train"
    saver, state = checkpointer(folder)
    saver.save((row(1),))
    state.numbers.assign(tf.fill([1000], 7.0))
    saver.save((row(1), row(2)))
    return folder


def test_nothing_saved_is_nothing_restored(tmp_path: Path) -> None:
    restorer, state = checkpointer(tmp_path / "train", 3.0)
    assert restorer.restore() == ()
    assert state.numbers[0].numpy() == 3


def test_the_last_state_comes_back_with_its_rows(saved: Path) -> None:
    restorer, state = checkpointer(saved)
    assert restorer.restore() == (row(1), row(2))
    assert (state.numbers.numpy() == 7).all()
    assert [path.name for path in saved.parent.iterdir()] == ["train"]


def test_another_recipe_is_refused_and_leaves_the_state_alone(saved: Path) -> None:
    restorer, state = checkpointer(saved, 3.0, identity="you")
    with pytest.raises(TrainingError, match="the checkpoint is of another recipe or data set") as caught:
        restorer.restore()
    assert caught.value.mend == f"Remove {saved} to start afresh."
    assert state.numbers[0].numpy() == 3


@pytest.mark.parametrize("name", ["progress.json", "state.index", "state.data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["cut short", "empty", "zeros"])
def test_a_damaged_checkpoint_is_refused(name: str, damage: str, saved: Path) -> None:
    path = saved / name
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {
            "cut short": content[:middle],
            "empty": b"",
            "zeros": content[:middle] + bytes(8) + content[middle + 8 :],
        }[damage]
    )
    with pytest.raises(TrainingError, match="the checkpoint is damaged"):
        checkpointer(saved)[0].restore()


def test_a_missing_state_is_refused(saved: Path) -> None:
    (saved / "state.index").unlink()
    with pytest.raises(TrainingError, match="the checkpoint is damaged"):
        checkpointer(saved)[0].restore()


def test_a_state_of_another_form_is_refused(saved: Path) -> None:
    other = tf.Module()
    other.weights = tf.Variable([1.0])
    with pytest.raises(TrainingError, match="the checkpoint is damaged"):
        Checkpointer(saved, "me", {"model": other}).restore()


def test_a_failed_save_keeps_the_last_state(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saver, state = checkpointer(saved)
    saver.restore()
    state.numbers.assign(tf.fill([1000], 9.0))

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgecifar.learning.checkpoint.write_text", fail)
    with pytest.raises(KeyboardInterrupt):
        saver.save((row(1), row(2), row(3)))
    restorer, state = checkpointer(saved)
    assert len(restorer.restore()) == 2
    assert (state.numbers.numpy() == 7).all()


def test_a_kill_while_the_folder_is_replaced_loses_nothing(saved: Path) -> None:
    # What a process leaves that is killed between the two renames of a save.
    saved.rename(saved.with_name(".train.123.old"))
    (saved.parent / ".train.abc.partial").mkdir()
    restorer, state = checkpointer(saved)
    assert len(restorer.restore()) == 2
    assert (state.numbers.numpy() == 7).all()


def test_a_full_disk_is_told_as_one_and_keeps_the_last_state(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver, _ = checkpointer(saved)

    def fail(*_: object) -> None:
        message = "{{function_node x}} /run/state; No space left on device [Op:SaveV2]"
        raise tf.errors.ResourceExhaustedError(None, None, message)

    monkeypatch.setattr(tf.train.Checkpoint, "write", fail)
    with pytest.raises(OSError, match="No space left on device") as caught:
        saver.save((row(1), row(2), row(3)))
    assert caught.value.errno == errno.ENOSPC
    assert len(checkpointer(saved)[0].restore()) == 2
