"""`keras-fvvae compare`"""

from __future__ import annotations

from typing import Any

import click
from keras_fvvae.tools.common.commands import Command
from keras_fvvae.tools.common.console import load_tensorflow_quietly
from keras_fvvae.tools.common.experiment import ExperimentSettings, experiment_options, finish_experiment
from keras_fvvae.tools.common.options import recipe_argument

from keras_fvvae.experiments.variants import VARIANTS, variant_rows


@click.command("compare", cls=Command, short_help="All representations on one data set, in one table.")
@recipe_argument(default="digits_conv")
@click.option("--only", metavar="NAME,NAME...", help="Some of the representations. Default: all. --list shows them.")
@click.option("--list", "list_names", is_flag=True, help="Show the names of the representations and end.")
@experiment_options("runs/compare_RECIPE")
def command(recipe: str, only: str | None, list_names: bool, **shared: Any) -> None:
    """Train and evaluate every representation on RECIPE's data and backbone, and print them as one table.

    FV-VAE and its variants beside average pooling, GMM Fisher vectors, VLAD, bilinear pooling and its compact forms,
    NetVLAD, ActionVLAD and cross-layer pooling: same activations, same SVM; the most accurate first. Stopped, the same
    command continues.
    """
    if list_names:
        for name, (title, _) in VARIANTS.items():
            click.echo(f"{name:20} {title}")
        return
    settings = ExperimentSettings(**shared)
    chosen = settings.recipe(recipe)
    out = settings.folder(f"compare_{chosen.name}")
    rows = variant_rows(chosen, [name.strip() for name in only.split(",")] if only else None)
    load_tensorflow_quietly()
    from keras_fvvae.reporting.pictures import accuracy_ranges, by_accuracy

    outcomes = by_accuracy(settings.experiment(out).run(rows))
    title = f"Representations on {chosen.name}"
    finish_experiment(outcomes, out, title, pictures={"Accuracy": accuracy_ranges(outcomes)})
