"""`keras-fvvae encode`"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

import click
from keras_fvvae.tools.common.checks import require_run_or_pack
from keras_fvvae.tools.common.commands import Command, section
from keras_fvvae.tools.common.console import load_tensorflow_quietly, print_list
from keras_fvvae.tools.common.options import data_option, dataset_option, kind_option, processes_option
from keras_fvvae.tools.common.types import RUN

from keras_fvvae.features.formats import FORMATS, require
from keras_fvvae.runs.requirements import require_data

if TYPE_CHECKING:
    from keras_fvvae.encoding.output import Summary

_data_options = section(
    "Data",
    click.option(
        "--data",
        required=True,
        type=click.Path(),
        help="Folder or list of images or videos, or a data set; tar files or a store, such as s3://BUCKET/FOLDER.",
    ),
    dataset_option("Layout of the data. Default: all files, or a list."),
    data_option,
    kind_option,
)
_division_options = section(
    "Division of the work",
    processes_option,
    click.option("--shard", "shard_text", metavar="I/N", help="Only the I-th of N parts of the data, from 1/N to N/N."),
    click.option("--runner", help="Apache Beam's DirectRunner, FlinkRunner, SparkRunner, DataflowRunner, ..."),
    click.option(
        "--beam-option", "beam_options", multiple=True, metavar="--KEY=VALUE", help="Of the pipeline. Repeatable."
    ),
    click.option(
        "--engine",
        default="processes",
        show_default=True,
        type=click.Choice(("processes", "ray")),
        help="Processes of this machine (or Beam's, with --runner), or workers on Ray.",
    ),
    click.option("--ray-address", metavar="ADDRESS", help="auto or HOST:PORT of a cluster. Default: this machine."),
    click.option("--ray-cpus", type=click.IntRange(1), help="Of a worker on Ray. Default: 4, or all of a machine."),
)
_store_options = section(
    "What is stored",
    click.option("--retry-failed", is_flag=True, help="Try again what is in the list of failures."),
    click.option(
        "--merge",
        multiple=True,
        type=click.Path(),
        help="First take over this output folder, or a store's. Repeatable.",
    ),
    click.option(
        "--copy-to", metavar="URL", help="Then copy to a folder of a store, such as s3://BUCKET/VECTORS, what it lacks."
    ),
    click.option("--verify", is_flag=True, help="Encode nothing: check what is there. Exit code 1: some are missing."),
    click.option(
        "--shards", type=click.IntRange(1), metavar="N", help="With --verify: which of N shards are not complete."
    ),
)


@click.command("encode", cls=Command, short_help="Vectors of very many images or videos: processes, shards, Beam, Ray.")
@click.argument("run", type=RUN)
@_data_options
@click.option("--out", required=True, type=click.Path(), help="Folder of the vectors; several calls may share it.")
@click.option("--raw", is_flag=True, help="Raw vectors, which add up, instead of normalised ones.")
@click.option("--dtype", default="float32", show_default=True, type=click.Choice(("float32", "float16")))
@click.option(
    "--format",
    "form",
    default="npy",
    show_default=True,
    type=click.Choice(("npy", *FORMATS)),
    help="Besides the store of .npy files, which is always written: one file of ids, labels and vectors.",
)
@click.option(
    "--decoder",
    type=click.Choice(("exact", "fast")),
    help="Of images, instead of the training's: fast reads large JPEG files at the smallest scale that suffices.",
)
@_division_options
@_store_options
def command(
    run: str,
    data: str,
    dataset: str | None,
    dataset_options: dict[str, Any],
    kind: str,
    out: str,
    raw: bool,
    dtype: str,
    form: str,
    decoder: str | None,
    shard_text: str | None,
    verify: bool,
    merge: tuple[str, ...],
    copy_to: str | None,
    shards: int | None,
    **work: Any,
) -> None:
    """Encode images or videos (a folder or a list; labels are not needed) with RUN, a finished run or a published
    pack, and store the vectors in --out.

    What is stored is skipped: repeat a call that was stopped. Items that cannot be encoded are listed in failed.csv
    and not tried again, unless by --retry-failed. The exit code is 1 if nothing could be encoded.

    keras_fvvae.features.open reads --out and every --format. Labels go along where the data have them: those of a
    list, and of what --dataset names.
    """
    if form != "npy":
        if verify:
            raise click.UsageError("--verify writes nothing: leave out --format.")
        require(form)
    if verify and copy_to:
        raise click.UsageError("--verify writes nothing: leave out --copy-to.")
    if shards and not verify:
        raise click.UsageError("--shards counts what is missing and belongs to --verify; to encode a part: --shard.")
    if work["beam_options"] and not work["runner"]:
        raise click.UsageError("--beam-option belongs to --runner.")
    if work["engine"] == "ray" and (work["runner"] or work["processes"] != 1):
        raise click.UsageError("--runner and --processes are not of --engine ray: its workers are as many as fit.")
    if work["engine"] != "ray" and (work["ray_address"] or work["ray_cpus"]):
        raise click.UsageError("--ray-address and --ray-cpus belong to --engine ray.")
    work = {key: value for key, value in work.items() if value is not None}
    if dataset_options and not dataset:
        raise click.UsageError("--data-option is of a data set's layout: name it by --dataset.")
    from keras_fvvae.encoding.items import is_stored, parse_shard

    shard = parse_shard(shard_text) if shard_text else None
    require_run_or_pack(run)
    if dataset or not is_stored(data):
        require_data(data, dataset)
    load_tensorflow_quietly()
    from keras_fvvae.encoding import store_copies
    from keras_fvvae.encoding.extraction import Extraction, require_beam, require_ray
    from keras_fvvae.zoo.remote.addresses import is_url

    if work.get("runner"):
        require_beam()
    if work["engine"] == "ray":
        require_ray()
    extraction = Extraction(run, data, out, raw, dtype, shard, kind, dataset, dataset_options, decoder=decoder)
    if copy_to:
        store_copies.require_same_encoding(extraction.output, copy_to)
    for folder in merge:
        with store_copies.taken_over(folder) if is_url(folder) else contextlib.nullcontext(folder) as taken:
            extraction.output.merge(taken)
    summary = extraction.summary(shards or 1, check=True) if verify else extraction.run(**work)
    _print(summary, shards)
    if copy_to:
        click.echo(f"{store_copies.copy_to(extraction.output, copy_to):,} files were copied to {copy_to}")
    if form != "npy" and summary.stored:
        click.echo(f"Vectors: {extraction.write(form)}")
    unusable = summary.items and not summary.stored
    sys.exit(1 if unusable or not summary.complete else 0)


def _print(summary: Summary, shards: int | None) -> None:
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
    failed, damaged = (
        [f"{name}: {reason}" for name, reason in each.items()] for each in (summary.failed, summary.damaged)
    )
    print_list("failed", failed, " (failed.csv has all)", err=True)
    print_list("are encoded as far as they can be read", damaged, err=True)
    print_list("missing", summary.missing, err=True)
