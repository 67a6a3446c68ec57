"""`keras-fvvae flow`"""

import sys
from pathlib import Path

import click
from keras_fvvae.tools.console import load_tensorflow_quietly, parse_settings

from keras_fvvae.recipes import DATASETS


@click.command("flow", short_help="Compute the optical flow of videos beforehand.")
@click.argument("data", type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="Folder to write; the same call continues.")
@click.option("--dataset", default="auto", show_default=True, type=click.Choice(DATASETS), help="Kind of the data.")
@click.option(
    "--data-option", "dataset_options", multiple=True, callback=parse_settings, metavar="KEY=VALUE",
    help="Argument of the data set's loader, such as split=2. Repeatable.",
)  # fmt: skip
@click.option("--method", default="dis", show_default=True, type=click.Choice(["dis", "farneback"]))
@click.option("--bound", default=20.0, show_default=True, help="Displacements are clipped to so many pixels.")
@click.option(
    "--size", default=(240, 320), show_default=True, type=(click.IntRange(16), click.IntRange(16)),
    metavar="HEIGHT WIDTH", help="Frames are brought to this size first.",
)  # fmt: skip
@click.option("--resize", default="squeeze", show_default=True, type=click.Choice(["squeeze", "crop", "pad"]))
@click.option("--frames", is_flag=True, help="Write the frames too, as img_00001.jpg.")
@click.option("--workers", type=click.IntRange(1), help="Threads. Default: a few more than cores.")
def command(data, out, dataset, dataset_options, method, bound, size, resize, frames, workers):
    """Write the optical flow of the videos of DATA as flow_x_00001.jpg and flow_y_00001.jpg in one folder per video.

    The folder can take the place of the video files in any layout. Videos that cannot be read are reported, and the
    rest is done; the exit code is 1 if none could be read.
    """
    if Path(data).is_dir() and Path(data).resolve() in (Path(out).resolve(), *Path(out).resolve().parents):
        raise click.UsageError(f"--out {out} lies inside {data}: the flow would become a part of the data set.")
    load_tensorflow_quietly()
    from keras_fvvae.data import FlowSettings
    from keras_fvvae.runs.datasets import open_dataset
    from keras_fvvae.tasks.flow import compute_flow

    collection = open_dataset(data, dataset, dataset_options)
    for note in collection.notes:
        click.echo(f"Note: {note}", err=True)
    result = compute_flow(collection, out, FlowSettings(method, bound), size, resize, frames, workers)
    for name, reason in result["skipped"].items():
        click.echo(f"{name}: {reason}", err=True)
    click.echo(f"{result['written']} videos written to {out}, {result['present']} were there, ", nl=False)
    click.echo(f"{len(result['skipped'])} could not be read")
    sys.exit(0 if result["written"] + result["present"] else 1)
