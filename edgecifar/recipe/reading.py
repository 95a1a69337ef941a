"""Reading recipes: where they lie, what overrides change in them, and whether they are valid."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgecifar.errors import RecipeError
from edgecifar.recipe.complaints import NOT_TOML, did_you_mean, explain
from edgecifar.recipe.sections import Recipe

PACKAGE = Path(__file__).parent.parent


def load_recipe(name_or_path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Returns the recipe of that name or path, with `key=value` overrides applied.

    Args:
        name_or_path: A shipped recipe's name ("edge"), or the path of a TOML file.
        overrides: Dotted assignments such as "training.epochs=10"; a value is read as TOML, and as a
            string where it is not TOML.

    Raises:
        RecipeError: No such recipe, not TOML, or a wrong key, type or value.
    """
    path = find_recipe(name_or_path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}).") from error
    except NOT_TOML as error:
        raise RecipeError(f"{path}: not a TOML file: {error}.") from error
    table.setdefault("name", path.stem)
    for assignment in overrides:
        _assign(table, assignment)
    return parse_recipe(table, where=str(path))


def parse_recipe(table: dict[str, Any], where: str) -> Recipe:
    """Returns the recipe that a decoded TOML table describes.

    Raises:
        RecipeError: Naming `where`, the key, and what is allowed.
    """
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        lines = [explain(where, dict(item), Recipe) for item in error.errors()]
        raise RecipeError("\n".join(lines)) from error


def recipe_folder() -> Path:
    """Returns the folder of the shipped recipes: inside an installed package, or at a checkout's top."""
    installed = PACKAGE / "recipes"
    return installed if installed.is_dir() else PACKAGE.parent / "recipes"


def shipped_recipes() -> list[Path]:
    """Returns the paths of the shipped recipes, by name."""
    return sorted(recipe_folder().glob("*.toml"))


def find_recipe(name_or_path: str | Path) -> Path:
    """Returns the path of a shipped recipe or of a file.

    Raises:
        RecipeError: There is none; the message lists the shipped names.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml" or len(path.parts) > 1:
        if path.is_file():
            return path
        raise RecipeError(f"{path}: there is no such recipe file.", _known_recipes())
    shipped = recipe_folder() / f"{path}.toml"
    if shipped.is_file():
        return shipped
    names = [candidate.stem for candidate in shipped_recipes()]
    raise RecipeError(f"There is no recipe named {path}.{did_you_mean(str(path), names)}", _known_recipes())


def _known_recipes() -> str:
    return "Shipped recipes: " + ", ".join(path.stem for path in shipped_recipes()) + "."


def _assign(table: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    if not equals or not all(part.strip() for part in key.split(".")):
        raise RecipeError(f"--set {assignment}: not of the form key=value, for example training.epochs=10.")
    try:
        parsed = tomllib.loads(f"value = {text}")
    except NOT_TOML:
        parsed = {}
    # More than one key: a text of several lines that happens to look like TOML.
    value = parsed["value"] if len(parsed) == 1 else text
    *sections, last = (part.strip() for part in key.split("."))
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise RecipeError(f"--set {assignment}: {section} is a value, not a section.")
    table[last] = value
