"""The errors that edgecifar raises, all of them.

    EdgecifarError
    ├── RecipeError            a recipe has a wrong key, type or value
    ├── DataError              a data set is missing, damaged or malformed
    ├── ModelError             a model file, run or bundle cannot be read
    ├── TrainingError          a training cannot start or go on
    ├── ExportError            a model cannot be written in the format asked for
    ├── VerificationError      two models cannot be compared
    └── EngineMissingError     an inference engine or device is not on this machine

Each message has up to three parts: what is wrong, where, and what to do. Only the command line
catches them; it prints the message and exits with `exit_status`.
"""


class EdgecifarError(Exception):
    """An error that a person can act on.

    Args:
        problem: One sentence that names the thing and what is wrong with it.
        mend: What to do about it; empty where `problem` says it already.
    """

    exit_status = 2

    def __init__(self, problem: str, mend: str = "") -> None:
        super().__init__(f"{problem}\n{mend}" if mend else problem)
        self.problem = problem
        self.mend = mend


class RecipeError(EdgecifarError):
    """A recipe has a wrong key, type or value, or does not exist."""


class DataError(EdgecifarError):
    """A data set is missing, damaged or malformed."""


class ModelError(EdgecifarError):
    """A model file, run or bundle is missing, damaged, or of another kind."""


class TrainingError(EdgecifarError):
    """A training cannot start or go on."""


class ExportError(EdgecifarError):
    """A model cannot be written in the format or precision asked for."""


class VerificationError(EdgecifarError):
    """Two models cannot be compared."""


class EngineMissingError(EdgecifarError):
    """An inference engine or device that was asked for is not on this machine."""

    exit_status = 3
