"""`keras-fvvae encode`"""

import sys

import click
from keras_fvvae.tools.console import load_tensorflow_quietly

from keras_fvvae.recipes import DATASETS

# Lines of each kind that are printed; failed.csv has all.
SHOWN = 10


@click.command("encode", short_help="Vectors of very many images or videos, in processes, shards or on Beam.")
@click.argument("run", type=click.Path())
@click.argument("data", type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="Folder of the vectors; several calls may share it.")
@click.option("--raw", is_flag=True, help="Raw vectors, which add up, instead of normalised ones.")
@click.option("--dtype", default="float32", show_default=True, type=click.Choice(("float32", "float16")))
@click.option("--shard", "shard_text", metavar="I/N", help="Only the I-th of N parts of the data, from 1/N to N/N.")
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1), help="On this machine.")
@click.option("--runner", help="Apache Beam's DirectRunner, FlinkRunner, SparkRunner, DataflowRunner, ...")
@click.option(
    "--beam-option", "beam_options", multiple=True, metavar="--KEY=VALUE", help="Option of the pipeline. Repeatable."
)
@click.option("--retry-failed", is_flag=True, help="Try again what is in the list of failures.")
@click.option("--merge", multiple=True, type=click.Path(), help="First take over this output folder. Repeatable.")
@click.option("--verify", is_flag=True, help="Encode nothing: check what is stored. Exit code 1 if items are missing.")
@click.option(
    "--shards", type=click.IntRange(1), metavar="N", help="With --verify: which of N shards are not complete."
)
@click.option("--kind", default="auto", show_default=True, type=click.Choice(("auto", "image", "video")))
@click.option("--dataset", type=click.Choice(DATASETS), help="Layout of DATA. Default: all files below it, or a list.")
def command(
    run, data, out, raw, dtype, shard_text, processes, runner, beam_options, retry_failed, merge, verify, shards, kind,
    dataset,
):  # fmt: skip
    """Encode the images or videos in DATA (a folder or a list; labels are not needed) with RUN, a finished run or a
    published pack, and store the vectors in --out.

    What is stored is skipped: repeat a call that was stopped. Items that cannot be encoded are listed in failed.csv
    and not tried again, unless by --retry-failed. The exit code is 1 if nothing could be encoded.
    """
    if shards and not verify:
        raise click.UsageError("--shards counts what is missing and belongs to --verify; to encode a part: --shard.")
    if beam_options and not runner:
        raise click.UsageError("--beam-option belongs to --runner.")
    from keras_fvvae.encoding.items import parse_shard

    shard = parse_shard(shard_text) if shard_text else None
    load_tensorflow_quietly()
    from keras_fvvae.encoding.extraction import Extraction, require_beam

    if runner:
        require_beam()
    extraction = Extraction(run, data, out, raw, dtype, shard, kind, dataset)
    for folder in merge:
        extraction.output.merge(folder)
    if verify:
        summary = extraction.summary(shards or 1, check=True)
    else:
        summary = extraction.run(processes, retry_failed, runner, beam_options)
    _print(summary, shards)
    unusable = summary.items and not summary.stored
    sys.exit(1 if unusable or not summary.complete else 0)


def _print(summary, shards):
    click.echo(
        f"{summary.stored:,} of {summary.items:,} items are stored in {summary.path}; {len(summary.failed):,} failed, "
        f"{len(summary.missing):,} are missing"
    )
    incomplete = {number: count for number, count in summary.shards.items() if count}
    if shards and incomplete:
        listed = ", ".join(f"{number}/{shards} ({count:,} missing)" for number, count in incomplete.items())
        click.echo(f"Incomplete shards: {listed}")
    if summary.others:
        click.echo(f"{summary.others:,} more vectors are stored, of items of other shards or that are not in the data")
    _print_part("failed (all are in failed.csv)", [f"{name}: {reason}" for name, reason in summary.failed.items()])
    _print_part("are encoded as far as they can be read", [f"{name}: {note}" for name, note in summary.damaged.items()])
    _print_part("missing", summary.missing)


def _print_part(title, lines):
    if lines:
        click.echo(f"{len(lines):,} {title}:", err=True)
        for line in [*lines[:SHOWN], *(["..."] if len(lines) > SHOWN else [])]:
            click.echo(f"  {line}", err=True)
