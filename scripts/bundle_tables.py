"""Writes the README's tables of the bundles, from their reports.

    python scripts/bundle_tables.py [--exported exported] [--write README.md]

Without --write it prints them. In the file, each table lies between `<!-- table: NAME -->` and
`<!-- end -->`. Run it again when a report changes.
"""

import argparse
import gzip
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgecifar.artifacts import Comparison, ParityReport, RunRecord
from edgecifar.artifacts.files import write_text
from edgecifar.errors import EdgecifarError, VerificationError
from edgecifar.recipe import Recipe, load_recipe, shipped_recipes

ORDER = ("edge-vgg6", "edge-vgg6-sparse", "tiny-resnet8", "seed-vgg6")
"""Of the columns; other bundles follow by name."""
TEST_IMAGES = 10_000
NONE = "–"


class Verified:
    """A bundle with its report."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = RunRecord.read(folder / "run.json")
        self.report = ParityReport.read(folder / "report" / "report.json")
        self._comparisons = {(c.artifact, c.engine.runtime): c for c in self.report.comparisons}

    @property
    def name(self) -> str:
        """Of the bundle."""
        return self.folder.name

    def comparison(self, artifact: str, runtime: str) -> Comparison | None:
        """Returns what the report says of a file in an engine; None: nothing."""
        return self._comparisons.get((artifact, runtime))

    def whole(self, artifact: str, runtime: str) -> Comparison:
        """Returns the same, where it is of all test images.

        Raises:
            VerificationError: It is not.
        """
        found = self.comparison(artifact, runtime)
        if found is None or found.accuracy.total != TEST_IMAGES or self.report.data_split != "test":
            raise VerificationError(
                f"{self.folder}: its report has no {artifact} on all test images in {runtime}."
            )
        return found

    def gzip_bytes(self, comparison: Comparison) -> int | None:
        """Returns the size of a file as downloaded; None: the model is not pruned, and hardly compresses."""
        if not self.record.sparsity:
            return None
        return len(gzip.compress((self.folder / comparison.artifact).read_bytes(), 9))

    def int8_pairs(self) -> list[tuple[str, str]]:
        """Returns the int8 files with each engine that the report has of them, in its order."""
        return [(c.artifact, c.engine.runtime) for c in self.report.comparisons if c.precision == "int8"]


def table_of_bundles(bundles: Sequence[Verified]) -> str:
    """Returns a row for each bundle: accuracy as float and int8, size, zeros."""
    rows = [
        "| bundle | recipe | float32 | int8, TFLite | int8, ONNX | int8 TFLite bytes | weights at zero |",
        "| --- | --- | --: | --: | --: | --: | --: |",
    ]
    for bundle in bundles:
        tflite = bundle.whole("model.int8.tflite", "litert")
        size, zipped = f"{tflite.size_bytes:,}", bundle.gzip_bytes(tflite)
        if zipped is not None:
            size += f", by gzip {zipped:,}"
        cells = [
            f"[`{bundle.name}`](exported/{bundle.name}/report/report.md)",
            f"`{recipe_name(bundle.record.recipe)}`",
            percent(bundle.whole("model.float32.tflite", "litert")),
            percent(tflite),
            percent(bundle.whole("model.int8.onnx", "ort-cpu")),
            size,
            f"{100 * bundle.record.sparsity:.0f} %",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def recipe_name(recipe: Recipe) -> str:
    """Returns the name of the shipped recipe with these values, or else that which the run gave it."""
    called = {"name": recipe.name, "description": recipe.description}
    for path in shipped_recipes():
        if load_recipe(path).model_copy(update=called) == recipe:
            return path.stem
    return recipe.name


def table_of_engines(bundles: Sequence[Verified]) -> str:
    """Returns a row for each int8 file and engine, with a column for each bundle."""
    rows = [
        f"| int8 file | runtime | {' | '.join(f'`{bundle.name}`' for bundle in bundles)} |",
        f"| --- | --- |{' --: |' * len(bundles)}",
    ]
    # The bundle with the most engines orders the rows; a dictionary keeps the rest behind it.
    longest = max(bundles, key=lambda bundle: len(bundle.int8_pairs()))
    pairs = dict.fromkeys(pair for bundle in (longest, *bundles) for pair in bundle.int8_pairs())
    for artifact, runtime in pairs:
        cells = [cell(bundle.comparison(artifact, runtime)) for bundle in bundles]
        rows.append(f"| `{artifact}` | `{runtime}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def cell(comparison: Comparison | None) -> str:
    """Returns top-1, the largest difference to the twin and that to the reference kernels, in steps."""
    if comparison is None:
        return NONE
    accuracy = comparison.accuracy
    told = percent(comparison)
    if accuracy.total != TEST_IMAGES:
        told = f"{accuracy.correct} of {accuracy.total:,}"
    kernels = comparison.reference_kernels
    steps = (comparison.max_twin_steps, kernels.max_steps if kernels else None)
    return " · ".join([told, *(NONE if step is None else str(step) for step in steps)])


def percent(comparison: Comparison) -> str:
    """Returns top-1 as per cent."""
    return f"{100 * comparison.accuracy.rate:.2f} %"


def replace_tables(text: str, tables: Mapping[str, str]) -> str:
    """Returns `text` with the tables between their marks.

    Raises:
        VerificationError: A table has not exactly one place.
    """
    for name, table in tables.items():
        mark = f"<!-- table: {name} -->"
        place = re.compile(rf"{re.escape(mark)}\n.*?<!-- end -->", re.DOTALL)
        parts = place.split(text)
        if len(parts) != 2:
            raise VerificationError(f"There are {len(parts) - 1} places marked {mark}, not one.")
        text = f"{parts[0]}{mark}\n{table}\n<!-- end -->{parts[1]}"
    return text


def main() -> None:
    """Reads the bundles, and prints or writes the tables."""
    parser = argparse.ArgumentParser(description="Write the tables of bundles and engines.")
    parser.add_argument("--exported", type=Path, default=Path("exported"), help="(default: %(default)s)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="Markdown file with the tables' places")
    arguments = parser.parse_args()
    folders = {
        path.parent.parent.name: path.parent.parent
        for path in arguments.exported.glob("*/report/report.json")
    }
    try:
        if not folders:
            raise VerificationError(f"{arguments.exported}: there is no verified bundle.")
        names = [name for name in ORDER if name in folders] + sorted(set(folders) - set(ORDER))
        bundles = [Verified(folders[name]) for name in names]
        tables = {"bundles": table_of_bundles(bundles), "engines": table_of_engines(bundles)}
        if arguments.write:
            text = arguments.write.read_text(encoding="utf-8")
            write_text(arguments.write, replace_tables(text, tables))
            print(f"Wrote the tables of {len(bundles)} bundles to {arguments.write}.")
        else:
            print("\n\n".join(tables.values()))
    except EdgecifarError as error:
        parser.exit(error.exit_status, f"error: {error}\n")


if __name__ == "__main__":
    main()
