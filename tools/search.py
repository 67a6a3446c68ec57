"""`keras-fvvae search`"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from keras_fvvae.tools.common.checks import require_files, require_run_or_pack
from keras_fvvae.tools.common.commands import Command, section
from keras_fvvae.tools.common.console import load_tensorflow_quietly, say
from keras_fvvae.tools.common.options import json_option, model_option, server_option
from keras_fvvae.tools.common.servers import ask_server
from keras_fvvae.tools.common.types import RUN

if TYPE_CHECKING:
    from keras_fvvae.search.index import Index

_whole_index_options = section(
    "Of the whole index, without queries",
    click.option("--evaluate", is_flag=True, help="Recall at 1 and k and mAP: every item is a query."),
    click.option(
        "--sample",
        "most_queries",
        type=click.IntRange(1),
        help="With --evaluate: a sample of so many. Default: all.",
    ),
    click.option(
        "--duplicates",
        "threshold",
        type=click.FloatRange(-1, 1, min_open=True),
        metavar="COSINE",
        help="Pairs of items at least as similar, such as 0.95; and which of them are the same file.",
    ),
)


@click.command("search", cls=Command, short_help="Find the most similar images or videos of an index.")
@click.argument("files", nargs=-1, type=click.Path(), metavar="[QUERY]...")
@click.option("--index", "folder", type=click.Path(), help="Folder that keras-fvvae index wrote.")
@server_option
@model_option
@click.option("-k", "k", default=10, show_default=True, type=click.IntRange(1), help="Neighbours per query.")
@click.option("--run", type=RUN, help="Where the run, pack or entry of the index is now. Default: where it was.")
@click.option("--approximate", is_flag=True, help="Quick: most of the nearest. The index needs a graph.")
@json_option
@_whole_index_options
def command(
    files: tuple[str, ...],
    folder: str | None,
    server: str | None,
    model: str | None,
    k: int,
    run: str | None,
    approximate: bool,
    as_json: bool,
    evaluate: bool,
    most_queries: int | None,
    threshold: float | None,
) -> None:
    """Find the items of an index that are most similar to QUERY (images, or videos where the index is of videos;
    folders are searched), by the cosine of their vectors.

    The search is exact, unless --approximate. A query is encoded by the index's model; any other is refused. With
    --server, that which a server searches (keras-fvvae serve --index) is asked instead of --index.

    Files that cannot be read are reported and the rest is done; the exit code is 1 if no file could be read.
    """
    if sum((bool(files), evaluate, threshold is not None)) != 1:
        raise click.UsageError("Name files to search for, or --evaluate, or --duplicates.")
    if most_queries and not evaluate:
        raise click.UsageError("--sample is of --evaluate.")
    if (folder is None) == (server is None):
        raise click.UsageError("Give either --index or --server.")
    if folder is None:
        if not files or run or approximate:
            raise click.UsageError("A --server searches for files, exactly, by its own model: give it QUERY and -k.")
        results = ask_server(server, model, files, lambda client, usable: client.search(usable, k))
        sys.exit(_print(results, as_json))
    require_files(folder)
    from keras_fvvae.search.index import Index

    if evaluate:
        _evaluate(Index.open(folder), k, most_queries, as_json)
    elif threshold is not None:
        _duplicates(Index.open(folder), threshold, as_json)
    else:
        if run:
            require_run_or_pack(run)
        sys.exit(_print(_search(Index.open(folder), files, k, run, approximate), as_json))


def _search(index: Index, files: tuple[str, ...], k: int, run: str | None, approximate: bool) -> Iterator[dict]:
    load_tensorflow_quietly()
    from keras_fvvae.search import QueryEncoder
    from keras_fvvae.tasks.files import results_of

    encoder = QueryEncoder(index, run)
    return results_of(files, encoder.kind, lambda usable: encoder.search(usable, k, approximate))


def _print(results: Iterator[dict], as_json: bool) -> int:
    read = 0
    for result in results:
        read += "error" not in result
        if as_json:
            click.echo(json.dumps(result, ensure_ascii=False))
        elif "error" in result:
            say(f"{result['file']}: {result['error']}")
        else:
            click.echo(f"{result['file']}:")
            for number, neighbour in enumerate(result["neighbours"], start=1):
                click.echo(f"{number:4}. {_told(neighbour)}")
    return 0 if read else 1


def _told(neighbour: dict[str, Any]) -> str:
    label = f" ({neighbour['label']})" if neighbour["label"] is not None else ""
    return f"{neighbour['similarity']:.4f}  {neighbour['name']}{label}{'  the same file' * neighbour['same_file']}"


def _evaluate(index: Index, k: int, most_queries: int | None, as_json: bool) -> None:
    from keras_fvvae.search.measures import retrieval_metrics

    found = retrieval_metrics(index, sorted({1, k}), most_queries)
    if as_json:
        click.echo(json.dumps(found))
        return
    rows = {f"recall at {number}": one for number, one in found["recall"].items()} | {"mAP": found["map"]}
    for name, one in rows.items():
        click.echo(f"{name:12} {100 * one['value']:5.1f} ({100 * one['low']:.1f} to {100 * one['high']:.1f})")
    click.echo(f"%, with 95 % intervals over {found['queries']:,} queries of {len(index):,} items")


def _duplicates(index: Index, threshold: float, as_json: bool) -> None:
    from keras_fvvae.search.pairs import duplicates

    pairs, names = duplicates(index, threshold), index.items.names
    for pair in pairs:
        first, second = names[pair.first], names[pair.second]
        if as_json:
            one = {"first": first, "second": second, "similarity": pair.similarity, "same_file": pair.same_file}
            click.echo(json.dumps(one, ensure_ascii=False))
        else:
            click.echo(f"{pair.similarity:.4f}  {first}  {second}{'  the same file' * pair.same_file}")
    same = sum(pair.same_file for pair in pairs)
    if not as_json:
        click.echo(f"{len(pairs):,} pairs of {len(index):,} items, {same:,} of them the same file twice")
