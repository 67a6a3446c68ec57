"""`keras-fvvae reproduce`"""

from __future__ import annotations

from typing import Any

import click
from keras_fvvae.tools.common.checks import require_files
from keras_fvvae.tools.common.commands import Command
from keras_fvvae.tools.common.console import load_tensorflow_quietly
from keras_fvvae.tools.common.experiment import ExperimentSettings, experiment_options, finish_experiment
from keras_fvvae.tools.common.types import RECIPE
from keras_fvvae.tools.weights import weights_by_backbone

from keras_fvvae.recipes import Recipe
from keras_fvvae.runs.requirements import require_data

EXPERIMENTS = ("table2", "table3", "table4", "table5", "table6", "figure4a", "figure4b", "figure4c")
_WITH_RECIPE = ("table2", "figure4a", "figure4b", "figure4c")
_WITH_IDT = ("table4", "table5")


@click.command("reproduce", cls=Command, short_help="The paper's tables and figures on your data.")
@click.argument("experiment", type=click.Choice(EXPERIMENTS))
@click.option(
    "--recipe",
    "base",
    type=RECIPE,
    help="Entry or YAML file instead of the paper's data and backbone, for table2 and figures.",
)
@click.option("--idt", help="Scores of keras-fvvae idt for table4 (and table5), such as 'runs/idt{split}/scores.csv'.")
@click.option("--splits", default="1,2,3", show_default=True, help="Splits of UCF101 that table4 averages over.")
@experiment_options("runs/EXPERIMENT")
def command(experiment: str, base: str | None, idt: str | None, splits: str, **shared: Any) -> None:
    """Run everything that EXPERIMENT of the FV-VAE paper needs, and print it beside the paper's figures.

    Rows that cannot be run here (no weights, no flow, another method) are shown as not run, with the reason.
    Activations are shared between rows. Stopped, the same command continues.
    """
    if base is not None and experiment not in _WITH_RECIPE:
        raise click.UsageError(f"--recipe is for table2 and the figures; {experiment} has recipes of its own.")
    if idt is not None and experiment not in _WITH_IDT:
        raise click.UsageError(f"--idt is for table4 and table5; {experiment} has no such row.")
    numbers = _numbers(splits)
    settings = ExperimentSettings(**shared)
    if base is not None:
        settings.recipe(base)
    elif settings.data is None:
        raise click.UsageError(f"{experiment} needs --data: your copy of the paper's data set, whole or in part.")
    else:
        require_data(settings.data, settings.dataset)
        Recipe().replace(**settings.overrides())  # a wrong key or value is told before TensorFlow is imported
        weights_by_backbone(settings.backbone_weights)
    if idt is not None:
        require_files(*(idt.replace("{split}", str(number)) for number in numbers))
    load_tensorflow_quietly()
    from keras_fvvae.experiments.paper import reproduce

    out = settings.folder(experiment)
    runner = settings.experiment(out, dataset_options=settings.dataset_options)
    title, outcomes, pictures = reproduce(experiment, runner, base, numbers, idt, settings.overrides())
    finish_experiment(outcomes, out, title, pictures=pictures)


def _numbers(splits: str) -> list[int]:
    try:
        return [int(number) for number in splits.split(",")]
    except ValueError as error:
        raise click.UsageError(f"--splits must be numbers such as 1,2,3. Received: {splits!r}") from error
