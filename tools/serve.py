"""`keras-fvvae serve`"""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from keras_fvvae.tools.common.checks import require_files
from keras_fvvae.tools.common.commands import Command, section
from keras_fvvae.tools.common.console import load_tensorflow_quietly

from keras_fvvae.errors import RunError

if TYPE_CHECKING:
    from keras_fvvae.serving import ModelConfig, Server, ServerSettings

_PORT = click.IntRange(0, 65535)
_address_options = section(
    "Address",
    click.option("--host", default="127.0.0.1", show_default=True, help="To listen on; 0.0.0.0 or :: for all."),
    click.option(
        "--allowed-host", "allowed_hosts", multiple=True, help="Further name of the server in `Host`; can be repeated."
    ),
    click.option(
        "--port", default=8501, show_default=True, type=_PORT, help="Of REST, the page and the metrics; 0: a free one."
    ),
    click.option(
        "--grpc-port", type=_PORT, help="Of gRPC; 0: a free one. Default: 8500 where the extra grpc is installed."
    ),
)
_batching_options = section(
    "Batching",
    click.option(
        "--max-batch-size", default=32, show_default=True, type=click.IntRange(1), help="Images computed at once."
    ),
    click.option(
        "--batch-timeout-ms",
        default=2.0,
        show_default=True,
        type=click.FloatRange(0),
        help="Time that requests wait for others.",
    ),
    click.option("--workers", type=click.IntRange(1), help="Batches at the same time. Default: the number of cores."),
)
_limit_options = section(
    "Limits",
    click.option(
        "--max-queued",
        default=1024,
        show_default=True,
        type=click.IntRange(1),
        help="Images that wait; more are refused with 503.",
    ),
    click.option(
        "--max-request-mb",
        default=64,
        show_default=True,
        type=click.IntRange(1),
        help="Size of a request in MiB; more gets 413.",
    ),
    click.option(
        "--max-response-mb",
        default=64,
        show_default=True,
        type=click.IntRange(1),
        help="Size of an answer in MiB; more gets 400.",
    ),
    click.option(
        "--max-megapixels",
        default=50.0,
        show_default=True,
        type=click.FloatRange(0, min_open=True),
        help="Pixels of an image, in millions; more gets 400.",
    ),
    click.option("--max-frames", default=128, show_default=True, type=click.IntRange(1), help="Frames of a video."),
    click.option(
        "--max-neighbours",
        default=10_000,
        show_default=True,
        type=click.IntRange(1),
        help="Neighbours of an answer, of all its queries; more gets 400.",
    ),
    click.option(
        "--timeout",
        default=60.0,
        show_default=True,
        type=click.FloatRange(0, min_open=True),
        help="Seconds for an answer; after them 504.",
    ),
    click.option(
        "--stop-timeout",
        default=30.0,
        show_default=True,
        type=click.FloatRange(0),
        help="Seconds to finish in after SIGTERM.",
    ),
)


_search_options = section(
    "Search",
    click.option(
        "--index",
        "indexes",
        multiple=True,
        metavar="[NAME=]INDEX",
        help="Folder that keras-fvvae index wrote with the exported run, for :search; NAME with --config.",
    ),
    click.option("--no-pictures", is_flag=True, help="Do not read the files of the index: no pictures of neighbours."),
)


