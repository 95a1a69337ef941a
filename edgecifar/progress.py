"""How stages tell of their progress without printing: the command line draws it, others may ignore it."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Task(Protocol):
    """A piece of work with a known length."""

    def advance(self, amount: int = 1, **figures: float) -> None:
        """Tells that `amount` more units are done, with the latest figures (loss=0.41, accuracy=0.87)."""
        ...


class Progress(Protocol):
    """Where a stage's progress goes."""

    def task(self, name: str, total: int, unit: str) -> AbstractContextManager[Task]:
        """Returns a context in which one task of `total` units ("images", "bytes") advances."""
        ...

    def say(self, message: str) -> None:
        """Tells one sentence that a person should know: what was chosen, found, or skipped."""
        ...


class _SilentTask:
    def advance(self, amount: int = 1, **figures: float) -> None:
        pass


class Silent:
    """Progress that goes nowhere."""

    def task(self, name: str, total: int, unit: str) -> AbstractContextManager[Task]:
        """Returns a context whose task tells nobody."""
        return nullcontext(_SilentTask())

    def say(self, message: str) -> None:
        """Says it to nobody."""


SILENT = Silent()
