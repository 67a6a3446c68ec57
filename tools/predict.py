"""`keras-fvvae predict`"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import repeat

import click
from keras_fvvae.tools.common.checks import require_run_or_pack
from keras_fvvae.tools.common.commands import Command
from keras_fvvae.tools.common.console import load_tensorflow_quietly, say
from keras_fvvae.tools.common.options import coverage_option, json_option, model_option, server_option
from keras_fvvae.tools.common.servers import ask_server
from keras_fvvae.tools.common.types import RUN

from keras_fvvae.tasks.answers import require_suffix, write_answers


@click.command("predict", cls=Command, short_help="Classify images or videos with a trained run.")
@click.argument("paths", nargs=-1, required=True, type=RUN, metavar="[RUN] FILE...")
@server_option
@model_option
@click.option("--top-k", default=5, show_default=True, type=click.IntRange(1), help="Labels per file.")
@click.option("--out", type=click.Path(), help="Write to this file, .csv or .jsonl, instead.")
@coverage_option
@json_option
def command(
    paths: tuple[str, ...],
    server: str | None,
    model: str | None,
    top_k: int,
    out: str | None,
    coverage: float | None,
    as_json: bool,
) -> None:
    """Classify FILEs (images, or videos for a model of videos) with RUN, a finished run, a published pack or an entry
    with trained weights, or with --server. Of a folder, everything below it is classified; a folder of numbered
    frames is a video. FILE can be a pattern in quotes, such as "photos/**/*.jpg", or a list: .txt with a path a
    line, .csv or .jsonl with `file`.

    Of a calibrated model each label has its probability and, in brackets, its score; of others the score alone, a
    decision value of the SVM. Files that a run was trained on are marked as seen in training: by their content, or,
    where an older RUN did not note it, by their path.

    Files that cannot be read are reported and the rest is done; the exit code is 1 if no file could be read.
    """
    if server and coverage:
        raise click.UsageError("A --server answers as it was exported: give --coverage to `keras-fvvae export`.")
    if out:
        require_suffix(out)
    if server:
        results = ask_server(server, model, paths, lambda client, files: client.classify(files, top_k), bool(out))
    else:
        run, *files = paths
        if not files:
            raise click.UsageError("Name a RUN and at least one FILE, or a --server.")
        require_run_or_pack(run)
        results = _ask_run(run, files, top_k, coverage, verbose=bool(out))
    if out:
        results = write_answers(results, out)
    read = seen = 0
    for result in results:
        read += "error" not in result
        seen += bool(result.get("seen_in_training"))
        if out and "error" not in result:
            continue
        if as_json and not out:
            click.echo(json.dumps(result, ensure_ascii=False))
        elif "error" in result:
            say(f"{result['file']}: {result['error']}")
        else:
            told = "  [seen in training]" if result.get("seen_in_training") else ""
            click.echo(f"{result['file']}: {_text(result)}{told}")
    if out:
        click.echo(f"{read:,} files: {out}" + (f"; {seen:,} of them seen in training" if seen else ""))
    sys.exit(0 if read else 1)


def _text(result: dict) -> str:
    """Labels with their probabilities, where there are any, and scores."""
    shares = (f" {share:.0%}" for share in result["probabilities"]) if "probabilities" in result else repeat("")
    rows = zip(result["labels"], shares, result["scores"], strict=False)
    text = ", ".join(f"{label}{share} ({score:+.2f})" for label, share, score in rows)
    return f"none of these; {text}" if "answer" in result and result["answer"] is None else text


def _ask_run(run: str, files: list[str], top_k: int, coverage: float | None, verbose: bool) -> Iterator[dict]:
    load_tensorflow_quietly()
    from keras_fvvae.tasks.files import results_of
    from keras_fvvae.tasks.predict import predict
    from keras_fvvae.tasks.seen import SeenItems
    from keras_fvvae.zoo.sources import open_reading

    model = open_reading(run)
    seen = None  # packs and entries do not tell their training items
    if model.run is not None:
        seen = SeenItems.of_run(model.run)
        if model.run.calibration is None:
            say(f"{run}: {model.run.calibration_note}")
    for result in results_of(files, model.kind, lambda usable: predict(model, usable, top_k, coverage), verbose):
        known = {} if seen is None or "error" in result else {"seen_in_training": seen.how(result["file"])}
        yield {**result, **known}
