"""Sentences on where runtimes stray."""

import pytest

from edgecifar.artifacts.layers import LayersReport, Strayed
from edgecifar.reporting.explaining import stray_sentences


@pytest.mark.parametrize(
    ("steps", "first", "hidden", "sentence"),
    [
        ((0, 1), "b;x", (), "openvino strays from ort-cpu first at b, by up to 1 step."),
        (
            (None, 1200),
            "b",
            ("a;y",),
            (
                "openvino strays from ort-cpu first at b, by up to 1,200 steps, or before it: asked for a, "
                "it computes otherwise."
            ),
        ),
        ((0, 0), None, (), "openvino gives the integers of ort-cpu in every layer."),
        (
            (0, None),
            None,
            ("b",),
            (
                "openvino gives the integers of ort-cpu in every layer that can be looked at; asked for b, "
                "it computes otherwise."
            ),
        ),
        (
            (0, 3),
            "b",
            None,
            "openvino strays from ort-cpu first at b; the largest difference in any layer is 3 steps.",
        ),
    ],
)
def test_it_says_what_was_seen_and_what_could_not_be(
    layers: LayersReport,
    steps: tuple[int | None, ...],
    first: str | None,
    hidden: tuple[str, ...] | None,
    sentence: str,
) -> None:
    strayed = Strayed(runtime="openvino", against="ort-cpu", steps=steps, first=first, hidden=hidden)
    told = "ort-web gives no layers; the table is of ort-cpu."
    report = layers.model_copy(update={"strayed": (strayed,), "not_looked_into": (told,)})
    assert stray_sentences(report) == (sentence, told)
