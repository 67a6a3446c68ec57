"""The pictures of a run's test items: how well they are classified, which are wrong and why, what lies near them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data import Collection
from keras_fvvae.data.collection import SPLITS, UNLABELLED
from keras_fvvae.data.pipeline import view_batches
from keras_fvvae.data.readers.flow import ZERO
from keras_fvvae.evaluation.calibration_error import reliability
from keras_fvvae.reporting import class_figures, figures
from keras_fvvae.reporting.names import shown
from keras_fvvae.reporting.reliability import reliability_diagram
from keras_fvvae.reporting.worst_errors import explained_errors
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training.vectors import row_parts
from keras_fvvae.utils.text import normal_name

# Gives a matplotlib figure and its caption.
Drawing = Callable[[], tuple[Any, str]]
EXAMPLES = 32
# Characters of a class name that fit above an example image.
TITLE_WIDTH = 17
# Frames of an example video that are decoded, of which the middle one is shown: it may be damaged itself.
SHOWN_FRAMES = 3
# Test items whose nearest training items are shown, and how many of these.
QUERIES = 5
NEIGHBOURS = 6


class TestedItems:
    """A run's test items with their scores.

    Args:
        run: a finished run with test items.
        collection: the `Collection` that it was trained on.
    """

    __test__ = False  # for pytest, which takes the name for that of tests

    def __init__(self, run: RunFolder, collection: Collection) -> None:
        self.run, self.collection = run, collection
        self.kind, self.classes = collection.kind, run.class_names
        self.items, self.result = run.vectors(), run.results.own
        self.position = {normal_name(str(name)): index for index, name in enumerate(collection.names)}
        self.tested, self.scores = self.items.test.ids, self.items.test.values
        self.labels = collection.labels[[self.position[name] for name in self.tested]]
        self.predicted = self.scores.argmax(axis=1)
        self.correct = self.predicted == self.labels
        self.short = [shown(name, TITLE_WIDTH) for name in self.classes]

    def drawings(self) -> dict[str, Drawing]:
        """By title what draws a picture and gives its caption, in the order in which they are read."""
        zoomed = len(self.classes) > class_figures.NAMED_CLASSES
        wrong = not self.correct.all()
        return {
            "Class accuracy": self._class_accuracies,
            "Confusion matrix": self._confusion,
            **({"Most confused classes": self._most_confused} if zoomed and wrong else {}),
            **({"Worst errors": self._worst_errors} if wrong else {}),
            "Examples": self._examples,
            "Retrieval": self._retrieval,
            "Embedding": self._embedding,
            **({"Reliability": self._reliability} if self.items.calibration is not None else {}),
        }

    def _class_accuracies(self):
        return (
            class_figures.class_accuracies(self.result, self.classes),
            f"Of the test {self.kind}s, whose number stands behind the class; lines: Wilson's 95 % intervals. The axis "
            f"holds what is drawn, not all from 0 to 100 %.",
        )

    def _confusion(self):
        return (
            class_figures.confusion(self.result, self.classes),
            f"Counts on the test {self.kind}s; shade: share of the row. Classes that are confused with each other are "
            f"neighbours.",
        )

    def _most_confused(self):
        return (
            class_figures.most_confused(self.result, self.classes),
            f"The part of the matrix above with the classes of most errors: counts on the test {self.kind}s.",
        )

    def _worst_errors(self):
        wrong = _by_confidence(self.scores, np.flatnonzero(~self.correct))
        positions = [self.position[self.tested[index]] for index in wrong]
        return explained_errors(self.run, self.collection, positions, self.predicted[wrong])

    def _reliability(self):
        calibration = self.items.calibration
        errors = reliability(calibration.probabilities(self.scores), self.scores, self.correct)
        return (
            reliability_diagram(errors, calibration.method),
            f"Test {self.kind}s in bins of equal size, by the probability of their answer; bars: Wilson's 95 % "
            f"intervals; dashed: right as often as sure. Even a perfect calibration has an error of so few, by chance.",
        )

    def _embedding(self):
        vectors = self.items.values[self.items.first_test_row :]
        how = "The two principal components" if figures.is_projected(len(vectors)) else "t-SNE"
        return (
            figures.embedding(vectors, self.labels, self.correct, self.classes, self.run.recipe.seed),
            f"{how} of the test {self.kind}s' vectors, by true class; crosses are classified wrongly.",
        )

    def _examples(self):
        correct, short = self.correct, self.short
        chosen = _examples(self.scores, correct)
        images = _middle_views(self.run, self.collection, [self.position[self.tested[i]] for i in chosen])
        wrong = ["" if correct[i] else f"\n(is {short[self.labels[i]]})" for i in chosen]
        titles = [short[self.predicted[i]] + text for i, text in zip(chosen, wrong, strict=True)]
        errors = int((~correct[chosen]).sum())
        first = f": the {errors} most confident errors first" if errors else "; none is wrong"
        caption = f"Test {self.kind}s with the predicted class{first}."
        if recipe_views(self.run.recipe).is_flow:
            caption += (
                " Optical flow: red is motion to the right, green downwards, blue its magnitude; contrast stretched."
            )
        return figures.examples(images, titles, correct[chosen]), caption

    def _retrieval(self):
        """Some test items, each followed by its nearest training items."""
        collection, names, vectors = self.collection, self.items.names, self.items.values
        labels = collection.labels[[self.position[name] for name in names]]
        splits = collection.splits[[self.position[name] for name in names]]
        trained, tested = (np.flatnonzero((splits == split) & (labels != UNLABELLED)) for split in SPLITS)
        queries = tested[np.linspace(0, len(tested) - 1, min(QUERIES, len(tested))).astype(int)]
        wanted = np.array(vectors[queries])
        cosines = np.concatenate([part @ wanted.T for part in row_parts(vectors, trained)])  # of unit length
        nearest = trained[np.argsort(-cosines, axis=0)[:NEIGHBOURS]].T  # (queries, neighbours)
        grid = np.concatenate([queries[:, None], nearest], axis=1)
        images = _middle_views(self.run, collection, [self.position[names[i]] for i in grid.ravel()])
        right = (labels[grid] == labels[queries][:, None]).ravel()
        titles = [self.short[labels[i]] for i in grid.ravel()]
        share = np.mean(labels[nearest] == labels[queries][:, None])
        caption = (
            f"Test {collection.kind}s (first column), each with the training {collection.kind}s of the nearest "
            f"vectors; {share:.0%} of these are of the same class."
        )
        return figures.examples(images, titles, right, columns=grid.shape[1]), caption


def _middle_views(run, collection, indices):
    """Of a video the middle frame, of an image its centre, whatever the network saw."""
    views = recipe_views(run.recipe)
    modality = "flow" if views.is_flow else "rgb"
    views = dataclasses.replace(views, crops="center", modality=modality, frames=SHOWN_FRAMES, frame_step=None)
    images = [_middle(batch["views"].numpy(), views.size) for batch in view_batches(collection, indices, views)]
    return _stretched(images) if views.is_flow else images


def _stretched(flows):
    """Flow images with the largest motion of all at full contrast: most are far below the bound."""
    largest = max(np.abs(flow - ZERO).max() for flow in flows)
    return [ZERO + (flow - ZERO) * ((255 - ZERO) / max(largest, 1)) for flow in flows]


def _middle(frames, size):
    """The middle one of an item's frames; white where the file was removed since."""
    return frames[len(frames) // 2] if len(frames) else np.full((*size, 3), 255.0)


def _by_confidence(scores, rows):
    """Rows of scores, the one first whose best class is farthest from the second."""
    ordered = np.sort(scores[rows], axis=1)
    return rows[np.argsort(ordered[:, -2] - ordered[:, -1], kind="stable")]


def _examples(scores, correct):
    """Positions of examples: up to half are errors, by confidence; the rest is spread evenly over the right ones."""
    wrong = _by_confidence(scores, np.flatnonzero(~correct))[: EXAMPLES // 2]
    right = np.flatnonzero(correct)
    count = min(EXAMPLES - len(wrong), len(right))
    spread = right[np.linspace(0, len(right) - 1, count).astype(int)] if count else right[:0]
    return np.concatenate([wrong, spread])
