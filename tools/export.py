"""`keras-fvvae export`"""

from __future__ import annotations

from typing import Any

import click
from keras_fvvae.tools.common.checks import require_run_or_pack
from keras_fvvae.tools.common.commands import Command
from keras_fvvae.tools.common.console import load_tensorflow_quietly
from keras_fvvae.tools.common.options import coverage_option
from keras_fvvae.tools.common.types import RUN

from keras_fvvae.serving.version_folders import require_export_folder


@click.command("export", cls=Command, short_help="Write a trained run as a SavedModel.")
@click.argument("runs", nargs=-1, required=True, type=RUN, metavar="RUN [RUN2]")
@click.option("--out", required=True, type=click.Path(), help="Parent of the version folders.")
@click.option("--version", type=click.IntRange(1), help="Version number. Default: one above the highest there.")
@click.option("--top-k", default=5, show_default=True, type=click.IntRange(1), help="Labels returned per item.")
@click.option("--weight", "weights", multiple=True, type=float, help="Weight of a run's scores; once for each of two.")
@click.option("--half-svm", is_flag=True, help="Keep the SVM's weights in float16.")
@click.option("--pca", "pca_components", type=click.IntRange(1), help="Compress vectors to so many components.")
@coverage_option
@click.option("--valid-output", is_flag=True, help="Flag what cannot be decoded instead of failing the whole batch.")
def command(runs: tuple[str, ...], weights: tuple[float, ...], **options: Any) -> None:
    """Write RUN, a finished run, a published pack or an entry with trained weights, to OUT/VERSION/ as a SavedModel
    with the signatures serving_default (scores and labels), encode (vectors), encode_raw and classify_raw (long
    videos in pieces), explain and explain_match (where a score, or a similarity, comes from). The bytes of images go
    in, or those of frames for a model of videos. It runs without keras_fvvae and without Keras.

    Two runs, on frames and on optical flow, become one model that takes both and adds their scores.

    A calibrated model gives probabilities beside the scores; where an answer may be none of these, see --coverage.

    The card in assets.extra says what --half-svm and --pca change on the runs' test items.
    """
    if weights and len(weights) != len(runs):
        raise click.UsageError(f"{len(runs)} runs need {len(runs)} times --weight, or none.")
    require_export_folder(options["out"])
    for run in runs:
        require_run_or_pack(run)
    load_tensorflow_quietly()
    from keras_fvvae.tasks.export_runs import export_runs

    click.echo(export_runs(list(runs), weights=list(weights) or None, **options))
