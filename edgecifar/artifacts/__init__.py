"""The objects that travel between the stages, each with its one file form."""

from edgecifar.artifacts.bundle import ArtifactEntry, Bundle, Manifest, Weights
from edgecifar.artifacts.dataset import Dataset, Preprocessing
from edgecifar.artifacts.report import Comparison, Gate, ParityReport, Verdict
from edgecifar.artifacts.run import Accuracy, Environment, Run, RunRecord, Started

__all__ = [
    "Accuracy",
    "ArtifactEntry",
    "Bundle",
    "Comparison",
    "Dataset",
    "Environment",
    "Gate",
    "Manifest",
    "ParityReport",
    "Preprocessing",
    "Run",
    "RunRecord",
    "Started",
    "Verdict",
    "Weights",
]
