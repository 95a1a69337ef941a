"""What a person sees: messages and progress on standard error, results on standard output."""

import logging
import shlex
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar, Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from edgecifar.chatter import diverted

if TYPE_CHECKING:
    # Only types: help shall not wait for NumPy.
    from edgecifar.artifacts import Run

LOG_EVERY_S = 15.0
"""Between two progress lines where there is no terminal to draw a bar on."""


class Terminal:
    """The terminal, as `edgecifar.progress.Progress` too."""

    current: ClassVar["Terminal | None"] = None

    def __init__(self, *, quiet: bool, debug: bool) -> None:
        self.quiet = quiet
        self.debug = debug
        self.go_on = ""
        """What to do after Ctrl-C, where there is something to go on with."""
        # Paths and names may hold anything: brackets are no markup, and ":smile:" is no picture.
        self._err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
        self._out = Console(highlight=False, markup=False, emoji=False)
        self._lock = threading.RLock()
        self._bars: Progress | None = None
        self._tasks = 0
        """How many bars are shown."""

    @classmethod
    def start(cls, *, quiet: bool, debug: bool) -> Self:
        """Makes the terminal that this process writes to from now on."""
        made = cls(quiet=quiet, debug=debug)
        cls.current = made
        if debug:
            logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
            logging.getLogger("matplotlib").setLevel(logging.INFO)
        return made

    def hushed(self) -> AbstractContextManager[object]:
        """Returns a context in which libraries' own messages go to the log; with --debug they are shown."""
        return nullcontext() if self.debug else diverted()

    def say(self, message: str) -> None:
        """Tells one sentence, on standard error."""
        if not self.quiet:
            self._err.print(message, style="dim")

    def error(self, problem: str, mend: str = "") -> None:
        """Tells what is wrong and what to do, on standard error: under the first line, each further one."""
        first, *others = [*problem.splitlines(), *mend.splitlines()]
        self._err.print(Text.assemble(("error:", "bold red"), " ", first))
        for line in others:
            self._err.print("       " + line)

    def result(self, result: RenderableType) -> None:
        """Prints a result on standard output; a sentence on one line, so that others can read its path."""
        self._out.print(result, soft_wrap=isinstance(result, str))

    def data(self, text: str) -> None:
        """Prints machine-readable text on standard output, as it is."""
        sys.stdout.write(text + "\n")

    def next_step(self, command: str) -> None:
        """Tells what people type next."""
        if not self.quiet:
            self._err.print(f"Next: {command}")

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator["_Bar | _Lines | _Nothing"]:
        """Draws a bar on a terminal, prints a line now and then elsewhere, and nothing when quiet."""
        if self.quiet:
            yield _Nothing()
        elif not self._err.is_terminal:
            yield _Lines(self, name, total, unit)
        else:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=10),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                # Where there is little room, the last figures are cut off, not the time.
                TextColumn(
                    "{task.fields[figures]}", markup=False, table_column=Column(ratio=1, no_wrap=True)
                ),
            )
            bars = self._show_bars(columns)
            bar = bars.add_task(name, total=total or None, figures="")
            try:
                yield _Bar(bars, bar, unit)
            finally:
                self._take_away(bar)

    def _show_bars(self, columns: tuple[ProgressColumn, ...]) -> Progress:
        """Returns the bars on the terminal, which all tasks that run at one time share."""
        with self._lock:
            if self._bars is None:
                self._bars = Progress(*columns, console=self._err, transient=True, expand=True)
                self._bars.start()
            self._tasks += 1
            return self._bars

    def _take_away(self, bar: TaskID) -> None:
        with self._lock:
            self._tasks -= 1
            if self._bars is None:
                return
            if self._tasks:
                self._bars.remove_task(bar)
            else:
                # Draws the last state, and takes all away.
                self._bars.stop()
                self._bars = None


def load_pipeline() -> ModuleType:
    """Returns `edgecifar.pipeline`, whose functions import what they need when they are first used."""
    from edgecifar import pipeline

    if not terminal().debug:
        # Hints to developers of training loops (retracing, metrics), not to people who train.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return pipeline


