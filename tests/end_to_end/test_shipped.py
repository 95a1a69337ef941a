"""The bundles in exported/ are what their reports say, on the images in the package."""

from pathlib import Path

import numpy as np
import pytest

from edgecifar.artifacts import ArtifactEntry, Bundle, ParityReport, RunRecord
from edgecifar.choices import Source, Split
from edgecifar.data import load_dataset
from edgecifar.recipe import DataSpec, load_recipe, shipped_recipes
from edgecifar.runtimes import default_runtimes_for, get_runtime
from edgecifar.verification.feeding import Feeding
from edgecifar.verification.metrics import count_correct

EXPORTED = Path(__file__).parents[2] / "exported"
BUNDLES = sorted(path.parent for path in EXPORTED.glob("*/manifest.json"))


def outputs(bundle: Bundle, artifact: ArtifactEntry, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns raw outputs and probabilities in the artifact's usual engine."""
    path = bundle.folder / artifact.file
    loaded = get_runtime(default_runtimes_for(path.suffix)[0]).load(path, threads=2)
    feeding = Feeding(bundle.manifest.preprocessing, raw_pixels=artifact.raw_pixels)
    raw = loaded.predict(feeding.encode(images, loaded.input))
    return raw, feeding.decode(raw, loaded.output)


def int8_artifacts() -> list[tuple[Path, str]]:
    return [
        (folder, artifact.file)
        for folder in BUNDLES
        for artifact in Bundle.open(folder).manifest.artifacts
        if artifact.precision == "int8"
    ]


each_int8_artifact = pytest.mark.parametrize(
    ("folder", "file"), int8_artifacts(), ids=lambda value: getattr(value, "name", value)
)


@pytest.mark.parametrize("folder", BUNDLES, ids=lambda folder: str(folder.name))
def test_a_shipped_recipe_is_the_bundle_s(folder: Path) -> None:
    """Whatever it was called when the bundle was made."""
    made_with = RunRecord.read(folder / "run.json").recipe
    unnamed = {"name": "", "description": ""}
    shipped = [load_recipe(path).model_copy(update=unnamed) for path in shipped_recipes()]
    assert made_with.model_copy(update=unnamed) in shipped


def test_there_are_bundles() -> None:
    assert "edge-vgg6" in {folder.name for folder in BUNDLES}


@pytest.mark.parametrize(
    ("folder", "file"), int8_artifacts(), ids=lambda value: getattr(value, "name", value)
)
def test_an_int8_artifact_does_what_its_report_says(folder: Path, file: str) -> None:
    bundle = Bundle.open(folder)
    artifact = next(entry for entry in bundle.manifest.artifacts if entry.file == file)
    report = ParityReport.read(folder / "report" / "report.json")
    reported = next(entry for entry in report.comparisons if entry.artifact == file)
    assert reported.sha256 == artifact.sha256
    sample = load_dataset(DataSpec(source=Source.SAMPLE), Split.TEST)
    _, probabilities = outputs(bundle, artifact, sample.images)
    rate = count_correct(probabilities, sample.labels) / len(sample)
    # Of 1,000 images drawn from the 10,000 of the report: three standard errors.
    error = 3 * (reported.accuracy.rate * (1 - reported.accuracy.rate) / len(sample)) ** 0.5
    assert abs(rate - reported.accuracy.rate) < error


@pytest.mark.parametrize(
    ("folder", "file"), int8_artifacts(), ids=lambda value: getattr(value, "name", value)
)
def test_the_golden_outputs_are_reproduced(folder: Path, file: str) -> None:
    bundle = Bundle.open(folder)
    artifact = next(entry for entry in bundle.manifest.artifacts if entry.file == file)
    golden = folder / "golden"
    raw, _ = outputs(bundle, artifact, np.load(golden / "images.npy"))
    expected = np.load(golden / f"{file}.outputs.npy")
    assert raw.dtype == expected.dtype
    assert np.abs(raw.astype(np.int64) - expected.astype(np.int64)).max() <= 2
