"""`keras-fvvae train`"""

from pathlib import Path

import click
from keras_fvvae.tools.console import load_tensorflow_quietly, parse_settings, print_results

from keras_fvvae.recipes import DATASETS


@click.command("train", short_help="Train a recipe on images or videos.")
@click.argument("recipe", default="image_folder")
@click.option(
    "--data", type=click.Path(),
    help="Folder with one sub-folder of images or videos per class (or train/ and test/ of those), a copy of UCF101, "
    "ActivityNet or CUB-200-2011, or a CSV or JSON-lines list.",
)  # fmt: skip
@click.option("--dataset", type=click.Choice(DATASETS), help="Kind of the data instead of the recipe's.")
@click.option(
    "--data-option", "dataset_options", multiple=True, callback=parse_settings, metavar="KEY=VALUE",
    help="Argument of the data set's loader, such as split=2, boxes=true or annotations=DIR. Repeatable.",
)  # fmt: skip
@click.option(
    "--common-classes", is_flag=True,
    help="Keep only classes with both training and test items, for a partial copy of a data set.",
)  # fmt: skip
@click.option("--out", type=click.Path(), help="Run folder to write or continue. Default: runs/RECIPE.")
@click.option("--backbone", help="Backbone, such as VGG19 or MobileNetV2 (default tap unless --tap is given).")
@click.option("--tap", help="Layer whose activations are encoded, such as conv5_4, pool5, res5c or a Keras layer name.")
@click.option("--backbone-weights", default="imagenet", show_default=True, help="imagenet, a weight file, or none.")
@click.option(
    "--backbone-option", "backbone_options", multiple=True, callback=parse_settings, metavar="KEY=VALUE",
    help="Argument of the Keras Applications function, such as alpha=0.35. Repeatable.",
)  # fmt: skip
@click.option("--input-size", type=click.IntRange(1), help="Side of the square input in pixels.")
@click.option(
    "--set", "settings", multiple=True, callback=parse_settings, metavar="KEY=VALUE",
    help="Any key of the recipe, such as steps=300, latent_dim=127 or lambda3=0 (FV-VAE minus). Repeatable.",
)  # fmt: skip
@click.option(
    "--cache", type=click.Path(), help="Folder of cached activations. Default: ~/.cache/keras_fvvae/activations."
)
@click.option(
    "--max-unreadable", default=0.1, show_default=True, type=click.FloatRange(0, 1),
    help="Largest share of unusable files to accept.",
)  # fmt: skip
@click.option(
    "--pretrain", type=click.Path(),
    help="Folder of images or videos for a training without labels (FV-VAE minus) first; its run is OUT_pretraining.",
)  # fmt: skip
@click.option("--init", type=click.Path(), help="Run to start from, such as one without labels on other data.")
@click.option("--overwrite", is_flag=True, help="Replace a run of other settings in the same folder.")
@click.option(
    "--strategy", type=click.Choice(["none", "mirrored", "multiworker"]), default="none", show_default=True,
    help="Devices that share every step: one; all GPUs of this machine; or those of all machines that the environment "
    "variable TF_CONFIG names, on each of which this command is started.",
)  # fmt: skip
def command(
    recipe, data, dataset, dataset_options, common_classes, out, backbone, tap, backbone_weights, backbone_options,
    input_size, settings, cache, max_unreadable, pretrain, init, overwrite, strategy,
):  # fmt: skip
    """Train RECIPE (an entry of `keras-fvvae zoo list` or a YAML file; default image_folder) and evaluate it.

    The activations of a frozen backbone are computed once and cached. Stopped with Ctrl-C or killed, the same command
    continues where it was.
    """
    overrides = {
        **({"dataset": dataset} if dataset else {}),
        **({"backbone": backbone, "tap": None} if backbone else {}),
        **({"tap": tap} if tap else {}),
        **({"backbone_options": backbone_options} if backbone_options else {}),
        **({"input_size": [input_size, input_size]} if input_size else {}),
        **settings,
    }
    from keras_fvvae.recipes import load_recipe

    recipe = load_recipe(recipe, **overrides)
    if dataset_options:
        recipe = recipe.replace(dataset_options={**recipe.dataset_options, **dataset_options})
    load_tensorflow_quietly()
    from keras_fvvae.training.strategies import open_workers

    if strategy == "multiworker":
        click.echo("Waiting for all workers of TF_CONFIG.", err=True)
    workers = open_workers(strategy)
    if workers:
        click.echo(workers.describe(recipe.batch_size), err=True)
    from keras_fvvae.reporting.report import write_report
    from keras_fvvae.runs.datasets import recipe_collection
    from keras_fvvae.training.train import train

    collection = recipe_collection(recipe, data, common_classes)
    for note in collection.notes:
        click.echo(f"Note: {note}", err=True)
    out = Path(out or Path("runs") / recipe.name)
    if data is not None and Path(data).is_dir() and Path(data).resolve() in (out.resolve(), *out.resolve().parents):
        raise click.UsageError(f"--out {out} lies inside --data {data}: its figures would become training images.")
    weights = None if backbone_weights.lower() == "none" else backbone_weights
    if pretrain:
        if init:
            raise click.UsageError("--pretrain and --init both say where the training starts: give one.")
        options = {"unlabelled": True}
        first = recipe.replace(lambda3=0.0, fine_tune_steps=0, dataset="folder", dataset_options=options)
        unlabelled = recipe_collection(first, pretrain)
        init = out.with_name(f"{out.name}_pretraining")
        train(
            first, unlabelled, init, backbone_weights=weights, cache=cache, overwrite=overwrite,
            max_unreadable=max_unreadable, workers=workers,
        )  # fmt: skip
    run = train(
        recipe, collection, out, backbone_weights=weights, cache=cache, overwrite=overwrite,
        max_unreadable=max_unreadable, init=init, workers=workers,
    )  # fmt: skip
    if run is None:
        click.echo(f"Done; the chief has written {out}.")
        return
    report = write_report([run.path], run.path / "report.html", collection)
    results = run.results
    print_results(results)
    for note in results.notes[len(collection.notes) :]:
        click.echo(f"Note: {note}", err=True)
    if results.skipped:
        click.echo(f"{results.skipped} {collection.kind}s could not be used; see {run.path / 'skipped.csv'}.", err=True)
    click.echo(f"Run: {run.path}\nReport: {report}")
