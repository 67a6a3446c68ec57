"""The stages of one training, from models to the finished run."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_fvvae.builders.encoders import build_classifier
from keras_fvvae.builders.representations import representation_title
from keras_fvvae.builders.trainable import build_recipe_backbone
from keras_fvvae.data import Collection
from keras_fvvae.data.collection import UNLABELLED
from keras_fvvae.data.validation import validation_items
from keras_fvvae.errors import DataError, RecipeError
from keras_fvvae.recipes import Recipe
from keras_fvvae.runs import files
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.initial import InitialRun
from keras_fvvae.runs.origin import origin
from keras_fvvae.runs.results import RunResults
from keras_fvvae.training.calibration import calibration_record, plan_calibration
from keras_fvvae.training.classification import evaluate_svm, fit_svm
from keras_fvvae.training.fine_tune import fine_tune
from keras_fvvae.training.inputs.activations import ActivationInputs
from keras_fvvae.training.inputs.pixels import PixelInputs
from keras_fvvae.training.processes.interface import Processes
from keras_fvvae.training.protocol import protocol
from keras_fvvae.training.representation_training import RepresentationTraining
from keras_fvvae.training.usable import usable_items, write_reasons
from keras_fvvae.training.vectors import encode_averages, encode_vectors
from keras_fvvae.training.verdict import (
    compare,
    margins_of,
    nothing_encoded,
    overfitting,
    selection_note,
    warning,
)
from keras_fvvae.utils.memory import return_freed_memory
from keras_fvvae.utils.model_digests import weights_digest

# Average pooling of the same activations, to which every run compares its representation.
AVERAGES = "AVE"
# Of fewer, a single one is more than ten points: they would choose by chance.
MIN_VALIDATION_ITEMS = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What a training needs beside its recipe and its data.

    Attributes:
        backbone_weights, backbone, cache, max_unreadable, verbose, trained, checkpoint_seconds: as for
            `keras_fvvae.training.train.train`.
        start: run that the training starts from.
        tuned: run whose fine-tuned backbone is taken.
    """

    backbone_weights: str | os.PathLike | None
    backbone: keras.Model | None
    cache: Path
    max_unreadable: float
    start: InitialRun | None
    tuned: InitialRun | None
    trained: str | os.PathLike | None
    verbose: int
    checkpoint_seconds: float


