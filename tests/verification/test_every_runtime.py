"""What `--runtime all` adds: engines that refuse a file, facts, and steps to the reference kernels."""

from collections.abc import Callable

import numpy as np
import pytest

from edgecifar.artifacts import Gate, ParityReport, Policy
from edgecifar.artifacts.report import Steps
from edgecifar.errors import ModelError, VerificationError
from edgecifar.protocol import EngineInfo, LoadedModel, TensorInfo
from edgecifar.verification import Candidate, Circumstances, Feeding, Reference, verify_parity
from edgecifar.verification.running import Refusal

OUTPUT = TensorInfo("out", (None, 3), "int8", 1 / 256, -128)
RAW = np.array([[100, -100, -128], [-100, 100, -128], [-128, -100, 100], [100, -100, -128]], np.int8)
LABELS = [0, 1, 2, 0]

MakeModel = Callable[..., LoadedModel]


def candidate(feeding: Feeding, load: Callable[[], LoadedModel], **changes: object) -> Candidate:
    fields: dict[str, object] = {
        "name": "m.int8.tflite",
        "format": "tflite",
        "precision": "int8",
        "size_bytes": 1234,
        "sha256": "sha",
        "feeding": feeding,
        "bundle": "b",
    }
    return Candidate(load=load, **(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
def verify(make_model, make_data, feeding, circumstances: Circumstances) -> Callable[..., ParityReport]:
    def run(*candidates: Candidate) -> ParityReport:
        reference = Reference(
            "m.keras", lambda: make_model(RAW, "keras", output=OUTPUT), feeding, "sha of it"
        )
        return verify_parity(reference, candidates, make_data(LABELS), Policy(gate=Gate()), circumstances)

    return run


def refuses() -> LoadedModel:
    raise ModelError("m.float16.tflite: TensorFlow Lite Micro refuses it.", "Leave it out.")


def test_a_refusal_is_told_where_all_engines_were_tried(verify, make_model: MakeModel, feeding) -> None:
    report = verify(
        candidate(feeding, refuses, refusal=Refusal.SKIPS),
        candidate(feeding, lambda: make_model(RAW, output=OUTPUT), refusal=Refusal.SKIPS),
    )
    assert [one.engine.runtime for one in report.comparisons] == ["litert"]
    assert report.skipped[-1] == "m.float16.tflite: TensorFlow Lite Micro refuses it."


def test_a_refusal_is_an_error_where_the_engine_was_asked_for(verify, feeding) -> None:
    with pytest.raises(ModelError, match="refuses it"):
        verify(candidate(feeding, refuses))


def test_refused_by_all_is_no_pass(verify, feeding) -> None:
    with pytest.raises(VerificationError, match="No engine can run any of these models"):
        verify(candidate(feeding, refuses, refusal=Refusal.SKIPS))


def test_what_an_engine_tells_is_a_note(verify, make_model: MakeModel, feeding) -> None:
    model = make_model(RAW, "tflm", output=OUTPUT)
    model.info = EngineInfo("tflm", "TFLM", "1", "CPU", 1, ("needs a tensor arena of 5 bytes",))
    report = verify(candidate(feeding, lambda: model))
    assert "m.int8.tflite in tflm: needs a tensor arena of 5 bytes." in report.notes
    assert report.comparisons[0].engine.facts == ("needs a tensor arena of 5 bytes",)


def test_steps_to_the_reference_kernels_over_the_images_that_both_saw(
    verify, make_model: MakeModel, feeding
) -> None:
    other = RAW.copy()
    other[1, 1] -= 3
    other[2, 0] += 1
    other[3, 0] -= 40  # beyond the limit of three images: not seen
    report = verify(
        candidate(feeding, lambda: make_model(other, output=OUTPUT)),
        candidate(feeding, lambda: make_model(RAW, "litert-reference", output=OUTPUT), limit=3),
        candidate(feeding, lambda: make_model(RAW, "tflm", output=OUTPUT)),
    )
    subject = "m.int8.tflite in litert-reference"
    assert [one.reference_kernels for one in report.comparisons] == [
        Steps(subject=subject, max_steps=3, exact_images=1, images=3),
        None,
        Steps(subject=subject, max_steps=0, exact_images=3, images=3),
    ]
