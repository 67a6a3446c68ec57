"""The training of a recipe with branches: each is a run of its own, and one SVM is trained on all their vectors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_fvvae.backbones.several_taps import up_to_tap
from keras_fvvae.builders.representations import JOINED, representation_title
from keras_fvvae.builders.trainable import build_recipe_backbone
from keras_fvvae.errors import DataError, RecipeError, RunError
from keras_fvvae.evaluation.fusion import best_weights, weightings
from keras_fvvae.models import FisherEncoder, JoinedEncoder
from keras_fvvae.runs import files
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.svm.kernels import kernel_matrix, kernel_scores
from keras_fvvae.training.classification import evaluate_svm
from keras_fvvae.training.inputs.taps import TappedInputs
from keras_fvvae.training.processes.interface import Processes
from keras_fvvae.training.representation_training import RepresentationTraining
from keras_fvvae.training.stages import AVERAGES, Training
from keras_fvvae.training.vectors import row_slices
from keras_fvvae.training.verdict import overfitting, selection_note
from keras_fvvae.utils.labels import UNLABELLED
from keras_fvvae.utils.memory import release_pages

# Every weighting is an SVM on the part that is learnt from, so few are tried.
MAX_WEIGHTINGS = 21


def require_joinable(workers: Processes, **given: Any) -> None:
    """Refuses what a training of branches cannot do.

    Args:
        workers: who trains.
        **given: arguments of `keras_fvvae.training.train.train` that go with one representation only.

    Raises:
        RunError: naming it.
    """
    for name, value in given.items():
        if value is not None:
            raise RunError(f"`{name}` and a recipe with `branches` do not go together: leave one of them out.")
    if workers.count > 1:
        raise RunError("A recipe with `branches` is trained by one process: leave out --strategy multiworker.")


class JoinedTraining(Training):
    """The training of a recipe with branches.

    The maps of all taps come from one pass of the backbone. Every branch is then trained as its recipe alone would be,
    in `branches/NAME`, a finished run that stays; their vectors are joined, see `JoinedEncoder`, and one SVM is fitted.

    Args:
        recipe, collection, run, workers, settings: as of `Training`.
    """

    def build(self) -> None:
        """The backbone, and every branch once: settings that do not go together must not cost an hour first."""
        self._frozen = True
        self._recipes = self.recipe.branch_recipes
        self._backbone = build_recipe_backbone(self.recipe, self.settings.backbone_weights)
        num_classes = len(self.collection.class_names) or None
        for number, (name, recipe) in enumerate(self._recipes.items()):
            try:
                RepresentationTraining(recipe, up_to_tap(self._backbone, number), True, num_classes)
                self.check_compression(recipe)
            except (RecipeError, DataError) as error:
                raise type(error)(f"Branch {name!r}: {error}") from error

    def fit(self) -> None:
        """The branches, one after the other; one that is finished is taken as it is."""
        source = self.run.read_json(files.LABELS)["data"]["backbone_weights"]
        self._runs: dict[str, RunFolder] = {}
        for number, (name, recipe) in enumerate(self._recipes.items(), start=1):
            if self.settings.verbose:
                print(f"Branch {number} of {len(self._recipes)}: {name}", file=sys.stderr, flush=True)
            run = RunFolder.create(self.run.path / files.BRANCHES / name, recipe, self.usable, source)
            if not run.is_finished():
                with self._timed("fit"):
                    Training(recipe, self.usable, run, self.workers, self.settings).complete()
            self._runs[name] = run
        for name, run in self._runs.items():
            if run.validation:
                title = representation_title(run.recipe)
                said = selection_note(title, run.validation, self.usable.kind, run.recipe.refit)
                overfits = overfitting(title, run.validation, run.recipe)
                self.usable.notes.append(f"Branch {name}: {said} {overfits}".rstrip())
        self.run.write_json(files.HISTORY, {})

    def encode(self) -> None:
        """Joined vectors of all items, and the encoder that makes them."""
        usable = self.usable
        with self._timed("encode"):
            vectors = [run.vectors().values for run in self._runs.values()]
            self.model = self._encoder(self.choose_weights(vectors))
            with self.run.partial(files.VECTORS) as partial, open(partial, "wb") as file:
                shape = (len(usable), sum(one.shape[1] for one in vectors))
                np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
                for rows in row_slices(len(usable), sum(one[:1].nbytes for one in vectors)):
                    parts = [np.array(one[rows]) for one in vectors]
                    file.write(np.ascontiguousarray(self.model.join(parts), "<f4").data)
                    for one in vectors:
                        release_pages(one)
        self.run.write_items(usable.names, usable.labels.tolist(), usable.splits.tolist())
        self.run.write_digests(usable)

    def evaluate(self) -> tuple[dict[str, dict], dict[str, np.ndarray]]:
        """Metrics and scores of the test part: average pooling at the last tap, every branch, and all joined."""
        results = {name: (run.results, run.scores()) for name, run in self._runs.items()}
        # At the network's end, where a linear probe has it; without such a branch at the tap that is listed last.
        last = next((name for name, recipe in self._recipes.items() if recipe.tap is None), list(results)[-1])
        rows = {AVERAGES: (last, AVERAGES), **{name: (name, one.representation) for name, (one, _) in results.items()}}
        metrics = {row: results[name][0].metrics[title] for row, (name, title) in rows.items()}
        scores = {row: results[name][1][title] for row, (name, title) in rows.items()}
        with self._timed("classify"):
            metrics[JOINED], scores[JOINED] = evaluate_svm(self._svm, self._vectors(), self.usable)
        return metrics, scores

    def _activations(self) -> Any:
        """Cached activations at all taps."""
        return TappedInputs(self.collection, list(self._recipes.values()), self._backbone, self.settings.cache)

    def _encoder(self, weights: Sequence[float] | None) -> JoinedEncoder:
        """The joined encoder of the finished branches."""
        branches = []
        for run in self._runs.values():
            one = run.encoder()
            branches.append(FisherEncoder(one.descriptors, one.head, one.normalization, compression=one.compression))
        encoder = JoinedEncoder(branches, self._backbone, weights)
        encoder.build((None, *self._backbone.input.shape[1:]))
        return encoder

    def choose_weights(self, vectors: Sequence[np.ndarray]) -> Sequence[float] | None:
        """The recipe's weights, or those with which the validation part is classified best; `None`: equal ones."""
        given = self.recipe.branch_weights
        if not isinstance(given, str):  # the only text is "validation"
            return given
        held_out, problem = self.validation_part()
        if not len(held_out):
            self.usable.notes.append(f"{problem} The branches have equal weights.".lstrip())
            return None
        train, labels = self.usable.indices("train"), self.usable.labels
        learnt = np.setdiff1d(train[labels[train] != UNLABELLED], held_out)
        grams = [(kernel_matrix(one, learnt), kernel_matrix(one, held_out, learnt)) for one in vectors]

        def accuracy(weights):
            gram, cross = (np.tensordot(weights, [pair[part] for pair in grams], axes=1) for part in (0, 1))
            count, C = len(self.usable.class_names), self.recipe.svm_c
            scores = kernel_scores(gram, labels[learnt], cross, count, C)
            return float(np.mean(scores.argmax(axis=1) == labels[held_out]))

        chosen, value = best_weights(accuracy, weightings(len(vectors), MAX_WEIGHTINGS))
        equal = accuracy(np.full(len(vectors), 1 / len(vectors)))
        self.usable.notes.append(
            f"The weights of the branches, {', '.join(f'{weight:.2f}' for weight in chosen)}, were chosen on the "
            f"validation part ({len(held_out)} {self.usable.kind}s: {100 * value:.1f} % are right, with equal ones "
            f"{100 * equal:.1f} %)."
        )
        return chosen
