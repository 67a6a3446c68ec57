"""`keras-fvvae compare`"""

from pathlib import Path

import click
from keras_fvvae.tools.console import finish_experiment, load_tensorflow_quietly, parse_settings, parse_weights

from keras_fvvae.recipes import DATASETS


@click.command("compare", short_help="All representations on one data set, in one table.")
@click.argument("recipe", default="digits_conv")
@click.option("--data", type=click.Path(), help="Folder or list of the data, as for train.")
@click.option("--dataset", type=click.Choice(DATASETS), help="Kind of the data instead of the recipe's.")
@click.option("--common-classes", is_flag=True, help="Keep only classes with both training and test items.")
@click.option("--only", help="Names of representations, separated by commas. Default: all. --list shows them.")
@click.option("--list", "list_names", is_flag=True, help="Show the names of the representations and end.")
@click.option("--out", type=click.Path(), help="Folder of the runs and results. Default: runs/compare_RECIPE.")
@click.option(
    "--backbone-weights", "backbone_weights", multiple=True, callback=parse_weights, metavar="[BACKBONE=]WEIGHTS",
    help="imagenet (default), a weight file, or none; with BACKBONE= for that one. Repeatable.",
)  # fmt: skip
@click.option(
    "--set", "settings", multiple=True, callback=parse_settings, metavar="KEY=VALUE",
    help="Any key of the recipe, for all representations. Repeatable.",
)  # fmt: skip
@click.option("--cache", type=click.Path(), help="Folder of cached activations.")
@click.option("--runs", type=click.Path(), help="Folder of the runs, which experiments share. Default: OUT/runs.")
@click.option("--without-fine-tuning", is_flag=True, help="Leave out the rows that need a fine-tuned backbone.")
def command(recipe, data, dataset, common_classes, only, list_names, out, backbone_weights, settings, cache, runs,
    without_fine_tuning,
):  # fmt: skip
    """Train and evaluate every representation on RECIPE's data and backbone, and print them as one table.

    FV-VAE and its variants beside average pooling, GMM Fisher vectors, VLAD, bilinear pooling and its compact forms,
    NetVLAD, ActionVLAD and cross-layer pooling: same activations, same SVM. Stopped, the same command continues.
    """
    from keras_fvvae.recipes import load_recipe

    load_tensorflow_quietly()
    from keras_fvvae.experiments.rows import Experiment
    from keras_fvvae.experiments.variants import VARIANTS, variant_rows
    from keras_fvvae.reporting.pictures import accuracy_bars

    if list_names:
        for name, (title, _) in VARIANTS.items():
            click.echo(f"{name:20} {title}")
        return
    recipe = load_recipe(recipe, **({"dataset": dataset} if dataset else {}), **settings)
    names = [name.strip() for name in only.split(",")] if only else None
    rows = variant_rows(recipe, names)
    out = Path(out or Path("runs") / f"compare_{recipe.name}")
    experiment = Experiment(
        runs or out / "runs", data, backbone_weights, common_classes, cache, not without_fine_tuning,
        say=lambda text: click.echo(text, err=True),
    )  # fmt: skip
    outcomes = experiment.run(rows)
    title = f"Representations on {recipe.name}"
    finish_experiment(outcomes, out, title, pictures={"Accuracy": accuracy_bars(outcomes)})
