import subprocess
import sys

import pytest

from edgecifar.errors import EngineMissingError, ModelError
from edgecifar.runtimes import MODEL_SUFFIXES, RUNTIME_NAMES, default_runtimes_for, get_runtime


@pytest.mark.parametrize("name", RUNTIME_NAMES)
def test_each_name_gives_the_adapter_of_that_name(name):
    assert get_runtime(name).name == name


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(EngineMissingError, match=r"named tensorrt.\nKnown runtimes: keras, litert"):
        get_runtime("tensorrt")


@pytest.mark.parametrize("suffix", MODEL_SUFFIXES)
def test_the_default_runtimes_read_files_with_that_ending(suffix):
    names = default_runtimes_for(suffix)
    assert names
    assert all(suffix in get_runtime(name).suffixes for name in names)


@pytest.mark.parametrize("suffix", [".pt", ""])
def test_an_unknown_ending_is_refused(suffix):
    with pytest.raises(ModelError, match=r"Known endings: \.keras"):
        default_runtimes_for(suffix)


def test_the_registry_imports_no_engine():
    script = "import sys, edgecifar.runtimes; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout.split()
    assert not {"numpy.testing", "tensorflow", "onnxruntime", "ai_edge_litert"} & set(modules)
