"""Layer by layer: where a candidate loses quality against a reference, why, and what mends it."""

from edgecifar.verification.layers.comparing import compare_layers
from edgecifar.verification.layers.straying import find_stray, probe_stray
from edgecifar.verification.layers.what_if import measure_what_if

__all__ = ["compare_layers", "find_stray", "measure_what_if", "probe_stray"]
