"""What a validation part says of an encoder in training: a cheap score, of few items and few descriptors of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from keras import ops, tree

from keras_fvvae.layers import FisherNormalization
from keras_fvvae.svm import OneVsRestSVM
from keras_fvvae.training.vectors import encode_averages, means_of_items
from keras_fvvae.training.verdict import margins_of
from keras_fvvae.utils.labels import UNLABELLED

if TYPE_CHECKING:
    from keras_fvvae.data.collection import Positions
    from keras_fvvae.models import FisherEncoder
    from keras_fvvae.training.inputs.activations import ActivationInputs
    from keras_fvvae.training.inputs.pixels import PixelInputs

# What is taken of an item: a score is to cost a few training steps, however long the videos.
MAX_VIEWS = 4
MAX_DESCRIPTORS = 50
# Of the vectors of both parts.
MAX_BYTES = 2**28
BATCH = 32


class Score(NamedTuple):
    """What the validation part says of one step.

    Attributes:
        accuracy: of a one-vs-all SVM.
        margin: mean of the right class's score less the best other one's, at most 1.
    """

    accuracy: float
    margin: float

    @classmethod
    def of(cls, margins: np.ndarray) -> Score:
        """The score of the margins of single items.

        Example:
            >>> Score.of(np.array([0.5, -0.25, 3.0, 0.75]))
            Score(accuracy=0.75, margin=0.5)
        """
        return cls(float(np.mean(margins > 0)), float(np.mean(np.minimum(margins, 1.0))))


class ValidationPart:
    """Items that a training learns from, and items that it does not, on which its encoder is scored.

    Args:
        encoder: the `FisherEncoder` of the model that is trained, sharing its layers.
        inputs: `PixelInputs` or `ActivationInputs`.
        learnt: positions of the items that are learnt from.
        held_out: positions of the validation part.
        C: of the SVM.
        max_items: how many items of both together are used at most: up to half of them held out.

    Attributes:
        num_learnt, num_held_out: how many items there are of each.
        known, held_out: positions of those that are used, in equal shares of the classes that both have.
    """

    def __init__(
        self,
        encoder: FisherEncoder,
        inputs: PixelInputs | ActivationInputs,
        learnt: Positions,
        held_out: Positions,
        C: float,
        max_items: int,
    ):
        self.encoder = encoder
        self.inputs = inputs
        self.C = C
        labels = inputs.collection.labels
        max_items = max(4, min(max_items, MAX_BYTES // (4 * encoder.head.output_dim)))
        self.num_learnt, self.num_held_out = len(learnt), len(held_out)
        common = _of_classes(held_out, labels, learnt)
        self.known = balanced(
            _of_classes(learnt, labels, held_out), labels, max_items - min(len(common), max_items // 2)
        )
        # Of more classes than items: a class that the SVM does not know can be told of nobody.
        self.held_out = balanced(_of_classes(common, labels, self.known), labels, max_items - len(self.known))
        self._descriptors: list[tuple[Any, np.ndarray]] = []

    def margins(self) -> np.ndarray:
        """Of the held-out items, `(held_out,)`, with the encoder as it is now: positive where it is right."""
        raw, known = self._raw_vectors(), len(self.known)
        if isinstance(self.encoder.normalization, FisherNormalization):
            self.encoder.normalization.adapt(raw[:known])
        vectors = [self.encoder.normalize_on_batch(part, compress=False) for part in _batches(raw)]
        return self._margins(np.concatenate(vectors).reshape(len(raw), -1))

    def average_margins(self) -> np.ndarray:
        """Those of average pooling (AVE) of the same activations."""
        chosen = [*self.known, *self.held_out]
        inputs = self.inputs.on(self.inputs.collection.subset(chosen))
        return self._margins(encode_averages(self.encoder.backbone, inputs))

    def _margins(self, vectors):
        """Of an SVM on the known items' vectors, the first rows."""
        labels = self.inputs.collection.labels
        known, wanted, count = labels[self.known], labels[self.held_out], len(self.known)
        classes = np.unique(known)
        kernel, bias = OneVsRestSVM(self.C).fit(vectors[:count], known).dense_weights(int(classes.max()) + 1)
        scores = (vectors[count:] @ kernel + bias)[:, classes]
        return margins_of(scores, np.searchsorted(classes, wanted))

    def _raw_vectors(self):
        rows = []
        for descriptors, counts in self._read():
            raw = np.concatenate([ops.convert_to_numpy(self.encoder.head(part)) for part in _batches(descriptors)])
            rows.append(means_of_items(raw, counts))
        return np.concatenate(rows).astype("float32")

    def _read(self) -> Iterator[tuple[Any, np.ndarray]]:
        """Descriptors of some items and how many views are whose; those of a frozen backbone are remembered."""
        if self._descriptors:
            yield from self._descriptors
            return
        for views, counts in self.inputs.batches([*self.known, *self.held_out]):
            kept = [spaced(count, MAX_VIEWS) for count in counts]
            first = np.cumsum(counts) - counts
            chosen = views[np.concatenate([start + which for start, which in zip(first, kept, strict=True)])]
            parts = [tree.map_structure(_few, self.encoder.compute_descriptors(part)) for part in _batches(chosen)]
            whole = tree.map_structure(lambda *each: np.concatenate(each), *parts)
            items = whole, np.array([len(which) for which in kept])
            if self.encoder.backbone is None:
                self._descriptors.append(items)
            yield items


def _of_classes(positions, labels, others):
    """The positions whose class others have too."""
    positions = np.asarray(positions)
    return positions[np.isin(labels[positions], labels[np.asarray(others)])]


def balanced(positions: Positions, labels: np.ndarray, limit: int) -> np.ndarray:
    """At most so many labelled positions: of every class the first, then of every class the second, ...; sorted.

    Example:
        >>> balanced([0, 1, 2, 3, 4], np.array([0, 0, 0, 1, 1]), limit=3).tolist()
        [0, 1, 3]
    """
    chosen = np.asarray(positions)
    chosen = chosen[labels[chosen] != UNLABELLED]
    seen: dict[int, int] = {}
    ranks = []
    for label in labels[chosen].tolist():
        ranks.append(seen.get(label, 0))
        seen[label] = ranks[-1] + 1
    return np.sort(chosen[np.argsort(ranks, kind="stable")[:limit]])


def spaced(count: int, limit: int) -> np.ndarray:
    """At most so many of the integers below `count`, evenly spaced.

    Example:
        >>> spaced(10, 3).tolist(), spaced(2, 3).tolist()
        ([1, 5, 8], [0, 1])
    """
    number = min(int(count), limit)
    return ((np.arange(number) + 0.5) * count / number).astype(int)


def _few(descriptors):
    """Of `(batch, T, C)` some descriptors; anything else whole."""
    values = ops.convert_to_numpy(descriptors)
    return values[:, spaced(values.shape[1], MAX_DESCRIPTORS)] if values.ndim == 3 else values


def _batches(values):
    """Parts of the first axis of an array, or of each of several."""
    for start in range(0, len(tree.flatten(values)[0]), BATCH):
        yield tree.map_structure(lambda array, start=start: array[start : start + BATCH], values)
