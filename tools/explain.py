"""`keras-fvvae explain`"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click
from keras_fvvae.tools.common.checks import require_files, require_run_or_pack
from keras_fvvae.tools.common.commands import Command
from keras_fvvae.tools.common.console import load_tensorflow_quietly, say
from keras_fvvae.tools.common.types import RUN


@click.command("explain", cls=Command, short_help="Draw where scores of files, or similarities, come from.")
@click.argument("run", type=RUN)
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@click.option("--out", required=True, type=click.Path(), help="Folder for the pictures.")
@click.option("--class", "class_name", help="Class whose score is explained. Default: each file's best.")
@click.option("--match", type=click.Path(), help="Another file: draw what makes it and FILES similar instead.")
def command(run: str, files: tuple[str, ...], out: str, class_name: str | None, match: str | None) -> None:
    """Draw where the scores of FILES (images, or videos for a model of videos; folders are searched) with RUN, a
    finished run, a pack or an entry with trained weights, come from: a heat map over an image, a curve over a
    video's frames, as PNG and SVG, and the numbers as JSON. The parts add up to the score. In the folder of the
    pictures every file keeps its own, such as that of its class.

    With --match, what makes each of FILES similar to another image or video is drawn, in both: the parts of each add up
    to the cosine of their vectors.

    Files that cannot be read are reported and the rest is done; the exit code is 1 if no file could be read.
    """
    if match is not None and class_name is not None:
        raise click.UsageError("--class is of a score, --match of a similarity: name one of them.")
    require_run_or_pack(run)
    read = 0
    for result in _scores(run, files, out, class_name) if match is None else _similarities(run, files, out, match):
        if "error" in result:
            say(f"{result['file']}: {result['error']}")
            continue
        read += 1
        found = f"{result['label']} ({result['score']:+.2f})" if match is None else f"{result['similarity']:.4f}"
        click.echo(f"{result['file']}: {found}: {result['picture']}")
    sys.exit(0 if read else 1)


def _scores(run: str, files: tuple[str, ...], out: str, class_name: str | None) -> Iterator[dict]:
    load_tensorflow_quietly()
    from keras_fvvae.tasks.explain import explain
    from keras_fvvae.tasks.files import results_of
    from keras_fvvae.zoo.sources import open_reading

    model = open_reading(run)
    return results_of(files, model.kind, lambda usable: explain(model, usable, out, class_name))


def _similarities(run: str, files: tuple[str, ...], out: str, match: str) -> Iterator[dict]:
    require_files(match)
    load_tensorflow_quietly()
    from keras_fvvae.tasks.explain_match import explain_match
    from keras_fvvae.tasks.files import results_of
    from keras_fvvae.zoo.sources import open_reading

    model = open_reading(run)
    return results_of(files, model.kind, lambda usable: explain_match(model, usable, match, out))
