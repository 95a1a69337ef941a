import json
from pathlib import Path

import pytest

from edgecifar.artifacts import Accuracy, Run, RunRecord
from edgecifar.errors import ModelError


def test_accuracy_is_a_count_with_a_rate() -> None:
    assert Accuracy(correct=3, total=4).rate == 0.75


def test_a_finished_run_is_opened(tmp_path: Path, run_record: RunRecord) -> None:
    run_record.write(tmp_path / "run.json")
    assert Run.open(tmp_path) == Run(tmp_path, run_record)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere: there is no such folder\."):
        Run.open(tmp_path / "nowhere")
    (tmp_path / "model.keras").touch()
    with pytest.raises(ModelError, match=r"model\.keras: a file, not a run\."):
        Run.open(tmp_path / "model.keras")


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no finished run") as caught:
        Run.open(tmp_path)
    assert caught.value.mend == ""


@pytest.mark.parametrize(
    ("started", "command"), [("started.json", "train"), ("compressing.json", "compress RUN")]
)
def test_an_unfinished_run_is_told_with_how_to_finish_it(started: str, command: str, tmp_path: Path) -> None:
    (tmp_path / started).touch()
    with pytest.raises(ModelError, match="there is no finished run") as caught:
        Run.open(tmp_path)
    assert caught.value.mend == f"Finish it with: edgecifar {command} --resume --out {tmp_path}"


def test_a_bundle_is_no_run_although_it_holds_run_json(tmp_path: Path, run_record: RunRecord) -> None:
    run_record.write(tmp_path / "run.json")
    (tmp_path / "manifest.json").touch()
    with pytest.raises(ModelError, match="a bundle, not a run"):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema_version": 2}, "schema_version: Input should be 1"),
        (
            {"validation": {"correct": "three", "total": 4}},
            "validation.correct: Input should be a valid integer",
        ),
        ({"mood": "good"}, "mood: Extra inputs are not permitted"),
    ],
    ids=["newer schema", "wrong type", "unknown key"],
)
def test_a_run_of_another_form_is_told(
    change: dict[str, object], told: str, tmp_path: Path, run_record: RunRecord
) -> None:
    table = json.loads(run_record.model_dump_json()) | change
    (tmp_path / "run.json").write_text(json.dumps(table))
    with pytest.raises(ModelError, match=f"run.json: not a valid RunRecord: {told}"):
        Run.open(tmp_path)


def test_the_reference_is_the_model_unless_it_was_compressed(tmp_path: Path, run_record: RunRecord) -> None:
    run = Run(tmp_path, run_record)
    assert run.model_path == tmp_path / "model.keras"
    assert run.reference_path == tmp_path / "model.keras"
    (tmp_path / "reference.keras").touch()
    assert run.reference_path == tmp_path / "reference.keras"


def test_the_quantization_aware_model_is_there_or_none(tmp_path: Path, run_record: RunRecord) -> None:
    run = Run(tmp_path, run_record)
    assert run.qat_path is None
    (tmp_path / "qat.h5").touch()
    assert run.qat_path == tmp_path / "qat.h5"
