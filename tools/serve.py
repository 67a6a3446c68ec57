"""`keras-fvvae serve`"""

import logging

import click
from keras_fvvae.tools.console import load_tensorflow_quietly


@click.command("serve", short_help="Serve an exported model over REST and gRPC, with a web page.")
@click.argument("directory", required=False, type=click.Path())
@click.option("--name", help="Name of the model. Default: that of the folder.")
@click.option("--config", type=click.Path(), help="A models.config of TensorFlow Serving, instead of DIRECTORY.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option(
    "--port", default=8501, show_default=True, help="Port of REST, the page and the metrics; 0 for a free one."
)
@click.option("--grpc-port", default=8500, show_default=True, help="Port of gRPC; 0 for a free one.")
@click.option("--max-batch-size", default=32, show_default=True, help="Images that are computed at once.")
@click.option("--batch-timeout-ms", default=2.0, show_default=True, help="Time that requests wait for others.")
@click.option("--workers", type=int, help="Batches at the same time. Default: the number of cores.")
@click.option("--max-queued", default=1024, show_default=True, help="Images that wait; more are refused with 503.")
@click.option("--max-request-mb", default=64, show_default=True, help="Size of a request in MiB; more gets 413.")
@click.option("--max-response-mb", default=64, show_default=True, help="Size of an answer in MiB; more gets 400.")
@click.option(
    "--allowed-host", "allowed_hosts", multiple=True, help="Further name of the server in `Host`; can be repeated."
)
@click.option(
    "--max-megapixels", default=50.0, show_default=True, help="Pixels of an image, in millions; more gets 400."
)
@click.option("--max-frames", default=128, show_default=True, help="Frames of a video.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds for an answer; after them 504.")
@click.option("--stop-timeout", default=30.0, show_default=True, help="Seconds to finish in after SIGTERM.")
def command(directory, name, config, **options):
    """Serve DIRECTORY, the parent of the version folders that `keras-fvvae export` writes, by TensorFlow Serving's
    protocols: REST at /v1/models/NAME, gRPC, Prometheus metrics, and a web page at /. New versions are taken over while
    requests go on. SIGTERM and Ctrl+C let running requests finish."""
    if (directory is None) == (config is None):
        raise click.UsageError("Give either DIRECTORY or --config.")
    load_tensorflow_quietly()
    from pathlib import Path

    from keras_fvvae.serving import ModelConfig, Server, ServerSettings, read_models_config

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if config is not None:
        models = read_models_config(config)
    else:
        models = [ModelConfig(name or Path(directory).absolute().name, directory)]
    Server(models, _settings(ServerSettings, **options)).run(on_start=_announce)


def _settings(settings, **options):
    return settings(
        batch_timeout=options.pop("batch_timeout_ms") / 1000,
        max_request_bytes=options.pop("max_request_mb") << 20,
        max_response_bytes=options.pop("max_response_mb") << 20,
        max_pixels=int(options.pop("max_megapixels") * 1_000_000),
        max_images=options.pop("max_frames"),
        request_timeout=options.pop("timeout"),
        **{key: value for key, value in options.items() if value is not None},
    )


def _announce(server):
    click.echo(f"Page {server.url}/  REST {server.url}/v1/models/  gRPC {server.grpc_url.removeprefix('grpc://')}")
    for name in server.engine.repository.models:
        click.echo(f"Model {name}")
