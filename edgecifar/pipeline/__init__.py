"""The pipeline: composes the stages and chooses paths, for the command line and the Python API."""

from edgecifar.pipeline.doctor import examine
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

__all__ = [
    "Prediction",
    "compress",
    "compressed_folder",
    "examine",
    "export",
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
