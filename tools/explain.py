"""`keras-fvvae explain`"""

from __future__ import annotations

import sys

import click
from keras_fvvae.tools.common.checks import require_runs
from keras_fvvae.tools.common.commands import Command
from keras_fvvae.tools.common.console import load_tensorflow_quietly, say
from keras_fvvae.tools.common.types import RUN


@click.command("explain", cls=Command, short_help="Draw where the scores of files come from.")
@click.argument("run", type=RUN)
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@click.option("--out", required=True, type=click.Path(), help="Folder for the pictures.")
@click.option("--class", "class_name", help="Class whose score is explained. Default: each file's best.")
def command(run: str, files: tuple[str, ...], out: str, class_name: str | None) -> None:
    """Draw where the scores of FILES (images, or videos for a run on videos; folders are searched) with the finished
    RUN come from: a heat map over an image, a curve over a video's frames, as PNG and SVG, and the numbers as JSON. The
    parts add up to the score.

    Files that cannot be read are reported and the rest is done; the exit code is 1 if no file could be read.
    """
    require_runs([run])
    load_tensorflow_quietly()
    from keras_fvvae.runs.folder import RunFolder
    from keras_fvvae.tasks.explain import explain
    from keras_fvvae.tasks.files import results_of

    read = 0
    kind = RunFolder.open(run).kind
    for result in results_of(files, kind, lambda usable: explain(run, usable, out, class_name)):
        if "error" in result:
            say(f"{result['file']}: {result['error']}")
        else:
            read += 1
            click.echo(f"{result['file']}: {result['label']} ({result['score']:+.2f}): {result['picture']}")
    sys.exit(0 if read else 1)
