"""Diagnosis: which classic mistake of embedding explains an app's outputs, or a low accuracy."""

from edgecifar.verification.diagnosis.ranking import Logged, Trials, diagnose, try_mistakes
from edgecifar.verification.diagnosis.site import Site

__all__ = ["Logged", "Site", "Trials", "diagnose", "try_mistakes"]
