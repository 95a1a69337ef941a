"""recipes and summary: what can be trained."""

import json

import typer

from edgecifar.cli.making import DEFAULT_RECIPE, JsonOption, RecipeOption, SetOption
from edgecifar.cli.terminal import load_pipeline_with_tensorflow, terminal


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    for command in (recipes, summary):
        app.command()(command)


def recipes(as_json: JsonOption = False) -> None:
    """List the recipes that come with edgecifar."""
    from edgecifar.cli.tables import recipes_table
    from edgecifar.recipe import load_recipe, recipe_folder, shipped_recipes

    shipped = [load_recipe(path) for path in shipped_recipes()]
    if as_json:
        terminal().data(json.dumps([recipe.model_dump(mode="json") for recipe in shipped], indent=2))
        return
    terminal().result(recipes_table(shipped))
    terminal().say(f"To make your own, copy one from {recipe_folder()}.")
    terminal().next_step("edgecifar train --recipe NAME")


def summary(
    recipe: RecipeOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a recipe's network: layers, shapes, parameters and multiply-adds.

    \b
    Examples:
      edgecifar summary --recipe seed
      edgecifar summary --set model.name=resnet8
    """
    from dataclasses import asdict

    from edgecifar.cli.tables import layers_table
    from edgecifar.recipe import load_recipe

    pipeline = load_pipeline_with_tensorflow()
    chosen = load_recipe(recipe or DEFAULT_RECIPE, set_ or [])
    costs = pipeline.summarize(chosen)
    if as_json:
        terminal().data(json.dumps([asdict(cost) for cost in costs], indent=2))
        return
    terminal().result(layers_table(chosen, costs))
