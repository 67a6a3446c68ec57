"""`keras-fvvae export`"""

from __future__ import annotations

from typing import Any

import click
from keras_fvvae.tools.common.checks import require_run_or_pack
from keras_fvvae.tools.common.commands import Command
from keras_fvvae.tools.common.console import load_tensorflow_quietly
from keras_fvvae.tools.common.options import coverage_option
from keras_fvvae.tools.common.types import NUMBER_OR_AUTO, RUN

from keras_fvvae.errors import RunError
from keras_fvvae.export.formats import FORMATS, require_formats
from keras_fvvae.export.quantization import MODES, require_quantization
from keras_fvvae.serving.version_folders import require_export_folder

# What they change is of encoded images, or of the answers that only a SavedModel gives.
_OF_SAVED_MODELS = {"half_svm": "--half-svm", "valid_output": "--valid-output", "coverage": "--coverage"}


@click.command("export", cls=Command, short_help="Write a trained run for other runtimes.")
@click.argument("runs", nargs=-1, required=True, type=RUN, metavar="RUN [RUN2]")
@click.option("--out", required=True, type=click.Path(), help="Parent of the version folders.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(list(FORMATS)),
    default=["savedmodel"],
    show_default=True,
    help="Repeatable.",
)
@click.option("--version", type=click.IntRange(1), help="Version number. Default: one above the highest there.")
@click.option("--top-k", default=5, show_default=True, type=click.IntRange(1), help="Labels returned per item.")
@click.option("--weight", "weights", multiple=True, type=float, help="Weight of a run's scores; once for each of two.")
@click.option("--half-svm", is_flag=True, help="Keep the SVM's weights in float16.")
@click.option(
    "--pca",
    "pca_components",
    type=NUMBER_OR_AUTO,
    help="Compress vectors to N components, or to the fewest that cost 1 point at most.",
)
@click.option("--quantize", type=click.Choice(list(MODES)), help="Smaller files; OpenVINO: float16 only.")
@click.option(
    "--calibration",
    type=click.Path(exists=True),
    metavar="DIR",
    help="What is quantised with: the run's data, of a pack or an entry a folder of images.",
)
@coverage_option
@click.option("--valid-output", is_flag=True, help="Flag what cannot be decoded instead of failing the whole batch.")
def command(runs: tuple[str, ...], weights: tuple[float, ...], formats: tuple[str, ...], **options: Any) -> None:
    """Write RUN, a finished run, a published pack or an entry with trained weights, to OUT/VERSION/ as a SavedModel
    with the signatures serving_default (scores and labels), classify_pixels (the same of decoded images), encode
    (vectors), encode_raw and classify_raw (long videos in pieces), explain and explain_match (where a score, or a
    similarity, comes from). The bytes of images go in, or those of frames for a model of videos. It runs without
    keras_fvvae and without Keras.

    ONNX, LiteRT and OpenVINO (extras onnx, litert, openvino; one or more --format) lie in OUT/FORMAT/VERSION/, a model
    from pixels to scores, probabilities and the vector beside its labels; keras copies the classifier. Each is compared
    with Keras in a fresh process before it gets its name; its size and the time of a call are printed and stand in its
    card.

    Quantised files are measured on test images of the run (--calibration DIR: the data that it was trained on), int8
    takes its ranges from training images. Best labels, accuracy, size and time are told beside those in float32.

    Two runs, on frames and on optical flow, become one model that takes both and adds their scores.

    A calibrated model gives probabilities beside the scores; where an answer may be none of these, see --coverage.

    The card in assets.extra says what --half-svm and --pca change on the runs' test items. --pca auto judges by the
    run's validation part, or by training items left out in turn. It shortens the vectors; the file becomes smaller
    where there are more classes than components.
    """
    if weights and len(weights) != len(runs):
        raise click.UsageError(f"{len(runs)} runs need {len(runs)} times --weight, or none.")
    require_export_folder(options["out"])
    require_formats(formats)
    _require_saved_model(runs, formats, options)
    if options["quantize"] is not None:
        require_quantization(options["quantize"], formats)
    elif options["calibration"] is not None:
        raise click.UsageError("--calibration is for --quantize.")
    for run in runs:
        require_run_or_pack(run)
    load_tensorflow_quietly()
    from keras_fvvae.zoo.sources import open_reading

    if len(runs) == 1 and (formats != ("savedmodel",) or open_reading(runs[0]).recipe.modality == "rgb"):
        from keras_fvvae.tasks.export_formats import export_formats

        if weights:
            raise RunError("Weights are for two runs, whose scores are fused.")
        for one in export_formats(runs[0], formats=formats, **options):
            click.echo(one.path)
            click.echo(f"{one.path}: {one.agreement.text}", err=True)
        return
    from keras_fvvae.tasks.export_runs import export_runs

    for name in ("quantize", "calibration"):  # refused above, or not given
        options.pop(name)
    click.echo(export_runs(list(runs), weights=list(weights) or None, **options))


def _require_saved_model(runs, formats, options):
    """Refuses what only a SavedModel can hold in an export without one."""
    if len(runs) > 1 and formats != ("savedmodel",):
        raise click.UsageError("Two fused runs are exported as a SavedModel only: leave out --format.")
    given = [flag for name, flag in _OF_SAVED_MODELS.items() if options[name]]
    if given and "savedmodel" not in formats:
        raise click.UsageError(f"{given[0]} is of SavedModels: add --format savedmodel.")
