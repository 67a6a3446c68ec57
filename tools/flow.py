"""`keras-fvvae flow`"""

from __future__ import annotations

import sys
from typing import Any

import click
from keras_fvvae.tools.common.checks import require_outside
from keras_fvvae.tools.common.commands import Command
from keras_fvvae.tools.common.console import load_tensorflow_quietly, print_notes, say
from keras_fvvae.tools.common.options import data_options, flow_method_option, workers_option

from keras_fvvae.runs.requirements import require_data


@click.command("flow", cls=Command, short_help="Compute the optical flow of videos beforehand.")
@data_options(required=True, default="auto", classes=False)
@click.option("--out", required=True, type=click.Path(), help="Folder to write; the same call continues.")
@flow_method_option
@click.option(
    "--bound",
    default=20.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Displacements are clipped to so many pixels.",
)
@click.option(
    "--size",
    default=(240, 320),
    show_default=True,
    type=(click.IntRange(16), click.IntRange(16)),
    metavar="HEIGHT WIDTH",
    help="Frames are brought to this size first.",
)
@click.option("--resize", default="squeeze", show_default=True, type=click.Choice(["squeeze", "crop", "pad"]))
@click.option("--frames", is_flag=True, help="Write the frames too, as img_00001.jpg.")
@workers_option
def command(
    data: str, dataset: str, dataset_options: dict[str, Any], out: str, flow_method: str, bound: float, **further: Any
) -> None:
    """Write the optical flow of videos as flow_x_00001.jpg and flow_y_00001.jpg in one folder per video.

    The folder can take the place of the video files in any layout. Videos that cannot be read are reported, and the
    rest is done; the exit code is 1 if none could be read.
    """
    require_outside(out, data, "the flow would become a part of the data set.")
    require_data(data, dataset)
    load_tensorflow_quietly()
    from keras_fvvae.data import FlowSettings
    from keras_fvvae.runs.datasets import open_dataset
    from keras_fvvae.tasks.flow import compute_flow

    collection = open_dataset(data, dataset, dataset_options)
    print_notes(collection.notes)
    result = compute_flow(collection, out, FlowSettings(flow_method, bound), **further)
    for name, reason in result["skipped"].items():
        say(f"{name}: {reason}")
    click.echo(
        f"{result['written']} videos written to {out}, {result['present']} were there, {len(result['skipped'])} could "
        f"not be read"
    )
    sys.exit(0 if result["written"] + result["present"] else 1)
