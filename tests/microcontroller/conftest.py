"""Makes the builders of networks importable, and gives the engines and shipped files to test against."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecifar.choices import Numerics
from edgecifar.errors import ModelError
from edgecifar.runtimes import get_runtime

sys.path.insert(0, str(Path(__file__).parent))

RUNTIMES = {Numerics.REFERENCE: "litert-reference", Numerics.XNNPACK: "litert", Numerics.TFLM: "tflm"}
Engine = Callable[[bytes, Numerics, NDArray[np.int8]], NDArray[np.int8] | None]


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Runs an int8 file in the engine of a numerics; None where that engine lacks an operator of it."""
    folder = tmp_path_factory.mktemp("engines")

    def run(content: bytes, numerics: Numerics, inputs: NDArray[np.int8]) -> NDArray[np.int8] | None:
        runtime = get_runtime(RUNTIMES[numerics])
        if runtime.missing():
            pytest.skip(runtime.missing() or "")
        path = folder / "model.tflite"
        path.write_bytes(content)
        try:
            model = runtime.load(path, threads=1)
        except ModelError as error:
            if "ELU" in error.problem:
                return None
            raise
        return model.predict(inputs).reshape(len(inputs), -1)

    return run


@pytest.fixture(scope="session")
def shipped(checkout: Path) -> Callable[[str], Path]:
    """The folder of a shipped bundle."""
    return lambda name: checkout / "exported" / name
