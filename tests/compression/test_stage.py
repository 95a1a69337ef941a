import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edgecifar.artifacts import Dataset, Run
from edgecifar.choices import Device
from edgecifar.compression.quantization import load_quantization_aware
from edgecifar.compression.stage import _seed_of, compress
from edgecifar.errors import ModelError, RecipeError, TrainingError
from edgecifar.learning.checkpoint import EpochRow
from edgecifar.learning.distillation import Distillation
from edgecifar.learning.evaluation import Evaluator
from edgecifar.learning.recording import read_history, sparsity
from edgecifar.models import load_model
from edgecifar.progress import SILENT, Progress
from edgecifar.recipe import CompressionSpec, PruningSpec, QuantizationSpec

Split = tuple[Dataset, Dataset]


def test_the_seed_of_a_phase_is_another_one_of_31_bits() -> None:
    assert len({0, _seed_of("prune", 0), _seed_of("quantize", 0)}) == 3
    assert 0 <= _seed_of("quantize", 2**31 - 1) < 2**31 - 1


@dataclasses.dataclass
class Interrupting:
    """Progress that presses Ctrl-C in one task after so many images, and keeps what it was told."""

    phase: str = ""
    after: int = 0
    said: list[str] = dataclasses.field(default_factory=list)
    _seen: dict[str, int] = dataclasses.field(default_factory=dict)
    _running: str = ""

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> "Iterator[Interrupting]":
        self._running = name
        yield self

    def advance(self, amount: int = 1, **figures: float) -> None:
        self._seen[self._running] = self._seen.get(self._running, 0) + amount
        if self._running == self.phase and self._seen[self.phase] > self.after:
            raise KeyboardInterrupt

    def say(self, message: str) -> None:
        self.said.append(message)


def compress_small(
    run: Run, spec: CompressionSpec, images: Split, folder: Path, progress: Progress = SILENT
) -> Run:
    return compress(
        run, spec, *images, folder, name="compressed", command="pytest", device=Device.CPU, progress=progress
    )


def without_seconds(run: Run) -> list[EpochRow]:
    return [row.model_copy(update={"seconds": 0.0}) for row in read_history(run.history_path)]


def test_a_compressed_run_is_complete(
    compressed_run: Run, small_run: Run, both: CompressionSpec, few_images: Split
) -> None:
    names = {path.name for path in compressed_run.folder.iterdir()}
    files = {"model.keras", "reference.keras", "qat.h5", "history.csv", "curves.png", "run.json"}
    assert names == files | {"events"}
    assert Run.open(compressed_run.folder) == compressed_run
    record = compressed_run.record
    assert (record.name, record.parent, record.command) == ("compressed", "small", "pytest")
    assert record.recipe.compression == both
    assert record.recipe.training == small_run.record.recipe.training
    assert record.train_fingerprint == few_images[0].fingerprint
    assert record.environment.precision == "float32"


def test_the_reference_is_the_model_before(compressed_run: Run, small_run: Run) -> None:
    assert compressed_run.reference_path.read_bytes() == small_run.model_path.read_bytes()


def test_the_history_goes_on_after_the_trainings(compressed_run: Run, small_run: Run) -> None:
    rows = read_history(compressed_run.history_path)
    assert rows[:3] == read_history(small_run.history_path)
    assert [(row.epoch, row.phase) for row in rows[3:]] == [
        (1, "prune"),
        (2, "prune"),
        (1, "quantize"),
        (2, "quantize"),
    ]
    assert compressed_run.record.duration_s == pytest.approx(sum(row.seconds for row in rows))


def test_a_second_quantization_leaves_out_the_epochs_of_the_first(
    compressed_run: Run, few_images: Split, tmp_path: Path
) -> None:
    spec = CompressionSpec(quantization=QuantizationSpec(qat=True, epochs=1))
    again = compress_small(compressed_run, spec, few_images, tmp_path)
    rows = read_history(again.history_path)
    assert rows[:5] == read_history(compressed_run.history_path)[:5]
    assert [(row.epoch, row.phase) for row in rows[3:]] == [(1, "prune"), (2, "prune"), (1, "quantize")]


