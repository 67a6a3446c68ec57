"""Rows of a table of results are run: each is a training, or a fusion of others; what cannot be run says why."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_fvvae.builders.representations import representation_title
from keras_fvvae.builders.trainable import build_recipe_backbone
from keras_fvvae.data.collection import Collection
from keras_fvvae.errors import KerasFVVAEError
from keras_fvvae.experiments.row import Outcome, Row
from keras_fvvae.recipes import Recipe
from keras_fvvae.recipes.registry import REPRESENTATIONS, SOFTMAX_TRAINING
from keras_fvvae.runs.datasets import recipe_collection
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.tasks.scores.fuse import fuse
from keras_fvvae.training.inputs.taps import TappedInputs
from keras_fvvae.training.train import train
from keras_fvvae.utils.cache import activations_folder


class Experiment:
    """Runs rows on one data set, sharing activations, fine-tuned backbones and trained FV-VAEs between them.

    A row that fails does not stop the others. Repeated, or continued after an interruption, it takes finished runs as
    they are. A run's folder is named after its settings, so that experiments with rows in common share them.

    Args:
        out: folder of the runs.
        data: folder or list of the data; `None` for embedded data sets.
        backbone_weights: `"imagenet"`, `None` (random), a path, or a dictionary of these by backbone.
        common_classes: see `recipe_collection`.
        cache: folder of the cached activations.
        fine_tuning: whether rows are run that need a fine-tuned backbone.
        verbose: 1 for progress bars.
        say: called with a line of text at every row.
        part: function from the data's collection to the one that is used, such as `validation_collection`; its runs
            have names of their own, so that a comparison and a sweep can share a folder. Default: all is used.
        dataset_options: arguments of the data set's loader that all rows take, before those of their recipes.
    """

    def __init__(
        self,
        out: str | Path,
        data: str | Path | None = None,
        backbone_weights: str | Path | dict[str, str | Path | None] | None = "imagenet",
        common_classes: bool = False,
        cache: str | Path | None = None,
        fine_tuning: bool = True,
        verbose: int = 1,
        say: Callable[[str], None] = lambda text: None,
        part: Callable[[Collection], Collection] | None = None,
        dataset_options: dict[str, Any] | None = None,
    ) -> None:
        self.out = Path(out)
        self.data = data
        self.backbone_weights = backbone_weights
        self.common_classes = common_classes
        self.cache = cache
        self.fine_tuning = fine_tuning
        self.verbose = verbose
        self.say = say
        self.part = part
        self.dataset_options = dataset_options or {}
        self._collections: dict[str, Collection] = {}
        self._tuned: dict[str, Path] = {}
        self._fvvaes: dict[str, Path] = {}

    def run(self, rows: list[Row]) -> list[Outcome]:
        """Runs rows in order; returns a list of `Outcome`s."""
        done: dict[str, Outcome] = {}
        for number, row in enumerate(map(self._with_dataset_options, rows), start=1):
            self.say(f"[{number}/{len(rows)}] {row.name}")
            done[row.name] = outcome = self._outcome(row, done)
            if outcome.reason:
                self.say(f"    not run: {outcome.reason}")
            else:
                self.say(f"    accuracy {100 * outcome.metrics['accuracy']:.1f} %")
        return list(done.values())

    def collection(self, recipe: Recipe) -> Collection:
        """The collection of a recipe; the same object for the same settings."""
        key = _key(recipe, "input")  # stored flow is checked against the recipe's settings of flow
        if key not in self._collections:
            collection = recipe_collection(recipe, self.data, self.common_classes)
            self._collections[key] = collection if self.part is None else self.part(collection)
        return self._collections[key]

    def prepare_taps(self, recipe: Recipe, taps: Sequence[str | None]) -> None:
        """Computes the activations of a recipe's frozen backbone at several taps, from one pass.

        Its `precision` is known, see `with_known_precision`: that of the trainings which are to find them.
        """
        if len(taps) < 2:
            return
        branches = recipe.without_card().replace(tap=None, branches=[{"tap": tap} for tap in taps])
        keras.utils.set_random_seed(recipe.seed)  # random weights are those that the trainings draw
        backbone = build_recipe_backbone(branches, self._weights(recipe.backbone))
        recipes = list(branches.branch_recipes.values())
        inputs = TappedInputs(self.collection(recipe), recipes, backbone, activations_folder(self.cache))
        inputs.prepare(self.verbose)

    def _with_dataset_options(self, row):
        if row.recipe is None or not self.dataset_options:
            return row
        options = {**row.recipe.dataset_options, **self.dataset_options}
        return dataclasses.replace(row, recipe=row.recipe.replace(dataset_options=options))

    def _outcome(self, row, done):
        if row.reason:
            return Outcome(row.name, row.paper, reason=row.reason)
        try:
            if row.scores:
                return self._scored(row, done)
            return self._fused(row, done) if row.fuse else self._trained(row)
        except (KerasFVVAEError, ValueError, MemoryError) as error:
            reason = str(error) or "out of memory"
        except Exception as error:
            if not type(error).__module__.startswith("tensorflow"):
                raise  # a defect of this library
            reason = f"TensorFlow: {str(error).splitlines()[0]}"
        return Outcome(row.name, row.paper, settings=_settings(row.recipe), reason=reason)

    def _trained(self, row):
        if row.recipe.fine_tune_steps and not self.fine_tuning:
            return Outcome(row.name, row.paper, settings=_settings(row.recipe), reason="fine-tuning was left out")
        recipe = row.recipe.without_card()
        recipe = recipe.replace(name=run_name(recipe) + ("" if self.part is None else "-part"))
        weights = self._weights(recipe.backbone)
        tuned_key, trained_key = _backbone_key(recipe), _fvvae_key(recipe)
        run = train(
            recipe,
            self.collection(recipe),
            self.out / recipe.name,
            backbone_weights=weights,
            cache=self.cache,
            verbose=self.verbose,
            tuned=self._tuned.get(tuned_key),
            trained=self._fvvaes.get(trained_key),
        )
        if tuned_key is not None:
            self._tuned.setdefault(tuned_key, run.path)
        if trained_key is not None:
            self._fvvaes.setdefault(trained_key, run.path)
        return outcome_of(row, run)

    def _weights(self, backbone):
        if isinstance(self.backbone_weights, dict):
            return self.backbone_weights.get(backbone, self.backbone_weights.get(None, "imagenet"))
        return self.backbone_weights

    def _scored(self, row, done):
        """Another method's scores; labels and the order of classes are those of a run on the same data."""
        run = next((outcome.run for outcome in done.values() if outcome.run), None)
        if run is None:
            return Outcome(row.name, row.paper, reason="it needs a run on the same data, for the labels")
        result = fuse([run], scores=[row.scores], resamples=0)
        protocol = f"{row.name} from {row.scores}, {result['items']} test items"
        return Outcome(
            row.name,
            row.paper,
            result["streams"][str(row.scores)],
            settings=str(row.scores),
            scores=row.scores,
            protocol=protocol,
        )

    def _fused(self, row, done):
        parts = [done.get(name) for name in row.fuse]
        lacking = [n for n, part in zip(row.fuse, parts, strict=True) if part is None or not (part.run or part.scores)]
        if lacking:
            return Outcome(row.name, row.paper, reason=f"it needs {', '.join(lacking)}")
        runs, scores = [part.run for part in parts if part.run], [part.scores for part in parts if part.scores]
        result = fuse(runs, scores=scores, resamples=0)
        protocol = f"late fusion of {' and '.join(row.fuse)}, equal weights, {result['items']} test items"
        return Outcome(row.name, row.paper, result["fusion"], settings="equal weights", protocol=protocol)


