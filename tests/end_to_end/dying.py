"""Runs the command line, and kills its own process at a point of a training, as a power cut would.

python dying.py PHASE EPOCH inside|after ARGUMENTS ...
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgecifar.cli import main
from edgecifar.cli.terminal import Terminal

phase, epoch, moment, *arguments = sys.argv[1:]


class DyingTask:
    """A task whose progress kills the process: in the middle of an epoch, or right after its checkpoint."""

    def __init__(self, task: Any) -> None:
        self._task = task
        self._told = 0

    def advance(self, amount: int = 1, **figures: float) -> None:
        self._task.advance(amount, **figures)
        if figures.get("epoch") != int(epoch):
            return
        self._told += 1
        after = "val_accuracy" in figures
        if after if moment == "after" else self._told == 2 and not after:
            os.kill(os.getpid(), signal.SIGKILL)


whole_task = Terminal.task


@contextmanager
def task(self: Terminal, name: str, total: int, unit: str) -> Iterator[Any]:
    with whole_task(self, name, total, unit) as made:
        yield DyingTask(made) if name == phase else made


Terminal.task = task  # type: ignore[method-assign]
sys.argv = ["edgecifar", *arguments]
main()
