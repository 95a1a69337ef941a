"""edgecifar: train, compress and export small image classifiers, and prove what each export cost.

The names below are loaded when they are first used, so that `import edgecifar` is quick.
"""

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgecifar.artifacts import Bundle, Gate, ParityReport, Run
    from edgecifar.artifacts.integrity import check_bundle
    from edgecifar.data import load_dataset
    from edgecifar.errors import EdgecifarError
    from edgecifar.pipeline import (
        benchmark,
        compare,
        compress,
        diagnose_model,
        estimate,
        export,
        predict,
        train,
        verify,
    )
    from edgecifar.recipe import Recipe, load_recipe

__all__ = [
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

__version__ = "0.1.0"

# tensorflow-model-optimization works with Keras 2 alone, and asks for this before TensorFlow is imported.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# Banners about CPU features and missing GPUs; `edgecifar doctor` reports both.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

_HOMES = {
    "Bundle": "edgecifar.artifacts",
    "EdgecifarError": "edgecifar.errors",
    "Gate": "edgecifar.artifacts",
    "ParityReport": "edgecifar.artifacts",
    "Recipe": "edgecifar.recipe",
    "Run": "edgecifar.artifacts",
    "benchmark": "edgecifar.pipeline",
    "check_bundle": "edgecifar.artifacts.integrity",
    "compare": "edgecifar.pipeline",
    "compress": "edgecifar.pipeline",
    "diagnose_model": "edgecifar.pipeline",
    "estimate": "edgecifar.pipeline",
    "export": "edgecifar.pipeline",
    "load_dataset": "edgecifar.data",
    "load_recipe": "edgecifar.recipe",
    "predict": "edgecifar.pipeline",
    "train": "edgecifar.pipeline",
    "verify": "edgecifar.pipeline",
}


def __getattr__(name: str) -> object:
    """Returns a public name from its module, imported now (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
