"""`keras-fvvae predict`"""

import json
import sys

import click
from keras_fvvae.tools.console import load_tensorflow_quietly


@click.command("predict", short_help="Classify images or videos with a trained run.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="[RUN] FILE...")
@click.option("--server", metavar="URL", help="Ask a server (keras-fvvae serve, TensorFlow Serving) instead of a RUN.")
@click.option("--model", help="Name of the server's model. Default: the only one.")
@click.option("--top-k", default=5, show_default=True, type=click.IntRange(1), help="Labels per file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line instead of a table.")
def command(paths, server, model, top_k, as_json):
    """Classify FILEs (images, or videos for a run on videos) with the finished RUN, or with --server.

    Scores are decision values of the SVM, not probabilities.

    Files that cannot be read are reported and the rest is done; the exit code is 1 if no file could be read.
    """
    if server:
        from keras_fvvae.serving.client import predict_on_server

        results = predict_on_server(server, list(paths), top_k, model)
    else:
        run, *files = paths
        if not files:
            raise click.UsageError("Name a RUN and at least one FILE, or a --server.")
        load_tensorflow_quietly()
        from keras_fvvae.tasks.predict import predict

        results = predict(run, files, top_k)
    read = 0
    for result in results:
        read += "error" not in result
        if as_json:
            click.echo(json.dumps(result, ensure_ascii=False))
        elif "error" in result:
            click.echo(f"{result['file']}: {result['error']}", err=True)
        else:
            pairs = zip(result["labels"], result["scores"], strict=True)
            click.echo(f"{result['file']}: " + ", ".join(f"{label} ({score:+.2f})" for label, score in pairs))
    sys.exit(0 if read else 1)
