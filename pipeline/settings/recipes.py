"""Recipes: the configs of the repository's `configs/`, which the wheel brings along."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

CHECKOUT = Path(__file__).parents[2] / "configs"

FOLDERS = (Path(__file__).parent / "configs", CHECKOUT, CHECKOUT / "recipes")
"""Where recipes are: in an installed wheel, and in a checkout."""


class Recipe(StrEnum):
    """The name of a recipe."""

    LOCAL = "local"
    DEMO = "demo"
    CLUSTER = "cluster"
    S3 = "s3"
    FUSION = "fusion"


def recipe_file(recipe: Recipe) -> Path:
    """The file of a recipe."""
    return next(file for folder in FOLDERS if (file := folder / f"{recipe.value}.yaml").is_file())
