"""The demo: textiles, digits and videos, one after the other."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from keras_fvvae.errors import unknown_name
from keras_fvvae.tasks.demos import PARTS
from keras_fvvae.tasks.demos.digits import DigitsDemoResult, digits_demo
from keras_fvvae.tasks.demos.settings import DemoSettings
from keras_fvvae.tasks.demos.textiles import TextileDemoResult, missing_packages, textile_demo
from keras_fvvae.tasks.demos.videos import VideoDemoResult, video_demo
from keras_fvvae.utils import video_packages


@dataclasses.dataclass(frozen=True)
class DemoResult:
    """What the demo made; `None` for a part that was left out.

    Attributes:
        textiles: `None` as well where `missing` names packages.
        digits: of the embedded digits.
        videos: of the embedded videos; `None` as well where `missing_for_videos` names packages.
        missing: packages of the package index that the textiles need and that are not installed.
        missing_for_videos: likewise for the videos.
    """

    textiles: TextileDemoResult | None
    digits: DigitsDemoResult | None
    videos: VideoDemoResult | None
    missing: list[str]
    missing_for_videos: list[str]


def demo(
    out: str | os.PathLike = "runs/demo",
    steps: int | None = None,
    seed: int | None = None,
    overwrite: bool = False,
    verbose: int = 1,
    only: Sequence[str] = PARTS,
) -> DemoResult:
    """Does everything that one does with an FV-VAE, on data that need no download.

    Args:
        out: folder to write; a finished part is not computed again. The textiles are in `textiles`, the videos in
            `videos`, the digits in the folder itself.
        steps: training steps instead of the recipes'.
        seed: instead of the recipes'. Same seed, same machine: same numbers.
        overwrite: whether to start anew.
        verbose: 1 for progress bars.
        only: parts, of `PARTS`.

    Returns:
        A `DemoResult`.

    Raises:
        ValueError: for an unknown part.
        RunError: if the folder cannot be used, or exported scores differ.
    """
    for part in only:
        if part not in PARTS:
            raise ValueError(unknown_name("part of the demo", part, PARTS))
    out, settings = Path(out), DemoSettings(steps, seed, overwrite, verbose)
    missing = missing_packages() if "textiles" in only else []
    missing_for_videos = video_packages.missing_packages() if "videos" in only else []
    return DemoResult(
        textile_demo(out / "textiles", settings) if "textiles" in only and not missing else None,
        digits_demo(out, settings) if "digits" in only else None,
        video_demo(out / "videos", settings) if "videos" in only and not missing_for_videos else None,
        missing,
        missing_for_videos,
    )
