"""The bundle's README.md: a model card in Hugging Face's form, and the licence of its examples."""

from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from edgecifar.artifacts import Accuracy, ArtifactEntry, RunRecord
from edgecifar.artifacts.bundle import TargetEntry
from edgecifar.choices import Source
from edgecifar.errors import ExportError

CARD = "README.md"
LICENCE = "LICENSE-examples.txt"
_PUBLIC_DATA = {Source.CIFAR10: "CIFAR-10", Source.SAMPLE: "2,000 images of CIFAR-10"}
_HUB_ID = "uoft-cs/cifar10"
"""CIFAR-10's name on the Hugging Face Hub."""


def write_card(
    folder: Path,
    record: RunRecord,
    artifacts: tuple[ArtifactEntry, ...],
    targets: tuple[TargetEntry, ...],
) -> None:
    """Writes the card and, where there is example code, its licence.

    The measured accuracies are those of the run on validation images: `verify` measures the files.

    Raises:
        ExportError: edgecifar's own licence is not where an installation has it.
    """
    source = record.recipe.data.source
    models = tuple(entry for entry in artifacts if entry.format != "keras")
    names: dict[str, Any] = {
        "record": record,
        "recipe": record.recipe,
        "models": models,
        "targets": targets,
        "dataset": _PUBLIC_DATA.get(source, "images of its own"),
        "hub_id": _HUB_ID if source in _PUBLIC_DATA else None,
        "results": _results(record),
        "licence": LICENCE,
    }
    environment = Environment(
        loader=PackageLoader("edgecifar.exporting"),
        autoescape=False,  # noqa: S701  Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = environment.get_template("card.md.jinja").render(names)
    (folder / CARD).write_text(text, encoding="utf-8", newline="\n")
    if targets:
        (folder / LICENCE).write_text(_own_licence(), encoding="utf-8", newline="\n")


def _results(record: RunRecord) -> list[tuple[str, Accuracy]]:
    results = [("float32, in Keras", record.validation)]
    if record.validation_quantized:
        results.append(("quantization-aware, in Keras", record.validation_quantized))
    return results


def _own_licence() -> str:
    text = distribution("edgecifar").read_text("licenses/LICENSE")
    if text is None:
        raise ExportError("The licence of edgecifar is missing from its installation.", "Install it again.")
    return text
