"""Kinds of arguments that a shell completes: entries, runs and backbones. Completing imports no TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem

# The keys of `keras_fvvae.backbones.BACKBONES`, whose table needs Keras.
BACKBONE_NAMES = (
    *("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152", "ResNet50V2", "ResNet101V2", "ResNet152V2"),
    *("DenseNet121", "DenseNet169", "DenseNet201", "MobileNet", "MobileNetV2", "NASNetMobile", "NASNetLarge"),
    *("InceptionV3", "InceptionResNetV2", "Xception", "MobileNetV3Small", "MobileNetV3Large"),
    *(f"EfficientNetB{size}" for size in range(8)),
    *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    *(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
    "DigitsConvNet",
)


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
    """A network that Keras Applications or this library builds."""

    name = "backbone"

    def known(self) -> list[str]:
        return list(BACKBONE_NAMES)


class RunType(click.Path):
    """The folder of a finished training. Completed: such folders below what is typed, here and in `runs/`."""

    name = "run"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        typed = Path(incomplete)
        parents = {typed if incomplete.endswith(os.sep) else typed.parent, Path(), Path("runs")}
        found = {str(recipe.parent) for parent in parents for recipe in parent.glob("*/recipe.yaml")}
        items = [CompletionItem(name) for name in sorted(found) if name.startswith(incomplete)]
        return items or [CompletionItem(incomplete, type="dir")]


RECIPE, RUN, BACKBONE = RecipeType(), RunType(), BackboneType()
