"""`keras-fvvae train`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from keras_fvvae.tools.common import options
from keras_fvvae.tools.common.checks import default_tap, output_folder, require_files, require_outside, require_runs
from keras_fvvae.tools.common.commands import Command, section
from keras_fvvae.tools.common.console import load_tensorflow_quietly, print_notes, print_results, say
from keras_fvvae.tools.common.types import RUN
from keras_fvvae.tools.weights import weights_of

from keras_fvvae.backbones.own_names import require_backbone
from keras_fvvae.runs.requirements import require_data, require_recipe_data

if TYPE_CHECKING:
    from keras_fvvae.data import Collection
    from keras_fvvae.recipes import Recipe
    from keras_fvvae.runs.folder import RunFolder

# Keys of a recipe that speak of one network, or one representation.
_OF_ONE = {"backbone", "backbone_options", "tap", "representation"}
# What is taken instead of what is for images, where the data turn out to be videos.
_OF_VIDEOS = {"photos_lite2": "video_lite2", "image_folder": "video_folder"}
_INSIDE = "its figures would become training images."
_recipe_options = section(
    "Recipe",
    options.backbone_option,
    options.tap_option,
    options.backbone_weights_option,
    options.backbone_options_option,
    options.input_size_option,
    click.option(
        "--precision",
        type=click.Choice(["auto", "float32", "bfloat16"]),
        help="In which a frozen backbone computes: auto measures once which is faster on this machine. bfloat16 halves "
        "the time of large networks where processors have it. Default: the recipe's.",
    ),
    options.settings_option,
    options.recipe_seed_option,
)
_training_options = section(
    "Training",
    click.option("--out", type=click.Path(), help="Run folder to write or continue. Default: runs/RECIPE."),
    options.cache_option,
    click.option(
        "--max-unreadable",
        default=0.1,
        show_default=True,
        type=click.FloatRange(0, 1),
        help="Largest share of unusable files to accept.",
    ),
    click.option(
        "--pretrain",
        type=click.Path(),
        help="Folder of images or videos for a training without labels (FV-VAE minus) first; its run is "
        "OUT_pretraining.",
    ),
    click.option(
        "--tune",
        is_flag=True,
        help="Choose lambda3 first, among 0, a tenth, one and ten times the recipe's, on a third of the training part; "
        "the runs are in OUT_tuning.",
    ),
    click.option(
        "--add-labels",
        "lists",
        multiple=True,
        type=click.Path(),
        help="List (.csv, .jsonl) of further training items, such as `suggest` writes to be filled in. Repeatable.",
    ),
    click.option("--init", type=RUN, help="Run to start from, such as one without labels on other data."),
    click.option("--overwrite", is_flag=True, help="Replace a run of other settings in the same folder."),
    click.option(
        "--strategy",
        type=click.Choice(["none", "mirrored", "multiworker"]),
        default="none",
        show_default=True,
        help="Devices that share every step: one; all GPUs of this machine; or those of all machines that the "
        "environment variable TF_CONFIG names, on each of which this command is started.",
    ),
)


@click.command("train", cls=Command, short_help="Train a recipe on images or videos.")
@options.recipe_argument(required=False)
@options.data_options()
@_recipe_options
@_training_options
def command(
    recipe: str | None,
    data: str | None,
    dataset: str | None,
    dataset_options: dict[str, Any],
    common_classes: bool,
    backbone_weights: tuple[str, ...],
    settings: dict[str, Any],
    out: str | None,
    pretrain: str | None,
    tune: bool,
    init: str | None,
    lists: tuple[str, ...],
    strategy: str,
    **further: Any,
) -> None:
    """Train RECIPE (an entry of `keras-fvvae zoo list` or a YAML file) and evaluate it.

    Without RECIPE: photos_lite2, whose network needs no download, if the extra lite is installed and nothing is asked
    for that is of another network or of a single representation (--backbone, --backbone-weights, --tap, --tune, --init,
    --pretrain); else image_folder, with the same network where no other is named. Of videos video_lite2 and
    video_folder instead.

    The activations of a frozen backbone are computed once and cached. Stopped with Ctrl-C or killed, the same command
    continues where it was.
    """
    auto_tap = further["tap"] == options.AUTO
    overrides = _overrides(settings, dataset, further)
    asked = [auto_tap, tune, init, pretrain, backbone_weights, overrides.keys() & _OF_ONE, strategy == "multiworker"]
    name = recipe or _default_entry(single=any(asked))
    if recipe is None and not (init or backbone_weights):
        overrides = _with_packaged_network(name, overrides)
    chosen = options.chosen_recipe(name, overrides, dataset_options=dataset_options)
    folder = output_folder(out, chosen.name)
    _check(chosen, data, folder, pretrain, init, tune or auto_tap, strategy)
    by_validation = {"--tap auto": auto_tap, "--tune": tune}
    for option, wanted in by_validation.items():
        if wanted and (pretrain or init or strategy != "none"):
            raise click.UsageError(
                f"{option} trains from the start on one device: leave out --pretrain, --init, --strategy."
            )
        if wanted and lists:
            raise click.UsageError(
                f"{option} divides the data itself: leave out --add-labels, then train with what it chose."
            )
    require_files(*lists)
    weights = weights_of(backbone_weights, chosen.backbone)
    load_tensorflow_quietly()
    from keras_fvvae.data.added_labels import add_labels
    from keras_fvvae.runs.datasets import recipe_collection
    from keras_fvvae.training.processes.workers import open_workers
    from keras_fvvae.training.train import train

    if strategy == "multiworker":
        say("Waiting for all workers of TF_CONFIG.")
    workers = open_workers(strategy)
    if workers:
        say(workers.describe(chosen.batch_size))
    collection = add_labels(recipe_collection(chosen, data, common_classes), lists)
    if recipe is None and collection.kind == "video":
        chosen = options.chosen_recipe(_OF_VIDEOS[chosen.name], overrides, dataset_options=dataset_options)
        folder = output_folder(out, chosen.name)
        require_outside(folder, data, _INSIDE)
    print_notes(collection.notes)
    settings = {name: further[name] for name in ("cache", "overwrite", "max_unreadable")}
    settings |= {"backbone_weights": weights, "workers": workers}
    if pretrain:
        first = chosen.replace(lambda3=0.0, fine_tune_steps=0, dataset="folder", dataset_options={"unlabelled": True})
        unlabelled = recipe_collection(first, pretrain)
        init = folder.with_name(f"{folder.name}_pretraining")
        train(first, unlabelled, init, **settings)
    for key in [key for key, wanted in (("tap", auto_tap), ("lambda3", tune)) if wanted]:
        out = folder.with_name(f"{folder.name}_tuning")
        chosen = _tuned(chosen, key, out, data, weights, common_classes, further["cache"])
    run = train(chosen, collection, folder, init=init, **settings)
    if run is None:
        click.echo(f"Done; the chief has written {folder}.")
    else:
        _report(run, collection)


def _default_entry(single: bool) -> str:
    """What is trained without a RECIPE; `single`: it has to be one representation of one network."""
    from keras_fvvae.backbones.lite_packages import LITE, are_weights_installed

    return "image_folder" if single or not are_weights_installed(LITE) else "photos_lite2"


def _with_packaged_network(name: str, overrides: dict[str, Any]) -> dict[str, Any]:
    """Overrides of the default entry of one representation: where no network is named, that whose weights are here."""
    from keras_fvvae.backbones.lite_packages import LITE, NETWORK, are_weights_installed

    if name != "image_folder" or "backbone" in overrides or not are_weights_installed(LITE):
        return overrides
    return {"backbone": NETWORK, "tap": default_tap(NETWORK), **overrides}


def _tuned(
    recipe: Recipe, key: str, out: Path, data: str | None, weights: Any, common_classes: bool, cache: str | None
) -> Recipe:
    """The recipe with the `tap` or `lambda3` that a validation part chooses."""
    from keras_fvvae.experiments.rows import Experiment
    from keras_fvvae.experiments.sweep import validation_collection
    from keras_fvvae.experiments.tuning import choose_tap, tune

    def part(collection):
        return validation_collection(collection, seed=recipe.seed)

    choose = choose_tap if key == "tap" else tune
    chosen, _ = choose(recipe, Experiment(out, data, weights, common_classes, cache, say=say, part=part))
    say(f"{key} = {getattr(chosen, key)} is taken.")
    return chosen


def _overrides(settings: dict[str, Any], dataset: str | None, further: dict[str, Any]) -> dict[str, Any]:
    """Recipe keys that the options give."""
    names = ("backbone", "backbone_options", "input_size", "precision", "seed")
    tap = None if further["tap"] == options.AUTO else further["tap"]
    return options.recipe_overrides(settings, dataset=dataset, tap=tap, **{name: further[name] for name in names})


def _check(
    recipe: Recipe, data: str | None, out: Path, pretrain: str | None, init: str | None, tune: bool, strategy: str
) -> None:
    """Raises for arguments that do not go together, or name what is not there."""
    if recipe.branches and (pretrain or init or tune or strategy == "multiworker"):
        raise click.UsageError(
            "A recipe with `branches` takes no --tap auto, --tune, --pretrain, --init or --strategy multiworker."
        )
    if pretrain and init:
        raise click.UsageError("--pretrain and --init both say where the training starts: give one.")
    require_recipe_data(recipe, data)
    require_backbone(recipe.backbone)
    require_outside(out, data, _INSIDE)
    if pretrain:
        require_data(pretrain)
    if init:
        require_runs([init])


def _report(run: RunFolder, collection: Collection) -> None:
    """Writes the report, and prints the results and what was left out."""
    from keras_fvvae.reporting.report import write_report

    report = write_report([run.path], run.path / "report.html", collection)
    results = run.results
    print_results(results)
    if results.warning:
        say(f"Warning: {results.warning}")
    print_notes([*results.notes[len(collection.notes) :], *([run.calibration_note] if run.class_names else [])])
    if results.skipped:
        say(f"{results.skipped} {collection.kind}s could not be used; see {run.path / 'skipped.csv'}.")
    click.echo(f"Run: {run.path}\nReport: {report}")
