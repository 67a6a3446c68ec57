"""The whole way for videos on embedded data: files, frames and optical flow, two FV-VAEs, late fusion, report."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from keras_fvvae.data.datasets.moving_digits import load_moving_digits
from keras_fvvae.recipes import load_recipe
from keras_fvvae.reporting.report import write_report
from keras_fvvae.tasks.scores.fuse import fuse
from keras_fvvae.training.train import train

STREAMS = {"optical flow": "moving_digits_flow", "RGB": "moving_digits_rgb"}


@dataclasses.dataclass(frozen=True)
class VideoDemoResult:
    """What the demo made of the videos.

    Attributes:
        fusion: results of the streams and of their fusion, as from `keras_fvvae.tasks.scores.fuse`; keys are `STREAMS`.
        report: the HTML report.
    """

    fusion: dict[str, Any]
    report: Path


def video_demo(
    out: str | os.PathLike,
    steps: int | None = None,
    seed: int | None = None,
    overwrite: bool = False,
    verbose: int = 1,
) -> VideoDemoResult:
    """Writes the moving digits as video files, trains an FV-VAE on frames and one on optical flow, and fuses them.

    Args:
        out: folder to write; a finished part is not computed again.
        steps: training steps instead of the recipes'.
        seed: instead of the recipes'. Same seed, same machine: same numbers.
        overwrite: whether to train anew.
        verbose: 1 for progress bars.

    Returns:
        A `VideoDemoResult`.
    """
    out = Path(out)
    changes = {key: value for key, value in (("steps", steps), ("seed", seed)) if value is not None}
    videos = load_moving_digits(out / "files", verbose=verbose)
    runs = {}
    for stream, entry in STREAMS.items():
        recipe = load_recipe(entry, **changes)
        run = train(recipe, videos, out / entry, overwrite=overwrite, verbose=verbose)
        assert run is not None  # only workers other than the chief get none
        runs[stream] = run.path
    fusion = fuse(list(runs.values()))
    fusion["streams"] = dict(zip(runs, fusion["streams"].values(), strict=True))
    report = write_report(list(runs.values()), out / "report.html", videos, list(runs), fusion)
    return VideoDemoResult(fusion, report)
