"""Pictures of what makes two images, or two videos, similar: heat maps of both."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from keras_fvvae.builders.encoders import load_encoder
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data.items import item_collection
from keras_fvvae.data.views import Views, read_resized
from keras_fvvae.errors import DataError
from keras_fvvae.explanations.encoded_item import EncodedItem
from keras_fvvae.explanations.file_explanation import require_explainable
from keras_fvvae.explanations.similarity import match_weights
from keras_fvvae.models import Encoder
from keras_fvvae.reporting import similarity_figures
from keras_fvvae.tasks.files import objection
from keras_fvvae.tasks.pictures import make_folder, picture_names, write_figure
from keras_fvvae.utils.files import reason
from keras_fvvae.zoo.sources import TrainedFile, open_reading


@dataclasses.dataclass(eq=False)
class Side:
    """One of two similar images or videos.

    Attributes:
        maps: `(frames, H, W)`: contributions on a map of every resized frame, of an image one. They and the constant
            add up to the similarity.
        constant: what no position contributes: zero, but for compressed representations.
        pictures: uint8 `(frames, height, width, 3)`: the resized frames.
    """

    maps: np.ndarray
    constant: float
    pictures: np.ndarray


@dataclasses.dataclass(eq=False)
class MatchExplanation:
    """The cosine of two vectors, and its parts in both.

    Attributes:
        similarity: the cosine.
        query, match: a `Side` each.
    """

    similarity: float
    query: Side
    match: Side


def explain_match(
    source: str | os.PathLike | TrainedFile,
    files: Sequence[str | os.PathLike],
    match: str | os.PathLike,
    out: str | os.PathLike,
) -> Iterator[dict[str, Any]]:
    """Draws what makes each of some files similar to another, see `keras_fvvae.explanations.similarity_split`.

    For every file `out/FOLDER/NAME-MATCH.png` and `.svg`, and `.json` with the numbers; FOLDER as of
    `keras_fvvae.tasks.explain.explain`.

    Args:
        source: a finished run, a pack or an entry with trained weights, see `keras_fvvae.zoo.load_encoder`.
        files: paths of images, or of videos (files or folders of frames) for a model of videos.
        match: the other file.
        out: folder for the pictures.

    Yields:
        For every file in order a dictionary: `file` and either `match`, `similarity`, `picture` or `error`, the reason
        why the file could not be used.

    Raises:
        RunError, WeightsError: if the model or the folder cannot be used, or has a representation that is not split.
        DataError: if the match cannot be read.
    """
    trained = open_reading(source)
    encoder, kind = load_encoder(trained.model), trained.kind
    require_explainable(encoder, trained.recipe)
    views, out = recipe_views(trained.recipe, kind), Path(out)
    make_folder(out)
    if why := objection(str(match), kind):
        raise DataError(f"{match} cannot be used: {why}.")
    try:
        (frames,) = read_resized(item_collection([match], kind), 0, [views])
    except (OSError, DataError, ValueError) as error:
        raise DataError(f"{match} cannot be used: {_why(error)}.") from error
    other = EncodedItem(encoder, frames, views)
    draw = similarity_figures.similar_pictures if kind == "image" else similarity_figures.similar_videos
    texts = list(map(str, files))
    for file, name in zip(texts, picture_names(texts), strict=True):
        try:
            (frames,) = read_resized(item_collection([file], kind), 0, [views])
        except (OSError, DataError, ValueError) as error:
            yield {"file": file, "error": _why(error)}
            continue
        explanation = explain_items(EncodedItem(encoder, frames, views), other)
        path = out / f"{name}-{Path(match).stem}.png"
        numbers = {
            "file": file,
            "match": str(match),
            "similarity": explanation.similarity,
            "picture_size": list(views.resize_to),
            "query_constant": explanation.query.constant,
            "query_maps": explanation.query.maps.tolist(),
            "match_constant": explanation.match.constant,
            "match_maps": explanation.match.maps.tolist(),
        }
        write_figure(draw(explanation, (Path(file).name, Path(match).name)), numbers, path)
        yield {"file": file, "match": str(match), "similarity": explanation.similarity, "picture": str(path)}


def explain_pair(encoder: Encoder, query: np.ndarray, match: np.ndarray, views: Views) -> MatchExplanation:
    """The parts of the similarity of two images or videos.

    Args:
        encoder: an encoder that `keras_fvvae.explanations` can split.
        query, match: resized frames `(n, *resize_to, channels)`, of an image one, values 0 to 255.
        views: `Views` of the training.
    """
    return explain_items(EncodedItem(encoder, query, views), EncodedItem(encoder, match, views))


def explain_items(query: EncodedItem, match: EncodedItem) -> MatchExplanation:
    """The parts of the similarity of two items of one encoder."""
    sides = []
    for one, other in ((query, match), (match, query)):
        weights = ops.convert_to_numpy(match_weights(one.vector, other.vector))[0]
        maps, constant, _ = one.split(weights)
        sides.append(Side(maps, constant, one.pictures))
    return MatchExplanation(float(one.vector[0] @ weights), *sides)


def _why(error: Exception) -> str:
    return reason(error) if isinstance(error, OSError) else str(error)
