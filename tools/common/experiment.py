"""What compare, reproduce and sweep share: their options, and how their results are written."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from keras_fvvae.tools.common import options
from keras_fvvae.tools.common.checks import output_folder
from keras_fvvae.tools.common.commands import Decorator, section
from keras_fvvae.tools.common.console import print_table, say
from keras_fvvae.tools.weights import weights_by_backbone

from keras_fvvae.backbones.own_names import require_backbone
from keras_fvvae.runs.requirements import require_recipe_data
from keras_fvvae.utils.command import called_command

if TYPE_CHECKING:
    from keras_fvvae.experiments.row import Outcome
    from keras_fvvae.experiments.rows import Experiment
    from keras_fvvae.recipes import Recipe


def experiment_options(out: str) -> Decorator:
    """The options of a command that trains many rows of a table.

    Args:
        out: the default of `--out`, in words.
    """
    return section(
        "Experiment",
        options.data_options(),
        options.backbone_option,
        options.tap_option,
        options.backbone_weights_option,
        options.backbone_options_option,
        options.input_size_option,
        options.settings_option,
        options.recipe_seed_option,
        options.cache_option,
        click.option("--out", type=click.Path(), help=f"Folder of the runs and results. Default: {out}."),
        click.option(
            "--runs", type=click.Path(), help="Folder of the runs; experiments can share it. Default: OUT/runs."
        ),
        click.option("--without-fine-tuning", is_flag=True, help="Leave out rows that need a fine-tuned backbone."),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentSettings:
    """What `experiment_options` gave."""

    data: str | None
    dataset: str | None
    dataset_options: dict[str, Any]
    common_classes: bool
    backbone: str | None
    tap: str | None
    backbone_options: dict[str, Any]
    input_size: int | None
    settings: dict[str, Any]
    seed: int | None
    backbone_weights: tuple[str, ...]
    cache: str | None
    out: str | None
    runs: str | None
    without_fine_tuning: bool

    def recipe(self, name: str) -> Recipe:
        """The recipe of the rows; raises `KerasFVVAEError` for one that cannot be, or whose data are not there."""
        recipe = options.chosen_recipe(name, self.overrides(), dataset_options=self.dataset_options)
        require_recipe_data(recipe, self.data)
        require_backbone(recipe.backbone)
        weights_by_backbone(self.backbone_weights)
        return recipe

    def overrides(self) -> dict[str, Any]:
        """The recipe keys that are given, whatever the recipe."""
        if self.tap == options.AUTO:
            raise click.UsageError("--tap auto is of `train`: compare taps by `sweep RECIPE tap=A,B`.")
        names = ("dataset", "seed", "backbone", "backbone_options", "input_size", "tap")
        return options.recipe_overrides(self.settings, **{name: getattr(self, name) for name in names})

    def folder(self, name: str) -> Path:
        """Where the results go: `--out`, or `runs/NAME`."""
        return output_folder(self.out, name)

    def experiment(self, out: Path, **further: Any) -> Experiment:
        """Imports TensorFlow.

        Args:
            out: folder of the results, below which the runs lie by default.
            **further: arguments of `Experiment`, such as `part`.
        """
        from keras_fvvae.experiments.rows import Experiment

        return Experiment(
            self.runs or out / "runs",
            self.data,
            weights_by_backbone(self.backbone_weights),
            self.common_classes,
            self.cache,
            not self.without_fine_tuning,
            say=say,
            **further,
        )


def finish_experiment(
    outcomes: list[Outcome],
    out: Path,
    title: str,
    notes: Sequence[str] = (),
    pictures: dict[str, Any] | None = None,
    winner: str | None = None,
) -> None:
    """Writes and prints the results of an experiment, and ends the command: with 1 if no row could be run.

    Args:
        outcomes: list of `Outcome`s.
        out: folder of the results.
        title: of the table.
        notes: sentences for the page, of which the first is about the winner where there is one.
        pictures: dictionary from a title to a matplotlib figure.
        winner: name of the row that a sweep chose.
    """
    from keras_fvvae.reporting.tables import table_rows, write_results

    page = write_results(outcomes, out, title, called_command(), notes, pictures, winner)
    print_table(table_rows(outcomes))
    if winner is not None:
        click.echo(notes[0])
    click.echo(f"Results: {page} (also results.csv and results.md)")
    sys.exit(0 if any(outcome.metrics for outcome in outcomes) else 1)
