"""`keras-fvvae index`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from keras_fvvae.tools.common.checks import require_run_or_pack
from keras_fvvae.tools.common.commands import Command, section
from keras_fvvae.tools.common.console import load_tensorflow_quietly, print_list
from keras_fvvae.tools.common.options import data_option, dataset_option, kind_option, processes_option
from keras_fvvae.tools.common.types import RUN

from keras_fvvae.runs.requirements import require_data

if TYPE_CHECKING:
    from keras_fvvae.encoding.output import Summary

_data_options = section(
    "Data",
    click.option("--data", required=True, type=click.Path(), help="Folder or list of images or videos, or a data set."),
    dataset_option("Layout of the data. Default: as recognised."),
    data_option,
    kind_option,
)
_encoding_options = section(
    "Encoding",
    processes_option,
    click.option(
        "--encoded", type=click.Path(), help="Output of keras-fvvae encode with RUN, whose vectors are taken."
    ),
)
_vector_options = section(
    "Vectors",
    click.option("--dtype", default="float32", show_default=True, type=click.Choice(("float32", "float16"))),
    click.option("--whiten", is_flag=True, help="Whitening PCA, fitted to these vectors and applied to queries."),
    click.option(
        "--dimension", type=click.IntRange(1), help="Of whitened vectors. Default: one for eight items, at most 512."
    ),
    click.option("--graph", is_flag=True, help="For search --approximate; needs the extra search."),
    click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the sample for --whiten."),
)


@click.command("index", cls=Command, short_help="Index images or videos by a trained model, for search.")
@click.argument("run", type=RUN)
@click.option("--out", required=True, type=click.Path(), help="Folder of the index; new.")
@_data_options
@_encoding_options
@_vector_options
def command(
    run: str,
    data: str,
    out: str,
    dataset: str | None,
    whiten: bool,
    dimension: int | None,
    graph: bool,
    **options: Any,
) -> None:
    """Encode images or videos (a folder or a list, or a data set; labels are not needed) with RUN, a finished run, a
    published pack or an entry that has trained weights, and write an index, which keras-fvvae search answers from.

    Stopped, the same command continues: vectors wait in OUT.encoding until the index is whole.
    """
    if dimension and not whiten:
        raise click.UsageError("--dimension is that of whitened vectors: it belongs to --whiten.")
    if options["dataset_options"] and not dataset:
        raise click.UsageError("--data-option is of a data set's layout: name it by --dataset.")
    require_run_or_pack(run)
    require_data(data, dataset)
    load_tensorflow_quietly()
    from keras_fvvae.search import index_data

    index = index_data(
        run, data, out, dataset=dataset, whiten=whiten, dimension=dimension, approximate=graph, tell=_tell, **options
    )
    labelled = sum(label is not None for label in index.items.labels)
    click.echo(f"{len(index):,} {index.encoding['kind']}s, {labelled:,} with a label: {index.path}")
    click.echo(f"vectors of {index.vectors.shape[1]:,} numbers, {index.vectors.dtype.name}{', whitened' * whiten}")


def _tell(summary: Summary) -> None:
    failed = [f"{name}: {reason}" for name, reason in summary.failed.items()]
    print_list("failed, and are left out", failed, err=True)