def outcome_of(row: Row, run: RunFolder) -> Outcome:
    """The `Outcome` of a row whose run is finished.

    Raises:
        KerasFVVAEError: for a run without test items.
    """
    results = run.results
    if results.own is None:
        raise KerasFVVAEError("nothing was held out for testing")
    items = len(run.vectors().names)
    return Outcome(
        row.name,
        row.paper,
        results.own,
        _settings(row.recipe),
        run.seconds,
        items,
        run.path,
        protocol=results.protocol,
    )


def run_name(recipe: Recipe) -> str:
    """Name of a run's folder: its representation, and a digest of all of its settings.

    Example:
        >>> run_name(Recipe(lambda3=0.0))[:13], run_name(Recipe()) == run_name(Recipe(seed=1))
        ('fv-vae_minus-', False)
    """
    title = re.sub(r"[^a-z0-9+.-]+", "_", representation_title(recipe).lower()).strip("_")
    settings = json.dumps(dataclasses.asdict(recipe), sort_keys=True)
    return f"{title}-{hashlib.sha256(settings.encode()).hexdigest()[:10]}"


def _key(recipe, stage):
    """What decides a stage of the work and those before it, as text."""
    return json.dumps(recipe.settings_until(stage))


def _backbone_key(recipe):
    """What determines a fine-tuned backbone, which is then frozen; `None` where a row has none to share."""
    return _key(recipe, "backbone") if recipe.fine_tune_steps and recipe.trainable_from is None else None


def _fvvae_key(recipe):
    """What determines an FV-VAE trained on a frozen backbone; `None` for any other training."""
    if not recipe.of_fv_vae or recipe.trainable_from is not None or recipe.branches:
        return None
    # Which step is kept, where a validation part says that, depends on the vectors and on their SVM.
    return _key(recipe, "training" if recipe.validation is None else "svm")


def _settings(recipe):
    """What determines a recipe's representation, in words."""
    if recipe is None:
        return ""
    if recipe.branches:
        return ", ".join(recipe.branch_recipes)
    parts = [f"{key} {value}" for key, value in recipe.representation_options.items()]
    if recipe.of_fv_vae:
        parts = [f"{recipe.latent_dim} latent", f"lambda3 {recipe.lambda3:g}", f"{recipe.steps} steps", *parts]
        parts += [f"decoder {recipe.decoder_units} ({recipe.decoder_layers})"] if recipe.decoder_units else []
        parts += ["attention"] if recipe.attention else []
    elif REPRESENTATIONS[recipe.representation].training == SOFTMAX_TRAINING:
        parts += [f"softmax, {sum(stage.steps for stage in recipe.softmax_stages)} steps"]
    parts += [f"PCA {recipe.pca_components}"] if recipe.pca_components else []
    return ", ".join(parts)
