import inspect

import pytest

from edgecifar import errors
from edgecifar.errors import EdgecifarError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


def test_the_message_is_problem_and_mend() -> None:
    error = EdgecifarError("The cat is on the keyboard.", "Lift it.")
    assert (error.problem, error.mend) == ("The cat is on the keyboard.", "Lift it.")
    assert str(error) == "The cat is on the keyboard.\nLift it."


def test_a_mend_may_be_left_out() -> None:
    assert str(EdgecifarError("The cat is on the keyboard.")) == "The cat is on the keyboard."


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_each_kind_is_in_the_tree_and_has_its_status(kind: type[EdgecifarError]) -> None:
    assert issubclass(kind, EdgecifarError)
    assert kind.__name__ in str(errors.__doc__)
    assert kind("x").exit_status == (3 if kind is errors.EngineMissingError else 2)
