"""The session options that ONNX Runtime is to be given for an int8 file, written into the file."""

import json

import onnx

from edgecifar.exporting.graph import put_metadata
from edgecifar.exporting.safe_onnx import is_safe

KEY = "edgecifar.session_options"
SAFE_KEY = "edgecifar.saturation_safe"
PRECISE = {"session.x64quantprecision": "1"}
"""ONNX Runtime then multiplies without 16-bit sums: the same results on every x86 CPU, more slowly."""


def recommend(model: onnx.ModelProto) -> None:
    """Writes into a QDQ model's metadata whether its weights are safe, and what a session needs if not.

    Args:
        model: Its parameters are each tensor's own, without which ONNX Runtime cannot follow the option.
    """
    safe = is_safe(model.graph)
    options: dict[str, dict[str, str]] = (
        {"every CPU": {}} if safe else {"x86-64 with AVX2 and without VNNI": PRECISE, "other CPUs": {}}
    )
    put_metadata(model, SAFE_KEY, json.dumps(safe))
    put_metadata(model, KEY, json.dumps(options))
