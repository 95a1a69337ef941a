import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgecifar.errors import RecipeError
from edgecifar.recipe import (
    CompressionSpec,
    DistillationSpec,
    Flip,
    Form,
    PruningSpec,
    QuantizationSpec,
    Recipe,
    load_recipe,
    parse_recipe,
    shipped_recipes,
)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes a recipe file and returns its path."""

    def write_recipe(text: str, name: str = "mine.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_recipe


def complaint(table: dict[str, Any]) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"name": "mine"} | table, where="mine.toml")
    return str(caught.value)


# Shipped recipes


@pytest.mark.parametrize("path", shipped_recipes(), ids=lambda path: str(path.stem))
def test_each_shipped_recipe_loads_by_name_and_says_what_it_is(path: Path) -> None:
    recipe = load_recipe(path.stem)
    assert recipe == load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.description


def test_the_default_is_shipped() -> None:
    assert "edge" in [path.stem for path in shipped_recipes()]


# Keys that came later


def test_a_recipe_without_later_keys_keeps_its_older_json_form() -> None:
    table = json.loads(Recipe(name="mine").model_dump_json())
    assert list(table["model"]) == ["name", "form", "dropout", "l2"]
    assert "distillation" not in table["training"]
    later = {"distillation", "temperature", "ema", "saturation_safe"}
    assert not later & (set(table["compression"]["pruning"]) | set(table["compression"]["quantization"]))


def test_later_keys_survive_the_json_form(write: Any) -> None:
    text = """
        model.width = 2
        training.distillation = { teacher = "runs/teacher", weight = 0.5 }
        compression.pruning = { sparsity = 0.5, distillation = 0.8 }
        compression.quantization = { qat = true, distillation = 0.6, temperature = 2 }
    """
    recipe = load_recipe(write(text))
    assert recipe.training.distillation == DistillationSpec(teacher="runs/teacher", weight=0.5)
    assert recipe.compression.quantization.temperature == 2
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_a_section_that_may_be_missing_knows_its_keys(write: Any) -> None:
    told = complaint({"training": {"distillation": {"techer": "runs/teacher"}}})
    assert "mine.toml: [training.distillation] techer is not a key. Did you mean teacher?" in told
    assert "Known keys: teacher, temperature, weight." in told
    assert "a section was expected, not a value" in complaint({"training": {"distillation": 0.5}})
    recipe = load_recipe(write("seed = 1"), ["training.distillation.teacher=runs/teacher"])
    assert recipe.training.distillation == DistillationSpec(teacher="runs/teacher")


# Names, paths and files


def test_a_file_is_named_after_itself_unless_it_says_otherwise(write: Any) -> None:
    assert load_recipe(write("seed = 3")) == Recipe(name="mine", seed=3)
    assert load_recipe(str(write('name = "yours"'))).name == "yours"


def test_an_unknown_name_is_told_with_its_neighbour_and_the_list() -> None:
    with pytest.raises(RecipeError, match=r"There is no recipe named egde. Did you mean edge\?") as caught:
        load_recipe("egde")
    assert caught.value.mend.startswith("Shipped recipes: ")
    assert "edge" in caught.value.mend


def test_a_missing_file_is_told() -> None:
    with pytest.raises(RecipeError, match=r"nowhere/mine.toml: there is no such recipe file"):
        load_recipe("nowhere/mine.toml")


def test_a_file_that_may_not_be_read_is_told(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("seed = 3")

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(RecipeError, match=r"mine.toml: cannot be read \(Permission denied\)"):
        load_recipe(path)


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").mkdir()
    with pytest.raises(RecipeError, match="there is no such recipe file"):
        load_recipe(tmp_path / "mine.toml")


@pytest.mark.parametrize(
    "content",
    [b"seed = ", b"\xff\xfe", b"seed = 1\nseed = 2", b"seed = " + b"9" * 5000, b"seed = " + b"[" * 5000],
    ids=["no value", "no UTF-8", "key twice", "huge integer", "deep array"],
)
def test_a_file_that_is_not_toml_is_told(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"mine.toml: not a TOML file: "):
        load_recipe(path)


# Wrong keys, types and values


def test_a_wrong_key_is_told_with_section_neighbour_and_known_keys() -> None:
    assert complaint({"augmentation": {"rotaton": 15}}) == (
        "mine.toml: [augmentation] rotaton is not a key. Did you mean rotation?\n"
        "Known keys: rotation, shift, shear, zoom, flip, crop, fill, cutout, colour, mixup."
    )


def test_a_wrong_section_is_told_with_the_known_ones() -> None:
    told = complaint({"trainig": {"epochs": 1}})
    assert told.startswith("mine.toml: trainig is not a key. Did you mean training?\nKnown keys: name, ")


def test_a_wrong_key_two_sections_down_is_told() -> None:
    told = complaint({"training": {"optimizer": {"momentun": 0.9}}})
    assert told.startswith("mine.toml: [training.optimizer] momentun is not a key. Did you mean momentum?")


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"training": {"epochs": 0}}, "[training] epochs = 0: input should be greater than or equal to 1."),
        ({"training": {"epochs": "10"}}, "[training] epochs = '10': input should be a valid integer."),
        ({"training": {"epochs": True}}, "[training] epochs = True: input should be a valid integer."),
        ({"training": {"epochs": 10.0}}, "[training] epochs = 10.0: input should be a valid integer."),
        ({"training": {"ema": 1.0}}, "[training] ema = 1.0: input should be less than 1."),
        (
            {"compression": {"quantization": {"qat": "yes"}}},
            "[compression.quantization] qat = 'yes': input should be a valid boolean.",
        ),
        ({"model": {"form": "edgy"}}, "[model] form = 'edgy': input should be 'seed' or 'edge'."),
        ({"model": {"dropout": [0, 0, 1]}}, "[model] dropout[2] = 1: input should be less than 1."),
        ({"training": 3}, "training = 3: a section was expected, not a value."),
        ({"seed": 2**31}, "seed = 2147483648: input should be less than 2147483648."),
        (
            {"augmentation": {"rotation": float("nan")}},
            "[augmentation] rotation = nan: input should be a finite number.",
        ),
    ],
)
def test_a_wrong_value_is_told(table: dict[str, Any], told: str) -> None:
    assert complaint(table) == f"mine.toml: {told}"


def test_a_value_of_two_possible_types_is_told_without_their_inner_names() -> None:
    assert complaint({"preprocessing": {"mean": "tran"}}) == (
        "mine.toml: [preprocessing] mean = 'tran': input should be a valid number.\n"
        "mine.toml: [preprocessing] mean = 'tran': input should be 'train'."
    )


def test_all_mistakes_are_told_at_once() -> None:
    assert len(complaint({"seed": -1, "training": {"epochs": 0, "batch_size": 0}}).splitlines()) == 3


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ({"name": "steps", "steps": [[5, 0.1], [5, 0.2]]}, "in order of their epochs, each once"),
        ({"name": "steps", "steps": [[5, 0.1], [4, 0.2]]}, "in order of their epochs, each once"),
        ({"name": "steps"}, "that schedule needs it"),
        ({"name": "cosine", "steps": [[5, 0.1]]}, 'steps belongs to the schedule named "steps"'),
    ],
)
def test_steps_are_in_order_and_belong_to_their_schedule(schedule: dict[str, Any], told: str) -> None:
    assert told in complaint({"training": {"schedule": schedule}})


# Overrides


def test_overrides_are_toml_or_text(write: Any) -> None:
    path = write("[training]\nepochs = 3\n[model]\nname = 'vgg6'")
    overrides = [
        "training.epochs=5",
        "training.optimizer.learning_rate = 1e-3",
        "model.name=resnet8",
        "model.dropout=[0.1, 0.2, 0.3]",
        "compression.quantization.qat=true",
        "augmentation.flip=alternating",
        "description=a = b",
    ]
    recipe = load_recipe(path, overrides)
    assert recipe.training.epochs == 5
    assert recipe.training.optimizer.learning_rate == 1e-3
    assert recipe.model.name == "resnet8"
    assert recipe.model.dropout == [0.1, 0.2, 0.3]
    assert recipe.compression.quantization.qat is True
    assert recipe.augmentation.flip is Flip.ALTERNATING
    assert recipe.description == "a = b"


def test_the_last_override_wins(write: Any) -> None:
    assert load_recipe(write(""), ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize("assignment", ["training.epochs", "=3", "training.=3", "training..epochs=3", ""])
def test_an_override_of_another_form_is_told(assignment: str) -> None:
    with pytest.raises(RecipeError, match="not of the form key=value"):
        load_recipe("edge", [assignment])


def test_an_override_below_a_value_is_told() -> None:
    with pytest.raises(RecipeError, match="epochs is a value, not a section"):
        load_recipe("edge", ["training.epochs.x=3"])


def test_an_override_of_several_lines_is_a_text(write: Any) -> None:
    with pytest.raises(RecipeError, match=r"seed = '1.nbatch = 2': input should be"):
        load_recipe(write(""), ["seed=1\nbatch = 2"])


def test_an_override_is_checked_like_the_file() -> None:
    with pytest.raises(
        RecipeError, match=r"edge.toml: \[training\] epoch is not a key. Did you mean epochs\?"
    ):
        load_recipe("edge", ["training.epoch=3"])


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_override_gives_a_recipe_or_one_of_our_errors(key: str, value: str) -> None:
    try:
        assert isinstance(load_recipe("edge", [f"{key}={value}"]), Recipe)
    except RecipeError as error:
        assert error.problem  # noqa: PT017  either outcome is right


# Recipes as objects


def test_recipes_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Recipe(name="mine").seed = 4


def test_compression_is_empty_until_something_is_asked_for() -> None:
    assert CompressionSpec().is_empty
    assert not CompressionSpec(pruning=PruningSpec(sparsity=0.5)).is_empty
    assert not CompressionSpec(quantization=QuantizationSpec(qat=True)).is_empty


numbers = st.floats(0, 0.99, exclude_max=True)
recipes = st.builds(
    lambda seed, form, dropout, flip, rotation, mean, steps, rate: {
        "name": "any",
        "seed": seed,
        "preprocessing": {"mean": mean},
        "model": {"form": form, "dropout": dropout},
        "augmentation": {"flip": flip, "rotation": rotation},
        "training": {
            "optimizer": {"learning_rate": rate},
            "schedule": {"name": "steps", "steps": [[epoch, rate] for epoch in sorted(steps)]},
        },
    },
    seed=st.integers(0, 2**31 - 1),
    form=st.sampled_from([str(form) for form in Form]),
    dropout=st.lists(numbers, min_size=3, max_size=3),
    flip=st.sampled_from([str(flip) for flip in Flip]),
    rotation=st.floats(0, 180) | st.integers(0, 180),
    mean=st.just("train") | st.floats(0, 255) | st.integers(0, 255),
    steps=st.sets(st.integers(1, 1000), min_size=1, max_size=5),
    rate=st.floats(1e-9, 1e3),
)


@given(recipes)
def test_a_recipe_survives_toml_and_json(table: dict[str, Any]) -> None:
    recipe = parse_recipe(table, where="here")
    assert parse_recipe(tomllib.loads(_as_toml(table)), where="here") == recipe
    assert parse_recipe(json.loads(recipe.model_dump_json()), where="here") == recipe
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def _as_toml(table: dict[str, Any]) -> str:
    """Returns the table as TOML with dotted keys; JSON's texts, numbers and arrays are TOML's too."""

    def lines(part: dict[str, Any], prefix: str) -> list[str]:
        found = []
        for key, value in part.items():
            inner = isinstance(value, dict)
            found += lines(value, f"{prefix}{key}.") if inner else [f"{prefix}{key} = {json.dumps(value)}"]
        return found

    return "\n".join(lines(table, ""))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from([*Recipe.model_fields, "pruning", "epochs", "schedule", "steps", "x"])


@given(st.dictionaries(keys, values | st.dictionaries(keys, values, max_size=2), max_size=3))
def test_any_table_gives_a_recipe_or_one_of_our_errors(table: dict[str, Any]) -> None:
    try:
        assert isinstance(parse_recipe(table, where="here"), Recipe)
    except RecipeError as error:
        assert error.problem.startswith("here: ")  # noqa: PT017  either outcome is right
