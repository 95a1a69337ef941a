import numpy as np
import pytest
from jinja2 import UndefinedError

from edgecifar.exporting.targets.rendering import environment, number, quoted


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (64, "64.0"),
        (1 / 128, "0.0078125"),
        (1e-4, "0.0001"),
        (121.5, "121.5"),
        (0.1, "0.1"),
        (1e9, "1000000000.0"),
    ],
)
def test_numbers_are_short_and_exact(value, text):
    assert number(value) == text
    assert np.float32(text) == np.float32(value)


@pytest.mark.parametrize(
    ("text", "literal"),
    [("cat", '"cat"'), ('a "b"', '"a \\"b\\""'), ("c:\\d", '"c:\\\\d"'), ("Käfer", '"Käfer"')],
)
def test_texts_are_quoted(text, literal):
    assert quoted(text) == literal


def test_kotlin_does_not_see_a_variable_in_a_text():
    assert environment().from_string("{{ 'a$b' | kotlin }}").render() == '"a\\$b"'


def test_an_unknown_name_is_an_error():
    with pytest.raises(UndefinedError):
        environment().from_string("{{ nothing }}").render()
