"""Verification: what an export cost, measured in the engines that will run it."""

from edgecifar.verification.feeding import Feeding, Outputs
from edgecifar.verification.parity import Circumstances, verify_parity
from edgecifar.verification.running import Candidate, Reference, balanced_order

__all__ = [
    "Candidate",
    "Circumstances",
    "Feeding",
    "Outputs",
    "Reference",
    "balanced_order",
    "verify_parity",
]
