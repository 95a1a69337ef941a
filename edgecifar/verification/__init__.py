"""Verification: what an export cost, measured in the engines that will run it."""

from edgecifar.verification.feeding import Feeding, Outputs
from edgecifar.verification.parity import Candidate, Circumstances, Reference, balanced_order, verify_parity

__all__ = [
    "Candidate",
    "Circumstances",
    "Feeding",
    "Outputs",
    "Reference",
    "balanced_order",
    "verify_parity",
]
