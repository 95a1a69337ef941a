"""The pipeline: composes the stages and chooses paths, for the command line and the Python API.

The names below are loaded when they are first used: to compare two reports takes no TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgecifar.pipeline.comparing import compare
    from edgecifar.pipeline.doctor import examine
    from edgecifar.pipeline.estimating import estimate
    from edgecifar.pipeline.explaining import diagnose_model, explain_layers
    from edgecifar.pipeline.inspecting import inspect_models
    from edgecifar.pipeline.looking import Prediction, predict, show, summarize
    from edgecifar.pipeline.making import compress, export, train
    from edgecifar.pipeline.places import (
        compressed_folder,
        newest_bundle,
        newest_run,
        next_run_folder,
        unfinished_run,
    )
    from edgecifar.pipeline.proving import verify
    from edgecifar.pipeline.rewriting import export_file, is_file_source
    from edgecifar.pipeline.speed import benchmark
    from edgecifar.pipeline.translating import CExport, export_c

__all__ = [
    "CExport",
    "Prediction",
    "benchmark",
    "compare",
    "compress",
    "compressed_folder",
    "diagnose_model",
    "estimate",
    "examine",
    "explain_layers",
    "export",
    "export_c",
    "export_file",
    "inspect_models",
    "is_file_source",
    "newest_bundle",
    "newest_run",
    "next_run_folder",
    "predict",
    "show",
    "summarize",
    "train",
    "unfinished_run",
    "verify",
]

_HOMES = {
    "comparing": ("compare",),
    "doctor": ("examine",),
    "estimating": ("estimate",),
    "explaining": ("diagnose_model", "explain_layers"),
    "inspecting": ("inspect_models",),
    "looking": ("Prediction", "predict", "show", "summarize"),
    "making": ("compress", "export", "train"),
    "places": ("compressed_folder", "newest_bundle", "newest_run", "next_run_folder", "unfinished_run"),
    "proving": ("verify",),
    "rewriting": ("export_file", "is_file_source"),
    "speed": ("benchmark",),
    "translating": ("CExport", "export_c"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Returns a public name from its module, imported now (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
