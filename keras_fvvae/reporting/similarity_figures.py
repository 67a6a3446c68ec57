"""Figures of where the similarity of two pictures, or of two videos, comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fvvae.reporting.explanation_figures import draw_heat, draw_video, scale_limit
from keras_fvvae.reporting.names import plt, shown, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def similar_pictures(explanation: Any, names: tuple[str, str]) -> Figure:
    """Two images above themselves in gray under what they contribute to their similarity, on one scale.

    Args:
        explanation: `keras_fvvae.tasks.explain_match.MatchExplanation` of images.
        names: of both files.
    """
    limit = _common_limit(explanation)
    titles = [f"{shown(name)}: {side.maps.sum():+.3f}" for name, side in _sides(explanation, names)]
    with style([_title(explanation), *titles], axes_grid=False):
        figure, axes = plt.subplots(2, 2, figsize=(7.4, 6.8))
        for column, (_, side) in enumerate(_sides(explanation, names)):
            axes[0, column].imshow(side.pictures[0], interpolation="nearest")
            axes[0, column].set_title(titles[column], fontsize=8)
            drawn = draw_heat(axes[1, column], side.pictures[0], side.maps[0], limit)
        for axis in axes.flat:
            axis.axis("off")
        figure.colorbar(drawn, ax=axes[1, :], shrink=0.85, extend="both", label="contribution to the similarity")
        figure.suptitle(_title(explanation), fontsize=9)
    return figure


def similar_videos(explanation: Any, names: tuple[str, str]) -> Figure:
    """What the frames of two videos contribute to their similarity, over time, and the key frames of each.

    Args:
        explanation: `keras_fvvae.tasks.explain_match.MatchExplanation` of videos.
        names: of both files.
    """
    limit = _common_limit(explanation)
    with style([_title(explanation), *names]):
        figure = plt.figure(figsize=(8.4, 8.8))
        parts: Any = figure.subfigures(2, 1)
        for part, (name, side) in zip(parts, _sides(explanation, names), strict=True):
            draw_video(part, side.pictures, side.maps, limit)
            part.suptitle(f"{shown(name)}: {side.maps.sum():+.3f}", fontsize=8)
        figure.suptitle(_title(explanation), fontsize=9)
    return figure


def _sides(explanation, names):
    return zip(names, (explanation.query, explanation.match), strict=True)


def _common_limit(explanation):
    return scale_limit(np.concatenate([explanation.query.maps.ravel(), explanation.match.maps.ravel()]))


def _title(explanation):
    text = f"similarity {explanation.similarity:.3f}"
    sides = (explanation.query, explanation.match)
    if not any(side.constant for side in sides):
        return f"{text}: the sum of the parts of each"
    first, second = (f"{side.maps.sum():+.3f} (shown) {side.constant:+.3f} (of no part)" for side in sides)
    return f"{text} = {first} = {second}"
