"""`keras-fvvae explain`"""

import sys

import click
from keras_fvvae.tools.console import load_tensorflow_quietly


@click.command("explain", short_help="Draw where the scores of files come from.")
@click.argument("run", type=click.Path())
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@click.option("--out", required=True, type=click.Path(), help="Folder for the pictures.")
@click.option("--class", "class_name", help="Class whose score is explained. Default: each file's best.")
def command(run, files, out, class_name):
    """Draw where the scores of FILES (images, or videos for a run on videos) with the finished RUN come from: a heat
    map over an image, a curve over a video's frames, as PNG and SVG, and the numbers as JSON. The parts add up to the
    score.

    Files that cannot be read are reported and the rest is done; the exit code is 1 if no file could be read.
    """
    load_tensorflow_quietly()
    from keras_fvvae.tasks.explain import explain

    read = 0
    for result in explain(run, list(files), out, class_name):
        if "error" in result:
            click.echo(f"{result['file']}: {result['error']}", err=True)
        else:
            read += 1
            click.echo(f"{result['file']}: {result['label']} ({result['score']:+.2f}): {result['picture']}")
    sys.exit(0 if read else 1)
