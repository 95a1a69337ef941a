"""What makes model files embeddable: their own words, golden outputs, targets, the model card."""

from collections.abc import Sequence
from pathlib import Path

from edgecifar.artifacts import ArtifactEntry, Dataset, RunRecord
from edgecifar.artifacts.bundle import TargetEntry
from edgecifar.choices import Target
from edgecifar.exporting.card import write_card
from edgecifar.exporting.metadata import Description, describe_onnx, describe_tflite
from edgecifar.exporting.options import Format, Io, Precision
from edgecifar.exporting.targets import write_targets
from edgecifar.exporting.targets.golden import write_golden
from edgecifar.exporting.targets.material import CMaker, Material
from edgecifar.progress import SILENT, Progress

_DESCRIBE = {Format.TFLITE: describe_tflite, Format.ONNX: describe_onnx}


def describe(content: bytes, kind: Format, precision: Precision, io: Io, record: RunRecord) -> bytes:
    """Returns a model file that says what it is: the last thing that is done to it."""
    description = Description(
        name=record.name,
        summary=f"Names which of {len(record.class_names)} classes a picture shows ({precision}).",
        class_names=record.class_names,
        preprocessing=record.preprocessing,
        raw_pixels=io is Io.UINT8,
    )
    return _DESCRIBE[kind](content, description)


def write_embedded(
    folder: Path,
    record: RunRecord,
    artifacts: Sequence[ArtifactEntry],
    golden: Dataset,
    targets: Sequence[Target],
    progress: Progress = SILENT,
    make_c: CMaker | None = None,
) -> tuple[TargetEntry, ...]:
    """Returns the targets that were written, with the table of golden outputs and the model card.

    Args:
        folder: The bundle's, its artifacts and golden images written.
        record: Of the run.
        artifacts: What lies in the folder.
        golden: The golden images.
        targets: Those wanted, or `Target.ALL`.
        progress: Told which of all targets were left out, and why.
        make_c: The generator of C, for the target mcu.

    Raises:
        ExportError: A target embeds a format that the bundle lacks, or a class name fits no source code.
        EngineMissingError: A target needs a tool that is not here.
    """
    material = Material(
        folder, record.name, record.class_names, record.preprocessing, tuple(artifacts), golden, make_c
    )
    write_golden(material)
    written = write_targets(material, targets, progress)
    write_card(folder, record, material.artifacts, written)
    return written