def load_pipeline_with_tensorflow() -> ModuleType:
    """Returns `edgecifar.pipeline`, with TensorFlow imported now, without the banners that it prints."""
    with terminal().hushed():
        from edgecifar.learning.devices import list_gpus

        # The first look for GPUs makes CUDA complain where there is none.
        list_gpus()
    return load_pipeline()


def terminal() -> Terminal:
    """Returns the terminal of this process."""
    return Terminal.current or Terminal.start(quiet=False, debug=False)


def quoted(path: Path) -> str:
    """Returns a path as a shell takes it."""
    return shlex.quote(str(path))


def say_which(run: "Run") -> "Run":
    """Returns the run, after saying that it is the newest."""
    terminal().say(f"The newest run: {run.folder}.")
    return run


def with_data_dir(command: str, data_dir: Path | None) -> str:
    """Returns the command for the same images as now."""
    return command if data_dir is None else f"{command} --data-dir {quoted(data_dir)}"


def repeatable(arguments: list[str] | None = None) -> str:
    """Returns the command line as it can be repeated elsewhere: the data's place on this machine left out."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for index, word in enumerate(words):
        if word == "--data-dir" and index + 1 < len(words):
            words[index + 1] = "DIR"
        elif word.startswith("--data-dir="):
            words[index] = "--data-dir=DIR"
    return shlex.join(["edgecifar", *words])


def figures_text(figures: dict[str, float], rate: float, unit: str) -> str:
    """Returns "1,234 images/s, epoch 3, loss 0.412, accuracy 87.1 %"."""
    parts = [f"{rate:,.0f} {unit}/s"] if rate >= 1 else []
    for name, value in figures.items():
        if name == "epoch":
            parts.append(f"epoch {value:.0f}")
        elif "accuracy" in name:
            parts.append(f"{name.replace('_', ' ')} {100 * value:.1f} %")
        else:
            parts.append(f"{name.replace('_', ' ')} {value:.3f}")
    return ", ".join(parts)


class _Rate:
    """Units a second since the first advance that was not at once."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.done = 0

    def add(self, amount: int) -> float:
        elapsed = time.monotonic() - self._started
        if elapsed < 0.05:
            # What a resumed training has done already does not count.
            self._started = time.monotonic()
            return 0.0
        self.done += amount
        return self.done / elapsed


class _Bar:
    def __init__(self, bars: Progress, task: TaskID, unit: str) -> None:
        self._bars, self._task, self._unit = bars, task, unit
        self._rate = _Rate()
        self._figures: dict[str, float] = {}

    def advance(self, amount: int = 1, **figures: float) -> None:
        self._figures |= figures
        text = figures_text(self._figures, self._rate.add(amount), self._unit)
        self._bars.update(self._task, advance=amount, figures=text)


class _Lines:
    def __init__(self, to: Terminal, name: str, total: int, unit: str) -> None:
        self._to, self._name, self._total, self._unit = to, name, total, unit
        self._rate = _Rate()
        self._done = 0
        self._figures: dict[str, float] = {}
        self._told = time.monotonic()

    def advance(self, amount: int = 1, **figures: float) -> None:
        self._done += amount
        self._figures |= figures
        rate = self._rate.add(amount)
        now = time.monotonic()
        if "val_accuracy" not in figures and now - self._told < LOG_EVERY_S:
            return
        self._told = now
        share = f"{self._done / self._total:4.0%}" if self._total else f"{self._done:,} {self._unit}"
        left = (self._total - self._done) / rate if rate and self._total else 0
        eta = f"{left:,.0f} s left" if left >= 1 else ""
        # Of the slowest, less than one a second, there is no rate to tell.
        told = ", ".join(filter(None, (figures_text(self._figures, rate, self._unit), eta)))
        self._to.say(f"{self._name} {share}  {told}".rstrip())


class _Nothing:
    def advance(self, amount: int = 1, **figures: float) -> None:
        pass
