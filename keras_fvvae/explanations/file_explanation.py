"""The parts of one class's score of an image or a video, over its frames and positions."""

from __future__ import annotations

import dataclasses

import numpy as np
from keras import ops

from keras_fvvae.backbones.tokens import has_places
from keras_fvvae.data.views import Views
from keras_fvvae.errors import RunError
from keras_fvvae.explanations.encoded_item import EncodedItem
from keras_fvvae.explanations.terms import can_explain
from keras_fvvae.models import Classifier, Encoder
from keras_fvvae.recipes import Recipe


@dataclasses.dataclass(eq=False)
class FileExplanation:
    """One class's score of an image or a video, and its parts.

    Attributes:
        label: the class.
        score: its decision value.
        bias: what no position contributes: the SVM's bias and, of a compressed representation, its constant part.
        maps: `(frames, H, W)`: contributions on a map of every resized frame, of an image one. They and the bias add up
            to the score.
        pictures: uint8 `(frames, height, width, 3)`: the resized frames.
        branches: what each of several branches contributes, in their order; they and the bias add up to the score.
    """

    label: str
    score: float
    bias: float
    maps: np.ndarray
    pictures: np.ndarray
    branches: list[float] = dataclasses.field(default_factory=list)

    @property
    def curve(self) -> np.ndarray:
        """Contributions of the frames."""
        return self.maps.sum(axis=(1, 2))


def require_explainable(encoder: Encoder, recipe: Recipe) -> None:
    """Refuses an encoder whose scores have no parts, or whose parts have no places.

    Args:
        encoder: an `Encoder`.
        recipe: of its training.

    Raises:
        RunError: for a representation whose score is not split, and for tokens without places.
    """
    if not all(map(can_explain, encoder.heads)):
        branches = recipe.branch_recipes.values() or [recipe]
        representations = ", ".join(repr(branch.representation) for branch in branches)
        raise RunError(f"The score of the representation {representations} cannot be split.")
    if not has_places(encoder.backbone):
        raise RunError(f"The descriptors of {recipe.backbone} are tokens without places: there is no heat map.")


def explain_frames(
    classifier: Classifier, frames: np.ndarray, views: Views, class_index: int | None = None
) -> FileExplanation:
    """The parts of a score of one image or video.

    Args:
        classifier: a `Classifier`.
        frames: resized frames `(n, *resize_to, channels)`, of an image one, values 0 to 255.
        views: `Views` of the training.
        class_index: integer. Default: the class of the largest score.

    Returns:
        A `FileExplanation`. Memory does not grow with the number of frames but for the pictures and maps.
    """
    return explain_item(classifier, EncodedItem(classifier.encoder, frames, views), class_index)


def explain_item(classifier: Classifier, item: EncodedItem, class_index: int | None = None) -> FileExplanation:
    """The parts of a score of an item that is encoded already: several classes are explained from one encoding.

    Args:
        classifier: a `Classifier`.
        item: of its encoder.
        class_index: integer. Default: the class of the largest score.
    """
    scores = ops.convert_to_numpy(classifier.svm(item.vector))[0]
    index = int(scores.argmax()) if class_index is None else class_index
    kernel, bias = classifier.svm.get_weights()
    maps, constant, branches = item.split(kernel[:, index])
    return FileExplanation(
        classifier.class_names[index],
        float(scores[index]),
        float(bias[index]) + constant,
        maps,
        item.pictures,
        branches,
    )
