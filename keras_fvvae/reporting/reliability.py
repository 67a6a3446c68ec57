"""The reliability diagram: how often answers are right, by how sure the model was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras_fvvae.reporting.names import COLORS, plt, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reliability_diagram(errors: dict[str, dict[str, Any]], method: str) -> Figure:
    """Bins of equally many test items, of the probabilities and of the scores through a sigmoid.

    Args:
        errors: from `keras_fvvae.evaluation.calibration_error.reliability`.
        method: of the calibration.
    """
    titles = {"calibrated": f"probabilities ({method})", "uncalibrated": "scores through a sigmoid"}
    with style(titles.values()):
        figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.6), sharey=True)
        for axis, color, (name, title) in zip(axes, COLORS, titles.items(), strict=False):
            bins = errors[name]["bins"]
            x, y = ([100 * one[key] for one in bins] for key in ("confidence", "accuracy"))
            spread = [[100 * (one["accuracy"] - one["low"]) for one in bins],
                      [100 * (one["high"] - one["accuracy"]) for one in bins]]  # fmt: skip
            axis.plot([0, 100], [0, 100], color="#888888", linewidth=0.8, linestyle="--")
            axis.errorbar(x, y, spread, color=color, fmt="o", markersize=4, linewidth=1, capsize=2)
            axis.set(xlim=(-2, 102), ylim=(-2, 102), aspect="equal")
            axis.set_xlabel("mean confidence of a bin (%)")
            axis.set_title(f"{title}\n{error_text(errors[name])}", fontsize=9)
        axes[0].set_ylabel("right answers (%)")
    return figure


def error_text(error: dict[str, Any]) -> str:
    """A calibration error with its interval, and what chance alone would give.

    Example:
        >>> error_text({"value": 0.05, "low": 0.0, "high": 0.075, "chance": 0.044})
        'error 5.0 % [0.0, 7.5], by chance 4.4'
    """
    ends = "" if error["low"] is None else f" [{100 * error['low']:.1f}, {100 * error['high']:.1f}]"
    return f"error {100 * error['value']:.1f} %{ends}, by chance {100 * error['chance']:.1f}"
