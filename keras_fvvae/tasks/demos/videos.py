"""The whole way for videos on embedded data: files, frames and optical flow, two FV-VAEs, late fusion, report."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from keras_fvvae.data.datasets.moving_digits import load_moving_digits
from keras_fvvae.reporting.report import write_report
from keras_fvvae.tasks.demos.settings import DemoSettings
from keras_fvvae.tasks.scores.fuse import fuse

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


def video_demo(out: str | os.PathLike, settings: DemoSettings) -> VideoDemoResult:
    """Writes the moving digits as video files, trains an FV-VAE on frames and one on optical flow, and fuses them.

    Args:
        out: folder to write.
        settings: how it trains.

    Returns:
        A `VideoDemoResult`.
    """
    out = Path(out)
    videos = load_moving_digits(out / "files", verbose=settings.verbose)
    runs = {}
    for stream, entry in STREAMS.items():
        runs[stream] = settings.train(settings.recipe(entry), videos, out / entry).path
    fusion = fuse(list(runs.values()))
    fusion["streams"] = dict(zip(runs, fusion["streams"].values(), strict=True))
    report = write_report(list(runs.values()), out / "report.html", videos, list(runs), fusion)
    return VideoDemoResult(fusion, report)
