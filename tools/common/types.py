"""Kinds of arguments that a shell completes: entries, runs and backbones. Completing imports no TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem


class _Named(click.ParamType):
    """Text of which some values are known; any other is taken too, and judged by the command."""

    name = "text"

    def known(self) -> list[str]:
        raise NotImplementedError

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in self.known() if name.lower().startswith(incomplete.lower())]


class RecipeType(_Named):
    """An entry of the zoo, or a YAML file of the user's own."""

    name = "recipe"

    def known(self) -> list[str]:
        from keras_fvvae.recipes import list_recipes

        return list_recipes()

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return super().shell_complete(ctx, param, incomplete) or [CompletionItem(incomplete, type="file")]


class BackboneType(_Named):
    """A network that Keras Applications or this library builds, or a file."""

    name = "backbone"

    def known(self) -> list[str]:
        from keras_fvvae.backbones import BACKBONES

        return list(BACKBONES)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return super().shell_complete(ctx, param, incomplete) or [CompletionItem(incomplete, type="file")]


class RunType(click.Path):
    """The folder of a finished training. Completed: such folders below what is typed, here and in `runs/`."""

    name = "run"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        typed = Path(incomplete)
        parents = {typed if incomplete.endswith(os.sep) else typed.parent, Path(), Path("runs")}
        found = {str(recipe.parent) for parent in parents for recipe in parent.glob("*/recipe.yaml")}
        items = [CompletionItem(name) for name in sorted(found) if name.startswith(incomplete)]
        return items or [CompletionItem(incomplete, type="file")]  # also where files follow


class NumberOrAuto(click.ParamType):
    """A positive integer, or `auto`."""

    name = "N|auto"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value == "auto":
            return value
        try:
            return click.IntRange(1).convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is neither a positive integer nor auto.", param, ctx)


RECIPE, RUN, BACKBONE, NUMBER_OR_AUTO = RecipeType(), RunType(), BackboneType(), NumberOrAuto()
