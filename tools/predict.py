"""`keras-fvvae predict`"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import click
from keras_fvvae.tools.common.checks import require_runs
from keras_fvvae.tools.common.commands import Command
from keras_fvvae.tools.common.console import load_tensorflow_quietly, say
from keras_fvvae.tools.common.options import coverage_option, json_option
from keras_fvvae.tools.common.types import RUN


@click.command("predict", cls=Command, short_help="Classify images or videos with a trained run.")
@click.argument("paths", nargs=-1, required=True, type=RUN, metavar="[RUN] FILE...")
@click.option("--server", metavar="URL", help="Ask a server (keras-fvvae serve, TensorFlow Serving) instead of a RUN.")
@click.option("--model", help="Name of the server's model. Default: the only one.")
@click.option("--top-k", default=5, show_default=True, type=click.IntRange(1), help="Labels per file.")
@coverage_option
@json_option
def command(
    paths: tuple[str, ...], server: str | None, model: str | None, top_k: int, coverage: float | None, as_json: bool
) -> None:
    """Classify FILEs (images, or videos for a run on videos) with the finished RUN, or with --server. Of a folder,
    everything below it is classified; a folder of numbered frames is a video.

    Of a calibrated run each label has its probability and, in brackets, its score; of others the score alone, a
    decision value of the SVM.

    Files that cannot be read are reported and the rest is done; the exit code is 1 if no file could be read.
    """
    if server and coverage:
        raise click.UsageError("A --server answers as it was exported: give --coverage to `keras-fvvae export`.")
    if server:
        results = _ask_server(server, model, paths, top_k)
    else:
        run, *files = paths
        if not files:
            raise click.UsageError("Name a RUN and at least one FILE, or a --server.")
        require_runs([run])
        results = _ask_run(run, files, top_k, coverage)
    read = 0
    for result in results:
        read += "error" not in result
        if as_json:
            click.echo(json.dumps(result, ensure_ascii=False))
        elif "error" in result:
            say(f"{result['file']}: {result['error']}")
        else:
            click.echo(f"{result['file']}: {_text(result)}")
    sys.exit(0 if read else 1)


def _text(result: dict) -> str:
    """Labels with their probabilities, where there are any, and scores."""
    shares = (f" {share:.0%}" for share in result["probabilities"]) if "probabilities" in result else repeat("")
    rows = zip(result["labels"], shares, result["scores"], strict=False)
    text = ", ".join(f"{label}{share} ({score:+.2f})" for label, share, score in rows)
    return f"none of these; {text}" if "answer" in result and result["answer"] is None else text


def _ask_run(run: str, files: list[str], top_k: int, coverage: float | None) -> Iterator[dict]:
    load_tensorflow_quietly()
    from keras_fvvae.runs.folder import RunFolder
    from keras_fvvae.tasks.files import results_of
    from keras_fvvae.tasks.predict import predict

    opened = RunFolder.open(run)
    if opened.calibration is None:
        say(f"{run}: {opened.calibration_note}")
    return results_of(files, opened.kind, lambda usable: predict(run, usable, top_k, coverage))


def _ask_server(server: str, model: str | None, paths: tuple[str, ...], top_k: int) -> Iterator[dict]:
    from keras_fvvae.serving.client import Client

    with Client(server, model) as client:
        if not any(Path(path).is_dir() for path in paths):
            yield from client.classify(paths, top_k)
            return
        # Only where folders are to be searched: their reader comes with TensorFlow.
        load_tensorflow_quietly()
        from keras_fvvae.tasks.files import results_of

        inputs = client.signatures().get("serving_default", {"inputs": ()})["inputs"]
        kind = "video" if "frames" in inputs else "image"
        yield from results_of(paths, kind, lambda usable: client.classify(usable, top_k))
