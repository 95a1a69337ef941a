"""The pipeline: composes the stages and chooses paths, for the command line and the Python API."""

from edgecifar.pipeline.comparing import compare
from edgecifar.pipeline.doctor import examine
from edgecifar.pipeline.estimating import estimate
from edgecifar.pipeline.explaining import diagnose_model, explain_layers
from edgecifar.pipeline.inspecting import inspect_models
from edgecifar.pipeline.looking import (
    Prediction,
    predict,
    show,
    summarize,
)
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