def test_the_recorded_accuracies_are_those_of_the_files(compressed_run: Run, few_images: Split) -> None:
    record, validation = compressed_run.record, few_images[1]
    assert compressed_run.qat_path
    pruned = Evaluator(load_model(compressed_run.model_path), validation, record.preprocessing)()
    assert record.validation == pruned.accuracy
    aware = Evaluator(load_quantization_aware(compressed_run.qat_path), validation, record.preprocessing)()
    assert record.validation_quantized == aware.accuracy
    rows = read_history(compressed_run.history_path)
    assert rows[4].val_accuracy == pruned.accuracy.rate
    assert rows[4].val_loss == pytest.approx(pruned.loss, rel=1e-4)
    assert rows[6].val_accuracy == aware.accuracy.rate
    assert rows[6].val_loss == pytest.approx(aware.loss, rel=1e-4)


def test_the_recorded_sparsity_is_the_one_asked_for(compressed_run: Run) -> None:
    assert compressed_run.record.sparsity == pytest.approx(0.6, abs=1e-3)
    assert sparsity(load_model(compressed_run.model_path)) == compressed_run.record.sparsity


def test_a_compression_that_is_interrupted_in_each_phase_ends_as_if_nothing_had_happened(
    small_run: Run, both: CompressionSpec, few_images: Split, compressed_run: Run, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        compress_small(small_run, both, few_images, tmp_path, Interrupting("prune", after=200))
    sparser = PruningSpec(**both.pruning.model_dump() | {"sparsity": 0.7})
    with pytest.raises(TrainingError, match="the checkpoint is of another recipe or data set"):
        compress_small(small_run, CompressionSpec(pruning=sparser), few_images, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        compress_small(small_run, both, few_images, tmp_path, Interrupting("quantize", after=200))
    assert not (tmp_path / "run.json").exists()
    watching = Interrupting()
    resumed = compress_small(small_run, both, few_images, tmp_path, watching)
    assert "Going on after epoch 2 of 2." in watching.said, "the pruning"
    assert "Going on after epoch 1 of 2." in watching.said, "the quantization"
    assert without_seconds(resumed) == without_seconds(compressed_run)
    assert resumed.qat_path
    assert compressed_run.qat_path
    for before, after in (
        (load_model(compressed_run.model_path), load_model(resumed.model_path)),
        (load_quantization_aware(compressed_run.qat_path), load_quantization_aware(resumed.qat_path)),
    ):
        for expected, weight in zip(before.get_weights(), after.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_quantization_alone_leaves_the_float_model_as_it_was(
    small_run: Run, few_images: Split, tmp_path: Path
) -> None:
    quantization = QuantizationSpec(qat=True, epochs=1, batch_size=48, freeze_batch_norm=0.0)
    run = compress_small(small_run, CompressionSpec(quantization=quantization), few_images, tmp_path)
    assert [row.phase for row in read_history(run.history_path)] == ["train"] * 3 + ["quantize"]
    assert run.record.sparsity == 0.0
    assert run.record.validation == small_run.record.validation
    before, after = load_model(small_run.model_path), load_model(run.model_path)
    for expected, weight in zip(before.get_weights(), after.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert run.qat_path
    aware = load_quantization_aware(run.qat_path)
    (kernel,) = [weight for weight in aware.weights if weight.name.endswith("block1_conv1/kernel:0")]
    assert (kernel.numpy() != before.get_layer("block1_conv1").kernel.numpy()).any()


def test_the_fine_tunings_learn_from_the_float_model_where_the_recipe_says_so(
    small_run: Run,
    both: CompressionSpec,
    few_images: Split,
    compressed_run: Run,
    tmp_path: Path,
) -> None:
    taught = CompressionSpec(
        pruning=both.pruning.model_copy(update={"distillation": 1.0, "temperature": 1.0}),
        quantization=both.quantization.model_copy(update={"distillation": 1.0, "temperature": 1.0}),
    )
    run = compress_small(small_run, taught, few_images, tmp_path)
    assert run.qat_path
    assert compressed_run.qat_path
    preprocessing = run.record.preprocessing
    values = preprocessing.apply(few_images[0].images)
    reference = load_model(small_run.model_path)(values).numpy()

    def divergence(probabilities: np.ndarray) -> float:
        return float((reference * np.log(reference / probabilities)).sum(axis=1).mean())

    for read, taught_path, plain_path in (
        (load_model, run.model_path, compressed_run.model_path),
        (load_quantization_aware, run.qat_path, compressed_run.qat_path),
    ):
        # Nearer to the float model than what learned from labels.
        assert divergence(read(taught_path)(values).numpy()) < 0.8 * divergence(
            read(plain_path)(values).numpy()
        )


def test_the_teacher_of_a_pruned_runs_quantization_is_the_model_before_pruning(
    compressed_run: Run, few_images: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught = []

    def remember(*arguments: object) -> Distillation:
        taught.append(Distillation(*arguments))
        return taught[0]

    monkeypatch.setattr("edgecifar.compression.stage.Distillation", remember)
    quantization = QuantizationSpec(qat=True, epochs=1, batch_size=48, distillation=0.5)
    run = compress_small(compressed_run, CompressionSpec(quantization=quantization), few_images, tmp_path)
    assert run.record.parent == compressed_run.record.name
    (distillation,) = taught
    assert (distillation.temperature, distillation.weight) == (4.0, 0.5)
    before = load_model(compressed_run.reference_path)
    for weight, expected in zip(distillation.teacher.get_weights(), before.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_averaged_quantization_keeps_what_it_measured_and_the_zeros(
    compressed_run: Run, few_images: Split, tmp_path: Path
) -> None:
    averaged = QuantizationSpec(qat=True, epochs=2, batch_size=48, ema=0.9)
    plain = averaged.model_copy(update={"ema": 0.0})
    runs = [
        compress_small(compressed_run, CompressionSpec(quantization=spec), few_images, tmp_path / name)
        for name, spec in (("averaged", averaged), ("plain", plain))
    ]
    last, last_plain = (read_history(run.history_path)[-1] for run in runs)
    # The descent is the same, what is measured and kept is not.
    assert last.loss == pytest.approx(last_plain.loss)
    assert last.val_loss != pytest.approx(last_plain.val_loss, rel=1e-6)
    run = runs[0]
    assert run.qat_path
    aware = load_quantization_aware(run.qat_path)
    evaluation = Evaluator(aware, few_images[1], run.record.preprocessing)()
    assert evaluation.loss == pytest.approx(last.val_loss, rel=1e-5)
    assert evaluation.accuracy == run.record.validation_quantized
    (kernel,) = [weight for weight in aware.weights if weight.name.endswith("block1_conv1/kernel:0")]
    zeros = load_model(compressed_run.model_path).get_layer("block1_conv1").kernel.numpy() == 0
    assert zeros.mean() > 0.55
    np.testing.assert_array_equal(kernel.numpy()[zeros], 0)


def test_nothing_to_do_is_told(small_run: Run, few_images: Split, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="There is nothing to compress") as caught:
        compress_small(small_run, CompressionSpec(), few_images, tmp_path / "run")
    assert caught.value.mend == "Ask for --prune SPARSITY, --qat or both."
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["model.keras", "history.csv"])
@pytest.mark.parametrize("damage", ["missing", "cut short"])
def test_a_damaged_run_is_told(
    name: str, damage: str, small_run: Run, both: CompressionSpec, few_images: Split, tmp_path: Path
) -> None:
    shutil.copytree(small_run.folder, tmp_path / "small")
    path = tmp_path / "small" / name
    content = path.read_bytes()
    path.unlink()
    if damage == "cut short":
        path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=name):
        compress_small(Run.open(tmp_path / "small"), both, few_images, tmp_path / "run")


def test_another_model_in_the_runs_place_is_told(
    small_run: Run, both: CompressionSpec, few_images: Split, tmp_path: Path
) -> None:
    record = small_run.record.model_copy(update={"parameters": small_run.record.parameters + 1})
    with pytest.raises(ModelError, match=r"model.keras: not the model that the run's run.json describes"):
        compress_small(Run(small_run.folder, record), both, few_images, tmp_path)
