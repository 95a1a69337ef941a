"""How long `edgecifar --help` takes, as whole processes, and which heavy packages it imports.

python benchmarks/startup.py [--repeats N] [--json]
"""

import argparse
import subprocess
import sys

from timing import (
    TIMES,
    Bound,
    Figure,
    Goal,
    Machine,
    Outcome,
    Spread,
    find_command,
    interleave,
    make_parser,
    ratios,
    run,
)

GOAL_S = 0.4
HEAVY = (
    "PIL", "ai_edge_litert", "h5py", "jinja2", "keras", "matplotlib", "numpy", "onnx", "onnxruntime", "scipy",
    "tensorflow", "tensorflow_model_optimization", "tf2onnx", "tf_keras",
)  # fmt: skip
"""Packages that take a good part of the goal, or more, to import."""


def measure(arguments: argparse.Namespace) -> Outcome:
    """Returns the times of the command and of a bare interpreter, and their ratio."""
    machine = Machine.here(("typer", "click", "rich", "pydantic"))
    command = find_command()
    seconds = interleave(
        {
            "help": lambda: _run([command, "--help"]),
            "bare": lambda: _run([sys.executable, "-c", "pass"]),
        },
        arguments.repeats,
    )
    heavy = sorted(imported_by_help() & set(HEAVY))
    return Outcome(
        "startup",
        machine,
        {"repeats": arguments.repeats},
        (
            Figure("edgecifar --help", "s", Spread.of(seconds["help"]), Goal(Bound.AT_MOST, GOAL_S)),
            Figure("python -c pass", "s", Spread.of(seconds["bare"])),
            Figure(
                "edgecifar --help / python -c pass",
                TIMES,
                Spread.of(ratios(seconds["help"], seconds["bare"])),
            ),
        ),
        (f"Heavy packages that edgecifar --help imports: {', '.join(heavy) or 'none'}.",),
    )


def imported_by_help() -> set[str]:
    """Returns the top-level names of all modules that the command imports, as Python itself lists them."""
    process = _run([sys.executable, "-X", "importtime", "-m", "edgecifar", "--help"])
    # A line ends in "|" and the module's dotted name, indented by depth.
    lines = [line for line in process.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip().partition(".")[0] for line in lines}


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  edgecifar itself


if __name__ == "__main__":
    run(measure, make_parser("Time edgecifar --help as whole processes.", repeats=10))
