"""The objects that travel between the stages, each with its one file form."""

from edgecifar.artifacts.bundle import ArtifactEntry, Bundle, Manifest, Weights, open_trained
from edgecifar.artifacts.dataset import Dataset, Preprocessing
from edgecifar.artifacts.evidence import (
    Bin,
    Calibration,
    ClassScore,
    Confusion,
    Distribution,
    Evidence,
    FlippedImage,
    Interval,
    Unit,
)
from edgecifar.artifacts.gate import Gate, GateCheck, GateKind, Policy, Rule, Verdict
from edgecifar.artifacts.report import Comparison, ParityReport
from edgecifar.artifacts.run import Accuracy, Environment, Run, RunRecord, Started, Teacher

__all__ = [
    "Accuracy",
    "ArtifactEntry",
    "Bin",
    "Bundle",
    "Calibration",
    "ClassScore",
    "Comparison",
    "Confusion",
    "Dataset",
    "Distribution",
    "Environment",
    "Evidence",
    "FlippedImage",
    "Gate",
    "GateCheck",
    "GateKind",
    "Interval",
    "Manifest",
    "ParityReport",
    "Policy",
    "Preprocessing",
    "Rule",
    "Run",
    "RunRecord",
    "Started",
    "Teacher",
    "Unit",
    "Verdict",
    "Weights",
    "open_trained",
]
