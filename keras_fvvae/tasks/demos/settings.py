"""What the parts of the demo share: how they train, and how they export and check what was trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data import Collection
from keras_fvvae.export import export_saved_model
from keras_fvvae.models import Classifier
from keras_fvvae.recipes import Recipe, load_recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.tasks.verify import require_same_scores
from keras_fvvae.training.train import train


@dataclasses.dataclass(frozen=True)
class DemoSettings:
    """How the parts of the demo train.

    Attributes:
        steps: training steps instead of the recipes'.
        seed: instead of the recipes'. Same seed, same machine: same numbers.
        overwrite: whether to train anew; otherwise a finished part is not computed again.
        verbose: 1 for progress bars.
    """

    steps: int | None = None
    seed: int | None = None
    overwrite: bool = False
    verbose: int = 1

    def recipe(self, entry: str) -> Recipe:
        """The recipe of an entry with these steps and seed."""
        changes = {"steps": self.steps, "seed": self.seed}
        return load_recipe(entry, **{key: value for key, value in changes.items() if value is not None})

    def train(self, recipe: Recipe, collection: Collection, out: Path, **options: Any) -> RunFolder:
        """The finished run of a recipe in the folder `out`; further arguments are those of `train`."""
        run = train(recipe, collection, out, overwrite=self.overwrite, verbose=self.verbose, **options)
        assert run is not None  # only workers other than the chief get none
        return run


def export_and_check(classifier: Classifier, recipe: Recipe, out: Path, images: Collection) -> tuple[Path, float]:
    """Exports a classifier as a SavedModel, which must give the same scores in a fresh process without this library.

    Args:
        classifier: from `keras_fvvae.zoo.load_classifier`, of a run.
        recipe: of its training.
        out: parent of the version folders.
        images: that are classified by both.

    Returns:
        Tuple: the version folder, and the largest difference of scores.

    Raises:
        RunError: if the folder cannot be written, or the scores differ.
    """
    saved_model = export_saved_model(classifier, out, recipe_views(recipe))
    return saved_model, require_same_scores(saved_model, classifier, images)
