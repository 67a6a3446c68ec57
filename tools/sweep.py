"""`keras-fvvae sweep`"""

from pathlib import Path

import click
from keras_fvvae.tools.console import finish_experiment, load_tensorflow_quietly, parse_settings, parse_weights

from keras_fvvae.recipes import DATASETS


@click.command("sweep", short_help="Choose settings on a validation part of the training split.")
@click.argument("recipe")
@click.argument("grid", nargs=-1, required=True, metavar="KEY=A,B,C...")
@click.option("--data", type=click.Path(), help="Folder or list of the data, as for train.")
@click.option("--dataset", type=click.Choice(DATASETS), help="Kind of the data instead of the recipe's.")
@click.option("--common-classes", is_flag=True, help="Keep only classes with both training and test items.")
@click.option(
    "--folds", default=3, show_default=True, type=click.IntRange(2), help="The validation part is one of so many."
)
@click.option("--out", type=click.Path(), help="Folder of the runs and results. Default: runs/sweep_RECIPE.")
@click.option(
    "--backbone-weights", "backbone_weights", multiple=True, callback=parse_weights, metavar="[BACKBONE=]WEIGHTS",
    help="imagenet (default), a weight file, or none; with BACKBONE= for that one. Repeatable.",
)  # fmt: skip
@click.option(
    "--set", "settings", multiple=True, callback=parse_settings, metavar="KEY=VALUE",
    help="Any key of the recipe, for all combinations. Repeatable.",
)  # fmt: skip
@click.option("--cache", type=click.Path(), help="Folder of cached activations.")
def command(recipe, grid, data, dataset, common_classes, folds, out, backbone_weights, settings, cache):
    """Train RECIPE with every combination of the settings and print their accuracies on a validation part.

    The validation part is taken from the training split; test items are not used. For example:
    keras-fvvae sweep digits_conv lambda3=10,100,1000 latent_dim=15,31
    """
    load_tensorflow_quietly()
    from keras_fvvae.experiments.rows import Experiment
    from keras_fvvae.experiments.sweep import parse_grid, sweep_picture, sweep_rows, validation_collection
    from keras_fvvae.recipes import load_recipe

    recipe = load_recipe(recipe, **({"dataset": dataset} if dataset else {}), **settings)
    values = parse_grid(grid)
    rows = sweep_rows(recipe, values)
    out = Path(out or Path("runs") / f"sweep_{recipe.name}")
    experiment = Experiment(
        out / "runs", data, backbone_weights, common_classes, cache,
        part=lambda collection: validation_collection(collection, folds, recipe.seed),
        say=lambda text: click.echo(text, err=True),
    )  # fmt: skip
    outcomes = experiment.run(rows)
    notes = experiment.collection(rows[0].recipe).notes
    pictures = {"Accuracy": sweep_picture(values, outcomes)} if any(o.metrics for o in outcomes) else {}
    finish_experiment(outcomes, out, f"Sweep of {recipe.name}", notes, pictures)
