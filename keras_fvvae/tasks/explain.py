"""Pictures of where a model's scores come from: heat maps on images, curves over videos."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from keras_fvvae.backbones.tokens import has_places
from keras_fvvae.builders.encoders import load_model
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data.collection import UNLABELLED, Collection
from keras_fvvae.data.views import Views, read_resized
from keras_fvvae.errors import DataError, RunError, unknown_name
from keras_fvvae.explanations import can_explain
from keras_fvvae.models import Classifier, Encoder
from keras_fvvae.recipes import Recipe
from keras_fvvae.reporting import explanation_figures
from keras_fvvae.tasks.encoded_item import EncodedItem
from keras_fvvae.tasks.pictures import make_folder, unused_name, write_figure
from keras_fvvae.utils.files import reason
from keras_fvvae.zoo.sources import TrainedFile, open_reading


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


def explain(
    source: str | os.PathLike | TrainedFile,
    files: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    class_name: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Draws where the scores of files come from, see `keras_fvvae.explanations.descriptor_contributions`.

    For every file `out/NAME.png` and `.svg`, a heat map over the image or the curve over a video's frames with its key
    frames, and `.json` with the numbers.

    Args:
        source: a finished run, a pack or an entry with trained weights, see `keras_fvvae.zoo.load_classifier`.
        files: paths of images, or of videos (files or folders of frames) for a model of videos.
        out: folder for the pictures.
        class_name: whose score is explained. Default: that of each file's best class.

    Yields:
        For every file in order a dictionary: `file` and either `label`, `score`, `bias`, `picture` or `error`, the
        reason why the file could not be used.

    Raises:
        RunError, WeightsError: if the model or the folder cannot be used, or has a representation whose score is not
            split.
        DataError: for an unknown class.
    """
    trained = open_reading(source)
    classifier = load_model(trained.model, (Classifier,))
    recipe, kind, out = trained.recipe, trained.kind, Path(out)
    require_explainable(classifier.encoder, recipe)
    names = classifier.class_names
    if class_name is not None and class_name not in names:
        raise DataError(unknown_name("class", class_name, names))
    index = None if class_name is None else names.index(class_name)
    views = recipe_views(recipe, kind)
    make_folder(out)
    taken: set[str] = set()
    for file in map(str, files):
        collection = Collection([file], [file], [UNLABELLED], ["test"], names, kind=kind)
        try:
            (frames,) = read_resized(collection, 0, [views])
        except OSError as error:
            yield {"file": file, "error": reason(error)}
            continue
        except (DataError, ValueError) as error:
            yield {"file": file, "error": str(error)}
            continue
        explanation = explain_frames(classifier, frames, views, index)
        path = out / f"{unused_name(Path(file).stem, taken)}.png"
        shares = dict(zip(recipe.branch_recipes, explanation.branches, strict=True))
        draw = explanation_figures.heat_map if kind == "image" else explanation_figures.video_curve
        further = {"branches": shares} if shares else {}
        write_figure(draw(explanation, Path(file).name), _numbers(explanation, file, views, further), path)
        summary = {name: getattr(explanation, name) for name in ("label", "score", "bias")}
        yield {"file": file, **summary, "picture": str(path)}


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
    item = EncodedItem(classifier.encoder, frames, views)
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


def _numbers(explanation, file, views, further):
    return {
        "file": file,
        "label": explanation.label,
        "score": explanation.score,
        "bias": explanation.bias,
        **further,
        "picture_size": list(views.resize_to),
        "frames": explanation.curve.tolist(),
        "maps": explanation.maps.tolist(),
    }
