"""`keras-fvvae reproduce`"""

from pathlib import Path

import click
from keras_fvvae.tools.console import finish_experiment, load_tensorflow_quietly, parse_settings, parse_weights

EXPERIMENTS = ("table2", "table3", "table4", "table5", "table6", "figure4a", "figure4b", "figure4c")


@click.command("reproduce", short_help="The paper's tables and figures on your data.")
@click.argument("experiment", type=click.Choice(EXPERIMENTS))
@click.option("--data", type=click.Path(), help="Copy of the data set, whole or in part: UCF101, ActivityNet, CUB.")
@click.option(
    "--recipe", "base", help="Entry or YAML file instead of the paper's data and backbone, for table2 and figures."
)
@click.option("--out", type=click.Path(), help="Folder of the runs and results. Default: runs/EXPERIMENT.")
@click.option("--common-classes", is_flag=True, help="Keep only classes with both training and test items.")
@click.option("--idt", help="Scores of keras-fvvae idt for table4 (and table5), such as 'runs/idt{split}/scores.csv'.")
@click.option("--splits", default="1,2,3", show_default=True, help="Splits of UCF101 that table4 averages over.")
@click.option(
    "--backbone-weights", "backbone_weights", multiple=True, callback=parse_weights, metavar="[BACKBONE=]WEIGHTS",
    help="imagenet (default), a weight file, or none; with BACKBONE= for that one. Repeatable.",
)  # fmt: skip
@click.option(
    "--set", "settings", multiple=True, callback=parse_settings, metavar="KEY=VALUE",
    help="Any key of the recipes, for all rows, such as steps=600. Repeatable.",
)  # fmt: skip
@click.option("--cache", type=click.Path(), help="Folder of cached activations.")
@click.option("--runs", type=click.Path(), help="Folder of the runs, which experiments share. Default: OUT/runs.")
@click.option("--without-fine-tuning", is_flag=True, help="Leave out the rows that need a fine-tuned backbone.")
def command(experiment, data, base, out, common_classes, splits, idt, backbone_weights, settings, cache, runs,
    without_fine_tuning,
):  # fmt: skip
    """Run everything that EXPERIMENT of the FV-VAE paper needs, and print it beside the paper's figures.

    Rows that cannot be run here (no weights, no flow, another method) are shown as not run, with the reason.
    Activations are shared between rows. Stopped, the same command continues.
    """
    load_tensorflow_quietly()
    from keras_fvvae.experiments.paper import reproduce
    from keras_fvvae.experiments.rows import Experiment

    if base is not None and experiment.startswith("table") and experiment != "table2":
        raise click.UsageError(f"--recipe is for table2 and the figures; {experiment} has recipes of its own.")
    if idt is not None and experiment not in ("table4", "table5"):
        raise click.UsageError(f"--idt is for table4 and table5; {experiment} has no such row.")
    out = Path(out or Path("runs") / experiment)
    runner = Experiment(
        runs or out / "runs", data, backbone_weights, common_classes, cache, not without_fine_tuning,
        say=lambda text: click.echo(text, err=True),
    )  # fmt: skip
    try:
        numbers = [int(number) for number in splits.split(",")]
    except ValueError as error:
        raise click.UsageError(f"--splits must be numbers such as 1,2,3. Received: {splits!r}") from error
    title, outcomes, pictures = reproduce(experiment, runner, base, numbers, idt, settings)
    finish_experiment(outcomes, out, title, pictures=pictures)
