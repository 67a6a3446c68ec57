"""Figures of where a score comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from keras_fvvae.reporting.names import plt, shown, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Orange adds to the score, purple takes from it: told apart with any colour vision, and from the gray picture below.
COLORS = "PuOr_r"
POSITIVE, NEGATIVE = "#b35806", "#542788"
# The scale ends at this percentile of the magnitudes, so that a single cell does not pale all others.
SCALE_PERCENTILE = 99
# The smallest side of a drawn picture in pixels: smaller ones are enlarged.
DRAWN_SIDE = 224
# Weight of the heat where it is strongest, so that the picture stays visible.
STRONGEST = 0.85
KEY_FRAMES = 5
# Of red, green and blue in the gray picture (ITU-R BT.601).
LUMA = np.array([0.299, 0.587, 0.114])


def heat_map(explanation: Any, name: str) -> Figure:
    """An image beside itself in gray under its contributions.

    Args:
        explanation: `keras_fvvae.explanations.file_explanation.FileExplanation`.
        name: of the file, for the title.
    """
    limit = scale_limit(explanation.maps)
    picture = explanation.pictures[0]
    title = _title(explanation, name)
    with style([title], axes_grid=False):
        figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.5))
        axes[0].imshow(picture, interpolation="nearest")
        drawn = draw_heat(axes[1], picture, explanation.maps[0], limit)
        for axis in axes:
            axis.axis("off")
        figure.colorbar(drawn, ax=axes[1], shrink=0.85, extend="both", label="contribution to the score")
        figure.suptitle(title, fontsize=9)
    return figure


def video_curve(explanation: Any, name: str) -> Figure:
    """The contributions of a video's frames over time, and the key frames: the largest and the smallest.

    Args:
        explanation: `keras_fvvae.explanations.file_explanation.FileExplanation`.
        name: of the file, for the title.
    """
    title = _title(explanation, name)
    with style([title]):
        figure = plt.figure(figsize=(8.4, 4.4))
        draw_video(figure, explanation.pictures, explanation.maps, scale_limit(explanation.maps))
        figure.suptitle(title, fontsize=9)
    return figure


def draw_video(figure: Any, pictures: np.ndarray, maps: np.ndarray, limit: float) -> None:
    """Draws the curve of contributions over a video's frames and its key frames into a figure, or a part of one.

    Args:
        figure: a `Figure` or `SubFigure`.
        pictures: uint8 `(frames, height, width, 3)`.
        maps: `(frames, H, W)`.
        limit: where the scale ends, see `scale_limit`.
    """
    curve = maps.sum(axis=(1, 2))
    keys = key_frames(curve)
    grid = figure.add_gridspec(2, len(keys), height_ratios=(1, 1.1))
    axis = figure.add_subplot(grid[0, :])
    positions = np.arange(1, len(curve) + 1)
    framed = np.where(np.isin(np.arange(len(curve)), keys), 1.5, 0)
    colors = np.where(curve >= 0, POSITIVE, NEGATIVE)
    axis.bar(positions, curve, width=0.8, color=colors, edgecolor="black", linewidth=framed)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xlabel("sampled frame (framed: those below)")
    axis.set_ylabel("contribution")
    axis.set_xlim(0.3, len(curve) + 0.7)
    locator: Any = axis.xaxis.get_major_locator()
    locator.set_params(integer=True)
    key_axes = []
    for column, key in enumerate(keys):
        axis = figure.add_subplot(grid[1, column])
        drawn = draw_heat(axis, pictures[key], maps[key], limit)
        axis.axis("off")
        axis.set_title(f"frame {key + 1}: {curve[key]:+.3f}", fontsize=8)
        key_axes.append(axis)
    figure.colorbar(drawn, ax=key_axes, shrink=0.8, extend="both", label="contribution")


def key_frames(curve: np.ndarray) -> np.ndarray:
    """Positions, in order of time, of the frames that contribute most, and of the one that contributes least.

    Example:
        >>> key_frames(np.array([3.0, -1.0, 5.0, 4.0, 1.0, 2.0])).tolist()
        [0, 1, 2, 3, 5]
    """
    order = np.argsort(-np.asarray(curve), kind="stable")
    return np.sort(order if len(order) <= KEY_FRAMES else [*order[: KEY_FRAMES - 1], order[-1]])


def _title(explanation, name):
    parts, bias = explanation.maps.sum(), explanation.bias
    label = f"{shown(name)}: {shown(explanation.label)}"
    return f"{label}, score {explanation.score:+.3f} = {parts:+.3f} (shown) {bias:+.3f} (bias)"


def scale_limit(maps: np.ndarray) -> float:
    """Where the scale of contributions ends: a single cell does not pale all others."""
    limit = np.percentile(np.abs(maps), SCALE_PERCENTILE)
    return limit if limit > 0 else max(np.abs(maps).max(), np.finfo("float32").tiny)


def draw_heat(axis: Any, picture: np.ndarray, values: np.ndarray, limit: float) -> Any:
    """Draws contributions over the gray picture, opaque in proportion to their size; gives what a colour bar needs."""
    scale = max(1, -(-DRAWN_SIDE // min(picture.shape[:2])))
    height, width = (side * scale for side in picture.shape[:2])
    smooth = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
    gray, values = (
        np.asarray(Image.fromarray(np.asarray(one, "float32")).resize((width, height), smooth))
        for one in (picture @ LUMA, values)
    )
    axis.imshow(gray, cmap="gray", vmin=0, vmax=255)
    opacity = STRONGEST * np.minimum(np.abs(values) / limit, 1)
    axis.imshow(values, cmap=COLORS, vmin=-limit, vmax=limit, alpha=opacity)
    # An image without opacity for the scale beside it.
    return plt.cm.ScalarMappable(plt.Normalize(-limit, limit), COLORS)
