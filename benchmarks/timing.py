"""What the benchmarks share: interleaved repeats, spreads, goals, and the line that says on which machine."""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self, TypeVar

from edgecifar.errors import EdgecifarError
from edgecifar.host import cpu_flags, cpu_name

Name = TypeVar("Name")
HIDDEN_FLAGS = "EDGECIFAR_HIDDEN_FLAGS"
"""Set by masked.py: the processor's flags that the engines do not see, by spaces."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where figures come from: they hold for this processor's flags and these versions."""

    cpu: str
    cpu_flags: tuple[str, ...]
    versions: dict[str, str]
    load_before: float | None
    """Processes that wanted to run in the minute before; None where the system does not tell."""
    hidden_flags: tuple[str, ...] = ()
    """Of the processor's flags, those that masked.py hides from the engines; not among `cpu_flags`."""

    @classmethod
    def here(cls, packages: Sequence[str]) -> Self:
        """Returns this machine as it is before the benchmark loads it.

        Args:
            packages: Whose versions matter; those that are not installed are left out (ONNX Runtime goes by
                one of two names).
        """
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        hidden = os.environ.get(HIDDEN_FLAGS, "").split()
        return cls(
            cpu_name(),
            tuple(flag for flag in cpu_flags() if flag not in hidden),
            {"python": platform.python_version()} | _versions(packages),
            load,
            tuple(flag for flag in cpu_flags() if flag in hidden),
        )

    def lines(self) -> list[str]:
        """Returns processor, flags, versions and load for people."""
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        load = "" if self.load_before is None else f"; load before the start {self.load_before:.2f}"
        hidden = " ".join(self.hidden_flags)
        return [
            f"Machine   {self.cpu}{load}",
            f"CPU flags {' '.join(self.cpu_flags) or 'unknown'}",
            *([f"Hidden    {hidden}, from ONNX Runtime and LiteRT"] if hidden else []),
            f"Versions  {versions}",
        ]


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True, slots=True)
class Spread:
    """Smallest, middle and largest of repeated measurements."""

    minimum: float
    median: float
    maximum: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Returns the spread of at least one value."""
        return cls(min(values), statistics.median(values), max(values), len(values))


class Bound(StrEnum):
    """On which side of its value a goal is met."""

    AT_LEAST = "at least"
    AT_MOST = "at most"


@dataclass(frozen=True, slots=True)
class Goal:
    """What the median of a figure has to reach."""

    bound: Bound
    value: float

    def is_met(self, spread: Spread) -> bool:
        """Returns whether the median is on the right side."""
        if self.bound is Bound.AT_LEAST:
            return spread.median >= self.value
        return spread.median <= self.value


TIMES = "times"
"""The unit of ratios."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of a benchmark's table."""

    name: str
    unit: str
    """"s", "images/s" or `TIMES`."""
    spread: Spread
    goal: Goal | None = None

    def cells(self) -> tuple[str, ...]:
        """Returns the row's cells."""
        spread, goal = self.spread, self.goal
        verdict = ""
        if goal is not None:
            verdict = f"{goal.bound} {goal.value:g}: {'met' if goal.is_met(spread) else 'missed'}"
        values = (_number(value) for value in (spread.minimum, spread.median, spread.maximum))
        return (self.name, str(spread.count), *values, self.unit, verdict)

    def record(self) -> dict[str, Any]:
        """Returns the row for JSON, unrounded."""
        goal = None if self.goal is None else asdict(self.goal) | {"met": self.goal.is_met(self.spread)}
        return {"name": self.name, "unit": self.unit, **asdict(self.spread), "goal": goal}


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A benchmark's result."""

    benchmark: str
    machine: Machine
    settings: dict[str, str | int | float]
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Returns machine, settings, table and notes for people."""
        head = ("figure", "n", "min", "median", "max", "unit", "goal for the median")
        rows = [head, *(figure.cells() for figure in self.figures)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        table = []
        for row in rows:
            name, *numbers, unit, goal = (
                cell.rjust(width) if 1 <= column <= 4 else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            table.append("  ".join((name, *numbers, unit, goal)).rstrip())
        settings = ", ".join(f"{key} {value}" for key, value in self.settings.items())
        lines = [*self.machine.lines(), f"Settings  {settings}", "", *table]
        return "\n".join([*lines, *(["", *self.notes] if self.notes else [])])

    def json(self) -> str:
        """Returns the same as `text`, for programs, unrounded."""
        record = asdict(self) | {"figures": [figure.record() for figure in self.figures]}
        return json.dumps(record, indent=2)


def rounds(names: Sequence[Name], count: int) -> Iterator[tuple[Name, ...]]:
    """Yields the order in each round: each starts with another name, so that no name is always the first."""
    for start in range(count):
        yield tuple(names[(start + offset) % len(names)] for offset in range(len(names)))


def interleave(
    variants: Mapping[str, Callable[[], object]], repeats: int, warm_ups: int = 1
) -> dict[str, list[float]]:
    """Returns the seconds that each variant took in each round that counts.

    Args:
        variants: What to time, by name.
        repeats: Rounds that count.
        warm_ups: Rounds before them that do not.
    """
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number, names in enumerate(rounds(tuple(variants), warm_ups + repeats), start=1 - warm_ups):
        tell(f"  round {number} of {repeats}" if number > 0 else "  warming up")
        for name in names:
            began = time.perf_counter()
            variants[name]()
            seconds[name].append(time.perf_counter() - began)
    return {name: times[warm_ups:] for name, times in seconds.items()}


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Returns the quotient of each round."""
    return [above / below for above, below in zip(numerators, denominators, strict=True)]


def tell(message: str) -> None:
    """Says on standard error how far the benchmark is."""
    print(message, file=sys.stderr, flush=True)


def make_parser(description: str, repeats: int) -> argparse.ArgumentParser:
    """Returns a parser with the options that all benchmarks have.

    Args:
        description: For --help.
        repeats: Default number of rounds.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--repeats", type=positive, default=repeats, help="rounds that count (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, unrounded, instead of the table")
    return parser


def positive(text: str) -> int:
    """Returns a whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def find_command() -> str:
    """Returns the path of the `edgecifar` command that is installed beside this Python."""
    command = shutil.which("edgecifar", path=str(Path(sys.executable).parent))
    if command is None:
        sys.exit(f"error: there is no edgecifar command beside {sys.executable}. Make it with: make setup")
    return command


def run(measure: Callable[[argparse.Namespace], Outcome], parser: argparse.ArgumentParser) -> None:
    """Parses the command line, measures, and prints the outcome; ends as edgecifar does where it refuses."""
    arguments = parser.parse_args()
    try:
        outcome = measure(arguments)
    except EdgecifarError as error:
        tell(f"error: {error}")
        sys.exit(error.exit_status)
    print(outcome.json() if arguments.json else outcome.text())
