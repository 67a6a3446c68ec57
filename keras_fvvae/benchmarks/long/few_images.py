"""Does the default recipe help, and never hurt, with few images? FV-VAE beside average pooling, by images a class.

    python -m keras_fvvae.benchmarks.long.few_images --data DIR --backbone-weights FILE [--backbone MobileNetV2] \
        [--backbone-option alpha=0.35] [--size 224] [--skip-classes 0] [--classes 5] [--images 5 10 19] [--seeds 5] \
        [--markdown docs/results/few_images/results.md]

DIR has a folder for each class; so many are taken. For every seed, so many images of each class, drawn by the seed, are
the training part, and all others the test part. Everything else is `image_folder` as it is, which chooses its step on a
fifth of the training images. Average pooling of the network's last stage under a linear SVM is the usual linear probe;
joined with it, FV-VAE adds its kernel (`keras-fvvae fuse --method kernel`). Activations and finished runs are kept
(`--out`), so a repeated call continues.
"""

import argparse
import datetime
import platform
import shlex
import sys
from pathlib import Path

import numpy as np
import yaml

from keras_fvvae.backbones import BACKBONES
from keras_fvvae.data import Collection, load_folder
from keras_fvvae.recipes import Recipe, load_recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.tasks.scores.fuse import fuse
from keras_fvvae.training.train import train
from keras_fvvae.utils.files import write_atomically


def main() -> None:
    """Prints the table, and writes it."""
    arguments = _arguments()
    recipe = load_recipe(
        "image_folder",
        backbone=arguments.backbone,
        backbone_options=settings(arguments.backbone_option),
        tap=arguments.tap or BACKBONES[arguments.backbone].default_tap,
        input_size=[arguments.size, arguments.size],
        **settings(arguments.set),
    )
    whole = load_folder(arguments.data)
    rows = []
    for images in arguments.images:
        for seed in range(arguments.seeds):
            few = few_images(whole, arguments.skip_classes, arguments.classes, images, seed)
            out = Path(arguments.out) / f"{images}_images_seed_{seed}"
            shared = {
                "backbone_weights": arguments.backbone_weights,
                "cache": Path(arguments.out) / "activations",
                "verbose": 0,
            }
            run = train(recipe.replace(seed=seed), few, out, **shared)
            last = recipe.replace(seed=seed, tap=None, representation="ave")
            probe = train(last, few, out.with_name(f"{out.name}_last_stage"), **shared)
            joined = fuse([run.path, probe.path], method="kernel", resamples=0)
            rows.append(_row(images, seed, run, probe, joined))
            print(rows[-1], flush=True)
    text = _markdown(rows, recipe, arguments)
    print(text)
    if arguments.markdown:
        Path(arguments.markdown).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(arguments.markdown, text.encode())


def few_images(whole: Collection, skipped: int, classes: int, images: int, seed: int) -> Collection:
    """So many classes of a collection; of each so many images are the training part, all others the test part."""
    chosen = whole.subset(np.flatnonzero((whole.labels >= skipped) & (whole.labels < skipped + classes)))
    chosen.class_names = whole.class_names[skipped : skipped + classes]
    chosen.labels = chosen.labels - skipped
    chosen.notes = []
    rng = np.random.default_rng(seed)
    splits = np.full(len(chosen), "test", dtype="<U5")
    for label in range(classes):
        splits[rng.permutation(np.flatnonzero(chosen.labels == label))[:images]] = "train"
    chosen.splits = splits
    return chosen


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--backbone-weights", default="imagenet")
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--backbone-option", nargs="*", default=["alpha=0.35"])
    parser.add_argument("--tap")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--set", nargs="*", default=[], help="other keys of the recipe")
    parser.add_argument("--skip-classes", type=int, default=0, help="the first so many are not taken")
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--images", type=int, nargs="*", default=[5, 10, 19])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", default="runs/few_images")
    parser.add_argument("--markdown", help="file for the result")
    return parser.parse_args()


def settings(words: list[str]) -> dict:
    """`key=value` as a dictionary, values as YAML."""
    return {key: yaml.safe_load(value) for key, value in (word.split("=", 1) for word in words)}


def _row(images: int, seed: int, run: RunFolder, probe: RunFolder, joined: dict) -> dict:
    metrics, validation = run.results.metrics, run.validation
    return {
        "images": images,
        "seed": seed,
        "test": run.results.own["examples"],
        "ave": 100 * metrics["AVE"]["accuracy"],
        "last": 100 * probe.results.own["accuracy"],
        "own": 100 * run.results.own["accuracy"],
        "joined": 100 * joined["fusion"]["accuracy"],
        "step": validation.get("best_step", run.recipe.steps),
        "seconds": run.seconds["fit"],
        "warned": bool(run.results.warning),
    }


def _mean(rows: list[dict], key: str) -> str:
    return f"{np.mean([row[key] for row in rows]):.1f}"


def _markdown(rows: list[dict], recipe: Recipe, arguments: argparse.Namespace) -> str:
    command = shlex.join(["python", "-m", "keras_fvvae.benchmarks.long.few_images", *sys.argv[1:]])
    lines = [
        "# Few images",
        "",
        f"FV-VAE beside average pooling (AVE) of the same activations, and of the network's last stage: "
        f"{recipe.backbone} {recipe.backbone_options or ''}, {recipe.input_size[0]}x{recipe.input_size[1]}, "
        f"`{recipe.tap or 'its last stage'}`; classes {arguments.skip_classes + 1} to "
        f"{arguments.skip_classes + arguments.classes} of "
        f"{Path(arguments.data).resolve().parent.name}; "
        f"of each class so many training images, drawn by the seed, and all others as test images "
        f"({min(row['test'] for row in rows)} to {max(row['test'] for row in rows)}). Accuracies in percent, mean over "
        f"{arguments.seeds} seeds; the recipe is `image_folder` as it is, which chooses its step on a fifth of the "
        "training images.",
        "",
        f"    {command}",
        "",
        f"{datetime.date.today()}, {platform.machine()}, Python {platform.python_version()}.",
        "",
        "| images a class | AVE of the last stage | AVE | FV-VAE | FV-VAE less AVE, seed by seed | mean | "
        "less AVE of the last stage | both joined | less AVE of the last stage, seed by seed | mean | steps kept | "
        "seconds of training |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for images in arguments.images:
        part = [row for row in rows if row["images"] == images]
        differences = [row["own"] - row["ave"] for row in part]
        gains = [row["joined"] - row["last"] for row in part]
        lines.append(
            f"| {images} | {_mean(part, 'last')} | {_mean(part, 'ave')} | {_mean(part, 'own')} | "
            f"{', '.join(f'{value:+.1f}' for value in differences)} | {np.mean(differences):+.1f} | "
            f"{np.mean([row['own'] - row['last'] for row in part]):+.1f} | {_mean(part, 'joined')} | "
            f"{', '.join(f'{value:+.1f}' for value in gains)} | {np.mean(gains):+.1f} | "
            f"{', '.join(str(row['step']) for row in part)} | {np.mean([row['seconds'] for row in part]):.0f} |"
        )
    lines += ["", f"Runs that said that they did not help: {sum(row['warned'] for row in rows)} of {len(rows)}.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