class Training:
    """One training, a method a stage. What is expensive keeps its state on disk, so that a repeated call goes on there.

    Args:
        recipe: a `Recipe`.
        collection: a `Collection`, all that the data hold.
        run: the `RunFolder` to write.
        workers: who trains: `OneProcess`, or `Workers` of `keras_fvvae.training.processes.workers`.
        settings: `TrainingSettings`.

    Attributes:
        usable: the `Collection` of the items that are used, once `collect_inputs` was called.
        model: what the run keeps: the classifier, without labels the encoder.
    """

    def __init__(
        self,
        recipe: Recipe,
        collection: Collection,
        run: RunFolder,
        workers: Processes,
        settings: TrainingSettings,
    ):
        self.recipe = recipe
        self.collection = collection
        self.run = run
        self.workers = workers
        self.settings = settings
        # Made by the stages, in their order.
        self.usable: Collection
        self.model: keras.Model
        self._seconds: dict[str, float] = {}
        self._skipped: dict[int, str] = {}
        self._outcome: dict[str, Any] = {}  # of a validation part

    def complete(self) -> None:
        """All stages in order; workers other than the chief are done when the weights are."""
        keras.utils.set_random_seed(self.recipe.seed)
        self.build()
        self._backbone_digest = weights_digest(self._backbone)
        if self.recipe.fine_tune_steps and self.settings.backbone is None and self.settings.tuned is None:
            self.fine_tune()
        self.collect_inputs()
        self.fit()
        if not self.workers.is_chief:
            return
        self.encode()
        metrics: dict[str, dict] = {}
        scores: dict[str, np.ndarray] = {}
        if self.usable.class_names:
            self.classify()
            if len(self.usable.indices("test")):
                metrics, scores = self.evaluate()
        self.report(metrics, scores)

    def build(self) -> None:
        """Models, before anything is computed: settings that do not go together must not cost an hour first."""
        recipe, settings = self.recipe, self.settings
        self._frozen = settings.backbone is not None or recipe.trainable_from is None
        if settings.backbone is None:
            self._backbone = build_recipe_backbone(recipe, None if settings.start else settings.backbone_weights)
            if settings.start:
                settings.start.copy_backbone(self._backbone)
            if settings.tuned:
                settings.tuned.copy_backbone(self._backbone)
        else:
            self._backbone = settings.backbone
            self._backbone.trainable = False
        num_classes = len(self.collection.class_names) or None
        self._representation = RepresentationTraining(recipe, self._backbone, self._frozen, num_classes)
        if settings.start:
            self._representation.start_from(settings.start)
        if settings.trained is not None:
            donor = InitialRun(settings.trained)
            self._representation.take_over(donor)
            self._seconds["fit"] = donor.seconds_of_fit
        self.check_compression(recipe)

    def check_compression(self, recipe: Recipe) -> None:
        """Raises a `RecipeError` for more principal components than labelled training items could have."""
        train = self.collection.indices("train")
        labelled = int(np.count_nonzero(self.collection.labels[train] != UNLABELLED))
        if recipe.pca_components is not None and recipe.pca_components >= max(labelled, 1):
            raise RecipeError(
                f"`pca_components` {recipe.pca_components} must be below the number of labelled training "
                f"{self.collection.kind}s, {labelled}."
            )

    def fine_tune(self) -> None:
        """The backbone learns to classify single views."""
        verbose = self.settings.verbose
        skipped = PixelInputs(self.collection, self.recipe).prepare(verbose)
        readable = self._usable(skipped)
        losses = fine_tune(
            self._backbone,
            readable,
            self.recipe,
            self.run,
            verbose=verbose,
            workers=self.workers,
            checkpoint_seconds=self.settings.checkpoint_seconds,
        )
        self.run.write_json(files.FINE_TUNING_LOSSES, losses)

    def collect_inputs(self) -> None:
        """What is read in the following stages, and which items can be used."""
        inputs = self._activations() if self._frozen else PixelInputs(self.collection, self.recipe)
        self._skipped = inputs.prepare(self.settings.verbose)
        self.usable = self._usable(self._skipped)
        damage = {index: what for index, what in inputs.damage().items() if index not in self._skipped}
        kind, notes, workers = self.usable.kind, self.usable.notes, self.workers
        if damage:
            write_reasons(self.run, files.DAMAGED, self.collection, damage)
            notes.append(f"{len(damage)} damaged {kind}s are used as far as they decode; see {files.DAMAGED}.")
        if workers.replicas > 1:
            notes.append(f"Trained on {workers.replicas} devices of {workers.count} processes.")
        self._inputs = inputs.on(self.usable)
        return_freed_memory()

    def fit(self) -> None:
        """What the representation learns."""
        held_out = np.zeros(0, "int64")
        if self._representation.learns_by_steps:
            held_out, problem = self.validation_part()
            if problem:
                self.usable.notes.append(f"{problem} The weights after the last step are kept.")
        with self._timed("fit"):
            history = self._representation.run(
                self._inputs,
                self.usable.indices("train"),
                self.run,
                verbose=self.settings.verbose,
                workers=self.workers,
                held_out=held_out,
                checkpoint_seconds=self.settings.checkpoint_seconds,
            )
        if self.workers.is_chief:
            self.run.write_json(files.HISTORY, history)
            self._report_selection()

    def encode(self) -> None:
        """Vectors of all items, with Fisher statistics from the training part."""
        usable, train_count = self.usable, len(self.usable.indices("train"))
        with self.run.partial(files.VECTORS) as partial, self._timed("encode"):
            encode_vectors(self._representation.encoder, self._inputs, train_count, partial, self.settings.verbose)
        self.run.write_items(usable.names, usable.labels.tolist(), usable.splits.tolist())
        self.run.write_digests(usable)
        self.model = self._representation.whole_encoder()

    def classify(self) -> None:
        """The SVM on the vectors of the labelled training part, calibrated: the model becomes a classifier."""
        return_freed_memory()  # for the Gram matrix
        with self._timed("classify"):
            plan = plan_calibration(self.recipe.calibration, self.usable, self.recipe.seed)
            self._svm = fit_svm(self.recipe.svm_c, self._vectors(), self.usable, self.settings.verbose, plan)
            self.model = build_classifier(self.model, self.usable.class_names)
            self.model.set_svm(self._svm)
        self.run.write_json(files.CALIBRATION, calibration_record(plan, self._svm, self.usable))
        if plan.method is not None:
            self.run.write_held_out(self._svm.cv_decisions_, plan.fold_numbers())

    def evaluate(self) -> tuple[dict[str, dict], dict[str, np.ndarray]]:
        """Metrics and scores of the test part, by representation: average pooling, and the run's own."""
        averages = encode_averages(None if self._frozen else self._backbone, self._inputs)
        own = representation_title(self.recipe)
        with self._timed("classify"):
            average_svm = fit_svm(self.recipe.svm_c, averages, self.usable)
            evaluated = {AVERAGES: evaluate_svm(average_svm, averages, self.usable)}
            evaluated[own] = evaluate_svm(self._svm, self._vectors(), self.usable)
        metrics = {name: metrics for name, (metrics, _) in evaluated.items()}
        return metrics, {name: scores for name, (_, scores) in evaluated.items()}

    def report(self, metrics: dict[str, dict], scores: dict[str, np.ndarray]) -> None:
        """Writes results and model, and finishes the run."""
        self.run.write_json(files.SECONDS, {what: round(value, 2) for what, value in self._seconds.items()})
        self.run.write_json(files.ORIGIN, origin(self.collection, self._backbone_digest))
        results = RunResults(
            protocol=protocol(self.recipe, self.usable),
            representation=representation_title(self.recipe),
            metrics=metrics,
            skipped=len(self._skipped),
            notes=self.usable.notes,
            warning=self._warning(scores),
        )
        self.run.write_results(results, scores)
        with self.run.partial(files.MODEL) as partial:
            self.model.save(partial)
        self.run.finish()

    def validation_part(self) -> tuple[np.ndarray, str]:
        """The training items that choose; none where the recipe or the data have no such part, and why not."""
        share, none = self.recipe.validation, np.zeros(0, "int64")
        if share is None or not self.usable.class_names:
            return none, ""
        try:
            held_out = validation_items(self.usable, round(1 / share), self.recipe.seed)
        except DataError as error:
            return none, str(error)
        if len(held_out) >= MIN_VALIDATION_ITEMS:
            return held_out, ""
        return none, f"{len(held_out)} {self.usable.kind}s are too few for a validation part."

    def _report_selection(self) -> None:
        """Writes what a validation part chose, and says so."""
        selection = self._representation.selection
        if selection is not None:
            self._outcome = selection.outcome()
        elif self._representation.donor is not None:
            self._outcome = self._representation.donor.run.validation
        if self._outcome:
            self.run.write_json(files.VALIDATION, self._outcome)
            title, kind = representation_title(self.recipe), self.usable.kind
            self.usable.notes.append(selection_note(title, self._outcome, kind, self.recipe.refit))

    def _warning(self, scores):
        """Of the vectors; then of the test part, or of the validation part, which may be larger or all there is."""
        own, kind = representation_title(self.recipe), self.usable.kind
        said = nothing_encoded(own, self._vectors(), self.recipe)
        if scores and not said:
            labels = self.usable.labels[self.usable.indices("test")]
            margins = [margins_of(scores[name], labels) for name in (own, AVERAGES)]
            said = warning(own, compare(*margins), self.recipe, f"test {kind}s")
        if not said and self._outcome:
            said = warning(own, self._outcome, self.recipe, f"validation {kind}s")
            said = said or overfitting(own, self._outcome, self.recipe)
        return said

    def _activations(self) -> ActivationInputs:
        """Cached activations; of several workers each computes its part first."""
        recipe, backbone, cache, workers = self.recipe, self._backbone, self.settings.cache, self.workers
        is_given = self.settings.backbone is not None
        if workers.count > 1:
            # Of another machine's, in a common cache, the rest is found, otherwise computed by `prepare`.
            share = self.collection.subset(np.arange(workers.index, len(self.collection), workers.count))
            ActivationInputs(share, recipe, backbone, cache, is_given=is_given).prepare(self.settings.verbose)
            workers.barrier()
        return ActivationInputs(self.collection, recipe, backbone, cache, is_given=is_given)

    def _usable(self, skipped: dict[int, str]) -> Collection:
        write_reasons(self.run, files.SKIPPED, self.collection, skipped)
        return usable_items(self.collection, skipped, self.settings.max_unreadable, self.run.path / files.SKIPPED)

    def _vectors(self) -> np.ndarray:
        vectors = np.load(self.run.path / files.VECTORS, mmap_mode="r")
        return vectors.reshape(len(vectors), -1)

    @contextlib.contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._seconds[what] = self._seconds.get(what, 0.0) + time.perf_counter() - start
