"""The card of a served model: what goes in and out, and what it was trained from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_fvvae.export.inputs import FrameInput
from keras_fvvae.recipes.cards import recipe_card

if TYPE_CHECKING:
    from keras_fvvae.export.signatures import Endpoints
    from keras_fvvae.recipes import Recipe

_ABOUT = {
    "serving_default": "scores (decision values, not probabilities) and the best labels",
    "classify_pixels": "as `serving_default`, of RGB pixels that the caller has decoded, of any height and width",
    "encode": "representations",
    "encode_raw": "the additive part: sums of raw vectors and their number; add both up over the pieces of a video",
    "classify_raw": "what `encode_raw` gives, to scores and labels",
    "explain": "parts of the best label's score on a map of the picture; they and `bias` add up to `score`",
    "explain_match": "the cosine with the vector `match`, which `encode` made of another, and its parts on a map of "
    "the picture; they and `constant` add up to `similarity`",
}
_FLAGGED = (
    "What cannot be decoded is flagged by `valid`: its row is NaN. A video is flagged if any of its frames cannot be "
    "decoded."
)
_FAILS = "Bytes that cannot be decoded are an error for the whole call."
_HALF = "The weights of the SVM are kept in float16."


def served_card(
    endpoints: Endpoints,
    recipes: Sequence[Recipe] = (),
    notes: Sequence[str] = (),
    half_svm: bool = False,
    coverage: float | None = None,
) -> str:
    """Markdown for `assets.extra/card.md`.

    Args:
        endpoints: `keras_fvvae.export.signatures.Endpoints`.
        recipes: `Recipe` of each stream, or none.
        notes: further paragraphs, such as measured accuracies.
        half_svm: whether the SVM's weights are in float16.
        coverage: wanted share of items of the known classes that get an answer.
    """
    rows = ["| signature | takes | gives |", "| --- | --- | --- |"]
    for name, (_, specs) in endpoints.signatures().items():
        inputs = ", ".join(f"`{spec.name}: {spec.dtype.name}{_shape(spec.shape)}`" for spec in specs)
        rows.append(f"| `{name}` | {inputs} | {_ABOUT[name]} |")
    streams = [
        f"* {'Optical flow' if stream.prefix else 'RGB'}: {stream.bias.shape[0]} classes, a representation of "
        f"{stream.encoder.output_dim:,} numbers.{_sampling(stream.inputs)}"
        for stream in endpoints.streams
    ]
    parts = [
        "# Served model",
        "\n".join(rows),
        "\n".join(streams),
        _probabilities(endpoints, coverage),
        _FLAGGED if endpoints.flagged else _FAILS,
        *([_HALF] if half_svm else []),
        *notes,
        *(recipe_card(recipe, "They are part of this SavedModel.").rstrip() for recipe in recipes),
    ]
    return "\n\n".join(parts) + "\n"


def _probabilities(endpoints, coverage):
    if endpoints.calibration is None:
        return "There are no probabilities: scores are decision values, of which the largest one names the class."
    text = (
        f"`probabilities` and, of the best labels, `label_probabilities` are calibrated "
        f"({endpoints.calibration.method}) on training items that the classifier had not seen."
    )
    if endpoints.threshold is None:
        return text
    return (
        f"{text} `answer` is the best label, and empty (none of these) where its probability is below "
        f"{endpoints.threshold:.4f}: {coverage:.1%} of items of these classes are wanted to be answered."
    )


def _sampling(inputs):
    """Which frames are to be sent; nothing of images."""
    if not isinstance(inputs, FrameInput):
        return ""
    if inputs.views.frame_step is not None:
        return f" Trained on one of every {inputs.views.frame_step} frames of a video: send these."
    return f" Trained on {inputs.views.frames} frames of a video, uniformly spaced: send these."


def _shape(shape):
    return f"[{', '.join('N' if i == 0 else 'T' if side is None else str(side) for i, side in enumerate(shape))}]"
