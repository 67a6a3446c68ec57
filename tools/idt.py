"""`keras-fvvae idt`"""

from pathlib import Path

import click
from keras_fvvae.tools.console import load_tensorflow_quietly, parse_settings

from keras_fvvae.recipes import DATASETS


@click.command("idt", short_help="Encode videos by improved dense trajectories.")
@click.argument("data", type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="Folder to write; the same call continues.")
@click.option("--dataset", default="auto", show_default=True, type=click.Choice(DATASETS), help="Kind of the data.")
@click.option(
    "--data-option", "dataset_options", multiple=True, callback=parse_settings, metavar="KEY=VALUE",
    help="Argument of the data set's loader, such as split=2. Repeatable.",
)  # fmt: skip
@click.option(
    "--common-classes", is_flag=True,
    help="Keep only classes with both training and test items, for a partial copy of a data set.",
)  # fmt: skip
@click.option("--method", default="dis", show_default=True, type=click.Choice(["dis", "farneback"]), help="Flow.")
@click.option("--step", default=5, show_default=True, type=click.IntRange(1), help="Pixels between points.")
@click.option("--scales", default=8, show_default=True, type=click.IntRange(1), help="Spatial scales, at most.")
@click.option(
    "--longest-side", default=320, show_default=True, type=click.IntRange(32), help="Larger frames are reduced to it."
)
@click.option("--keep-camera", is_flag=True, help="Do not remove the camera's motion (dense trajectories of 2011).")
@click.option(
    "--most", default=10_000, show_default=True, type=click.IntRange(1), help="Trajectories kept of a video, at most."
)
@click.option("--components", default=256, show_default=True, type=click.IntRange(1), help="Gaussians of a mixture.")
@click.option(
    "--svm-c", default=100.0, show_default=True, type=click.FloatRange(0, min_open=True), help="C of the SVM."
)
@click.option("--workers", type=click.IntRange(1), help="Threads. Default: one per core.")
def command(
    data, out, dataset, dataset_options, common_classes, method, step, scales, longest_side, keep_camera, most,
    components, svm_c, workers,
):  # fmt: skip
    """Encode the videos of DATA by improved dense trajectories (Wang and Schmid, ICCV 2013) and score the test part.

    OUT holds the vectors of all videos (vectors.npy, vectors.json), the scores of the test videos (scores.csv) for late
    fusion, and the accuracy. Videos that cannot be used are reported in skipped.csv; the exit code is 1 if none can.
    """
    if Path(data).is_dir() and Path(data).resolve() in (Path(out).resolve(), *Path(out).resolve().parents):
        raise click.UsageError(f"--out {out} lies inside {data}: choose a folder outside of the data.")
    load_tensorflow_quietly()
    from keras_fvvae.runs.datasets import open_dataset
    from keras_fvvae.tasks.idt import encode_trajectories
    from keras_fvvae.trajectories import TrajectorySettings

    collection = open_dataset(data, dataset, dataset_options)
    collection = collection.of_common_classes() if common_classes else collection
    for note in collection.notes:
        click.echo(f"Note: {note}", err=True)
    settings = TrajectorySettings(method, step, scales, longest_side, not keep_camera, most)
    result = encode_trajectories(collection, out, settings, components, svm_c, workers=workers)
    for name, reason in result["skipped"].items():
        click.echo(f"{name}: {reason}", err=True)
    click.echo(f"{result['trajectories_per_video']:,.0f} trajectories a video; vectors in {Path(out) / 'vectors.npy'}")
    if "accuracy" in result:
        from keras_fvvae.evaluation.intervals import accuracy_text

        click.echo(f"{accuracy_text(result)} %  ({result['protocol']})")
    else:
        click.echo(f"Scores: {result['scores']}")
