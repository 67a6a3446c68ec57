"""The most confident wrong answers of a run, and where the scores of the answer and of the true class come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data import Collection
from keras_fvvae.data.views import read_resized
from keras_fvvae.errors import DataError
from keras_fvvae.explanations.encoded_item import EncodedItem
from keras_fvvae.explanations.file_explanation import explain_item, require_explainable
from keras_fvvae.reporting.explanation_figures import draw_heat, scale_limit
from keras_fvvae.reporting.names import plt, shown, style
from keras_fvvae.runs.folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Errors that are explained, and the views of all of them together: each goes through the network three times.
EXPLAINED = 4
MAX_VIEWS = 100


def explained_errors(
    run: RunFolder, collection: Collection, positions: Sequence[int], predicted: Sequence[int]
) -> tuple[Figure, str]:
    """A row for each error: the item, what speaks for the answer, and what for the true class; and the caption.

    Args:
        run: a finished run.
        collection: what it was trained on.
        positions: of the wrongly classified items in the collection, the most confident error first.
        predicted: the class of each answer.

    Raises:
        RunError: for a representation whose score is not split.
        DataError: if none of the items can be read any more.
    """
    classifier = run.classifier()
    require_explainable(classifier.encoder, run.recipe)
    views = recipe_views(run.recipe)
    count = max(1, min(EXPLAINED, MAX_VIEWS // views.per_item(collection.kind)))
    rows: list[tuple[str, list[Any]]] = []
    for position, answer in zip(positions, predicted, strict=True):
        try:
            (frames,) = read_resized(collection, position, [views])
        except (OSError, DataError, ValueError):  # removed or altered since the training
            continue
        item = EncodedItem(classifier.encoder, frames, views)
        classes = (int(answer), int(collection.labels[position]))
        rows.append((str(collection.names[position]), [explain_item(classifier, item, one) for one in classes]))
        if len(rows) == count:
            break
    if not rows:
        raise DataError("None of the wrongly classified items can be read any more.")
    frame = "" if collection.kind == "image" else " Shown is the frame that speaks most for the answer."
    caption = (
        f"The {len(rows)} most confident of {len(positions)} wrong answers on the test {collection.kind}s. Orange adds "
        f"to a class's score, purple takes from it; the parts and the bias add up to the score, on one scale in a row."
        f"{frame}"
    )
    return draw(rows), caption


def draw(rows: Sequence[tuple[str, Sequence[Any]]]) -> Figure:
    """Draws the rows of `explained_errors`.

    Args:
        rows: for each item its name, and the `FileExplanation`s of the answer and of the true class.
    """
    titles = [
        [f"{shown(name, 34)}{_frame(answer)}", _title("answer", answer), _title("truth", truth)]
        for name, (answer, truth) in rows
    ]
    with style([text for row in titles for text in row], axes_grid=False):
        figure, axes = plt.subplots(len(rows), 3, figsize=(9.6, 3.1 * len(rows)), squeeze=False)
        for row, (_, explanations), texts in zip(axes, rows, titles, strict=True):
            frame = int(explanations[0].curve.argmax())
            picture = explanations[0].pictures[frame]
            limit = scale_limit(np.stack([one.maps[frame] for one in explanations]))
            row[0].imshow(picture, interpolation="nearest")
            for axis, explanation in zip(row[1:], explanations, strict=True):
                drawn = draw_heat(axis, picture, explanation.maps[frame], limit)
            for axis, text in zip(row, texts, strict=True):
                axis.axis("off")
                axis.set_title(text, fontsize=8)
            figure.colorbar(drawn, ax=row[2], shrink=0.85, extend="both")
    return figure


def _title(role, explanation):
    return f"{role}: {shown(explanation.label, 24)}, score {explanation.score:+.2f}"


def _frame(explanation):
    count = len(explanation.pictures)
    return f", frame {explanation.curve.argmax() + 1} of {count}" if count > 1 else ""
