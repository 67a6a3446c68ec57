"""Pictures of where a model's scores come from: heat maps on images, curves over videos."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_fvvae.builders.encoders import load_model
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data.collection import UNLABELLED, Collection
from keras_fvvae.data.views import read_resized
from keras_fvvae.errors import DataError, unknown_name
from keras_fvvae.explanations.file_explanation import explain_frames, require_explainable
from keras_fvvae.models import Classifier
from keras_fvvae.reporting import explanation_figures
from keras_fvvae.tasks.pictures import make_folder, picture_names, write_figure
from keras_fvvae.utils.files import reason
from keras_fvvae.zoo.sources import TrainedFile, open_reading


def explain(
    source: str | os.PathLike | TrainedFile,
    files: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    class_name: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Draws where the scores of files come from, see `keras_fvvae.explanations.descriptor_contributions`.

    For every file `out/FOLDER/NAME.png` and `.svg`, a heat map over the image or the curve over a video's frames with
    its key frames, and `.json` with the numbers; FOLDER is the file's own, such as that of its class, see
    `keras_fvvae.tasks.pictures.picture_names`.

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
    texts = list(map(str, files))
    for file, picture in zip(texts, picture_names(texts), strict=True):
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
        path = out / f"{picture}.png"
        shares = dict(zip(recipe.branch_recipes, explanation.branches, strict=True))
        draw = explanation_figures.heat_map if kind == "image" else explanation_figures.video_curve
        further = {"branches": shares} if shares else {}
        write_figure(draw(explanation, Path(file).name), _numbers(explanation, file, views, further), path)
        summary = {name: getattr(explanation, name) for name in ("label", "score", "bias")}
        yield {"file": file, **summary, "picture": str(path)}


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