@click.command("serve", cls=Command, short_help="Serve an exported model over REST and gRPC, with a web page.")
@click.argument("directory", required=False, type=click.Path())
@click.option("--name", help="Name of the model. Default: that of the folder.")
@click.option(
    "--verify-ops", is_flag=True, help="Refuse SavedModels with operations that no export of keras_fvvae holds."
)
@click.option("--config", type=click.Path(), help="A models.config of TensorFlow Serving, instead of DIRECTORY.")
@_address_options
@_batching_options
@_limit_options
@_search_options
def command(
    directory: str | None, name: str | None, config: str | None, indexes: tuple[str, ...], **options: Any
) -> None:
    """Serve DIRECTORY, the parent of the version folders that `keras-fvvae export` writes, by TensorFlow Serving's
    protocols: REST at /v1/models/NAME, gRPC, Prometheus metrics, and a web page at /. New versions are taken over while
    requests go on. DIRECTORY can be a run, a pack or an entry with trained weights too, whose export with its defaults
    is then kept in the cache. With --index, /v1/models/NAME:search and the page answer with the most similar items.
    SIGTERM and Ctrl+C let running requests finish."""
    if (directory is None) == (config is None):
        raise click.UsageError("Give either DIRECTORY or --config.")
    trained = directory is not None and _is_trained(directory)
    if directory is not None and not trained and not Path(directory).is_dir():
        raise RunError(f"There is no folder {directory}. Serve what `keras-fvvae export` wrote to its --out.")
    require_files(config)
    if config is None and len(indexes) > 1:
        raise click.UsageError("A model has one --index.")
    from keras_fvvae.serving import ModelConfig, Server, read_models_config

    if config is not None:
        models = read_models_config(config)
    else:
        models = [ModelConfig(name or Path(directory).absolute().name, directory)]
    models = _with_indexes(models, indexes, config is not None)
    load_tensorflow_quietly()
    if trained:
        from keras_fvvae.tasks.exported import exported

        own_name, folder = exported(directory)
        models = [dataclasses.replace(models[0], name=name or own_name, base_path=str(folder))]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    Server(models, _settings(**options)).run(on_start=_announce)
    # Everything is answered and closed. To take TensorFlow apart would take a busy machine seconds more.
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


def _is_trained(source: str) -> bool:
    """Whether it is a run, a pack or the name of an entry rather than the folder of an export."""
    from keras_fvvae.zoo import packs
    from keras_fvvae.zoo.remote.addresses import is_url

    if Path(source).is_dir():
        return any((Path(source) / name).is_file() for name in (packs.RECIPE, packs.INDEX))
    return is_url(source) or packs.is_entry_name(source)


def _with_indexes(models: list[ModelConfig], indexes: tuple[str, ...], named: bool) -> list[ModelConfig]:
    """The models with their indexes, which are opened: damaged ones are refused here."""
    if not indexes:
        return models
    from keras_fvvae.search.index import Index

    folders = dict(text.partition("=")[::2] for text in indexes) if named else {models[0].name: indexes[0]}
    for name, folder in folders.items():
        if name not in {model.name for model in models} or not folder:
            raise click.UsageError(f"--index {name}={folder} names no model of --config: give NAME=INDEX.")
    require_files(*folders.values())
    return [
        dataclasses.replace(model, index=Index.open(folders[model.name])) if model.name in folders else model
        for model in models
    ]


def _settings(**options: Any) -> ServerSettings:
    from keras_fvvae.serving import ServerSettings

    host = options.pop("host").removeprefix("[").removesuffix("]")  # as in a URL
    return ServerSettings(
        host=host,
        batch_timeout=options.pop("batch_timeout_ms") / 1000,
        max_request_bytes=options.pop("max_request_mb") << 20,
        max_response_bytes=options.pop("max_response_mb") << 20,
        max_pixels=int(options.pop("max_megapixels") * 1_000_000),
        max_images=options.pop("max_frames"),
        request_timeout=options.pop("timeout"),
        verify_operations=options.pop("verify_ops"),
        pictures=not options.pop("no_pictures"),
        **{key: value for key, value in options.items() if value is not None},
    )


def _announce(server: Server) -> None:
    rpc = (
        'none: pip install "keras_fvvae[grpc]"' if server.grpc_url is None else server.grpc_url.removeprefix("grpc://")
    )
    click.echo(f"Page {server.url}/  REST {server.url}/v1/models/  gRPC {rpc}")
    indexes = server.engine.searches.described()
    for name in server.engine.repository.models:
        searched = f", searched in {indexes[name]['items']:,} {indexes[name]['kind']}s" if name in indexes else ""
        click.echo(f"Model {name}{searched}")
