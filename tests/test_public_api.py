"""The public names, pinned: changing this list is a change that users notice."""

import importlib.util
import subprocess
import sys

import pytest

import edgecifar

PUBLIC = [
    "Bundle",
    "EdgecifarError",
    "Gate",
    "ParityReport",
    "Recipe",
    "Run",
    "benchmark",
    "check_bundle",
    "compare",
    "compress",
    "diagnose_model",
    "estimate",
    "export",
    "load_dataset",
    "load_recipe",
    "predict",
    "train",
    "verify",
]


def test_the_public_names_are_these() -> None:
    assert edgecifar.__all__ == PUBLIC
    assert set(PUBLIC) <= set(dir(edgecifar))


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_documented_and_callable(name: str) -> None:
    thing = getattr(edgecifar, name)
    assert callable(thing), f"edgecifar.{name} is {thing!r}"
    assert thing.__doc__


@pytest.mark.parametrize("name", [name for name in PUBLIC if name.islower()])
def test_a_function_stays_one_when_a_stage_of_its_name_is_imported(name: str) -> None:
    # A sub-package edgecifar.export would replace the function edgecifar.export at its first import.
    if importlib.util.find_spec(f"edgecifar.{name}"):
        importlib.import_module(f"edgecifar.{name}")
    assert callable(getattr(edgecifar, name))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        edgecifar.trian  # noqa: B018


def test_importing_edgecifar_imports_nothing_else_of_weight() -> None:
    script = "import sys; before = set(sys.modules); import edgecifar; print(*(set(sys.modules) - before))"
    result = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    roots = {module.partition(".")[0] for module in result.stdout.split()}
    assert roots - sys.stdlib_module_names == {"edgecifar"}
