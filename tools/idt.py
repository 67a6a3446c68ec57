"""`keras-fvvae idt`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from keras_fvvae.tools.common.checks import require_outside
from keras_fvvae.tools.common.commands import Command, section
from keras_fvvae.tools.common.console import load_tensorflow_quietly, print_notes, say
from keras_fvvae.tools.common.options import data_options, flow_method_option, workers_option

from keras_fvvae.runs.requirements import require_data

_trajectory_options = section(
    "Trajectories",
    flow_method_option,
    click.option("--step", default=5, show_default=True, type=click.IntRange(1), help="Pixels between points."),
    click.option("--scales", default=8, show_default=True, type=click.IntRange(1), help="Spatial scales, at most."),
    click.option(
        "--longest-side",
        default=320,
        show_default=True,
        type=click.IntRange(32),
        help="Larger frames are reduced to it.",
    ),
    click.option("--keep-camera", is_flag=True, help="Do not remove the camera's motion (as in 2011)."),
    click.option(
        "--most", default=10_000, show_default=True, type=click.IntRange(1), help="Trajectories of a video, at most."
    ),
)
_encoding_options = section(
    "Encoding",
    click.option("--components", default=256, show_default=True, type=click.IntRange(1), help="Of a mixture."),
    click.option(
        "--svm-c", default=100.0, show_default=True, type=click.FloatRange(0, min_open=True), help="C of the SVM."
    ),
    click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the mixtures."),
)


@click.command("idt", cls=Command, short_help="Encode videos by improved dense trajectories.")
@data_options(required=True, default="auto")
@click.option("--out", required=True, type=click.Path(), help="Folder to write; the same call continues.")
@workers_option
@_trajectory_options
@_encoding_options
def command(
    data: str,
    dataset: str,
    dataset_options: dict[str, Any],
    common_classes: bool,
    out: str,
    workers: int | None,
    components: int,
    svm_c: float,
    seed: int,
    **trajectories: Any,
) -> None:
    """Encode videos by improved dense trajectories (Wang and Schmid, ICCV 2013) and score the test part.

    OUT holds the vectors of all videos (vectors.npy, vectors.json), the scores of the test videos (scores.csv) for late
    fusion, and the accuracy. Videos that cannot be used are reported in skipped.csv; the exit code is 1 if none can.
    """
    require_outside(out, data, "choose a folder outside of the data.")
    require_data(data, dataset)
    load_tensorflow_quietly()
    from keras_fvvae.runs.datasets import open_dataset
    from keras_fvvae.tasks.idt import encode_trajectories

    collection = open_dataset(data, dataset, dataset_options)
    collection = collection.of_common_classes() if common_classes else collection
    print_notes(collection.notes)
    result = encode_trajectories(
        collection, out, _settings(**trajectories), components, svm_c, seed=seed, workers=workers
    )
    for name, reason in result["skipped"].items():
        say(f"{name}: {reason}")
    click.echo(f"{result['trajectories_per_video']:,.0f} trajectories a video; vectors in {Path(out) / 'vectors.npy'}")
    if "accuracy" in result:
        from keras_fvvae.evaluation.intervals import accuracy_text

        click.echo(f"{accuracy_text(result)} %  ({result['protocol']})")
    else:
        click.echo(f"Scores: {result['scores']}")


def _settings(flow_method: str, step: int, scales: int, longest_side: int, keep_camera: bool, most: int) -> Any:
    from keras_fvvae.trajectories import TrajectorySettings

    return TrajectorySettings(flow_method, step, scales, longest_side, not keep_camera, most)
