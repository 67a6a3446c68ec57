"""`keras-fvvae sweep`"""

from __future__ import annotations

import itertools
from typing import Any

import click
from keras_fvvae.tools.common.commands import Command
from keras_fvvae.tools.common.console import load_tensorflow_quietly
from keras_fvvae.tools.common.experiment import ExperimentSettings, experiment_options, finish_experiment
from keras_fvvae.tools.common.options import recipe_argument

from keras_fvvae.backbones.own_names import require_backbone


@click.command("sweep", cls=Command, short_help="Choose settings on a validation part of the training split.")
@recipe_argument()
@click.argument("grid", nargs=-1, required=True, metavar="KEY=A,B,C...")
@click.option(
    "--folds", default=3, show_default=True, type=click.IntRange(2), help="The validation part is one of so many."
)
@experiment_options("runs/sweep_RECIPE")
def command(recipe: str, grid: tuple[str, ...], folds: int, **shared: Any) -> None:
    """Train RECIPE with every combination of the settings and print their accuracies on a validation part.

    The validation part is taken from the training split; test items are not used. The best settings come first, and
    the winner is named, with the number of others that cannot be told from it. For example:
    keras-fvvae sweep digits_conv lambda3=10,100,1000 latent_dim=15,31
    """
    from keras_fvvae.experiments.grid import parse_grid

    settings = ExperimentSettings(**shared)
    chosen, values = settings.recipe(recipe), parse_grid(grid)
    for combination in itertools.product(*values.values()):  # a mistake is told before TensorFlow is imported
        require_backbone(chosen.replace(**dict(zip(values, combination, strict=True))).backbone)
    load_tensorflow_quietly()
    from keras_fvvae.experiments.sweep import sweep_picture, sweep_rows, validation_collection, winner, winner_note
    from keras_fvvae.reporting.pictures import by_accuracy

    rows = sweep_rows(chosen, values)
    out = settings.folder(f"sweep_{chosen.name}")
    experiment = settings.experiment(out, part=lambda data: validation_collection(data, folds, chosen.seed))
    outcomes = experiment.run(rows)
    part, best = experiment.collection(rows[0].recipe), winner(outcomes)
    notes = [*filter(None, [winner_note(outcomes, part)]), *part.notes]
    pictures = {"Accuracy": sweep_picture(values, outcomes)} if any(o.metrics for o in outcomes) else {}
    title = f"Sweep of {chosen.name}"
    finish_experiment(by_accuracy(outcomes), out, title, notes, pictures, winner=best and best.name)
