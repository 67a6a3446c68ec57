"""`keras-fvvae export`"""

import click
from keras_fvvae.tools.console import load_tensorflow_quietly


@click.command("export", short_help="Write a trained run as a SavedModel.")
@click.argument("run", type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="Parent of the version folders.")
@click.option("--version", type=click.IntRange(1), help="Version number. Default: one above the highest there.")
@click.option("--top-k", default=5, show_default=True, type=click.IntRange(1), help="Labels returned per image.")
def command(run, out, version, top_k):
    """Write the finished RUN to OUT/VERSION/ with the signatures serving_default (to scores and labels) and encode (to
    Fisher vectors). The bytes of images go in, or those of frames for a run on videos. It runs without keras_fvvae and
    without Keras."""
    load_tensorflow_quietly()
    from keras_fvvae.export import export_saved_model
    from keras_fvvae.tasks.inputs import recipe_views
    from keras_fvvae.tasks.run_folder import RunFolder
    from keras_fvvae.zoo import load_classifier

    folder = RunFolder.open(run)
    classifier = load_classifier(folder.path / "model.keras")
    click.echo(export_saved_model(classifier, out, recipe_views(folder.recipe), folder.kind, version, top_k))
