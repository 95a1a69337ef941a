"""Gates: whether a measured loss may ship."""

from edgecifar.artifacts import Gate, Verdict


def judge(subject: str, drop_pp: float, gate: Gate) -> tuple[Verdict, tuple[str, ...]]:
    """Returns the verdict, and one sentence for each broken gate.

    Args:
        subject: Who is judged, for the sentences: "model.int8.onnx in ort-cpu".
        drop_pp: Loss of top-1 accuracy in percentage points, a point estimate.
        gate: What must hold.
    """
    if gate.max_drop_pp is None:
        return Verdict.NONE, ()
    if drop_pp <= gate.max_drop_pp:
        return Verdict.PASS, ()
    lost, allowed = _distinct(drop_pp, gate.max_drop_pp)
    return Verdict.FAIL, (f"{subject} loses {lost} pp, more than the {allowed} pp allowed",)


def _distinct(one: float, other: float) -> tuple[str, str]:
    """Returns both numbers with two decimals, or as many more as it takes to tell them apart."""
    for decimals in range(2, 12):
        texts = f"{one:.{decimals}f}", f"{other:.{decimals}f}"
        if texts[0] != texts[1]:
            return texts
    return repr(one), repr(other)
