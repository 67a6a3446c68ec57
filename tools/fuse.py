"""`keras-fvvae fuse`"""

import json

import click
from keras_fvvae.tools.console import load_tensorflow_quietly, print_fusion


@click.command("fuse", short_help="Late fusion of finished runs, with its gain.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(), metavar="RUN RUN...")
@click.option("--weight", "weights", multiple=True, type=click.FloatRange(0), help="One per run. Default: equal.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON instead of a table.")
def command(runs, weights, as_json):
    """Fuse the test scores of RUNs on the same data, such as frames and optical flow, and measure the gain."""
    if weights and len(weights) != len(runs):
        raise click.UsageError(f"{len(runs)} runs need {len(runs)} times --weight, or none.")
    load_tensorflow_quietly()
    from keras_fvvae.tasks.fuse import fuse

    result = fuse(list(runs), list(weights) or None)
    if as_json:
        click.echo(json.dumps(result))
        return
    print_fusion(result)
