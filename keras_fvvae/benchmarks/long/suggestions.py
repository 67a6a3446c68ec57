"""Do labels that `keras-fvvae suggest` asks for help more than as many random ones?

    python -m keras_fvvae.benchmarks.long.suggestions --data DIR --backbone-weights FILE [--backbone MobileNetV2] \
        [--backbone-option alpha=0.35] [--size 224] [--images 3] [--count 50] [--rounds 4] [--seeds 3] [--steps 100] \
        [--markdown docs/results/suggestions/results.md]

DIR has a folder for each class. A quarter of every class is the test part, the same for all seeds; of the rest, so many
images of each class, drawn by the seed, have labels, and the others are the pool. `image_folder` is trained on the
former. Then, a round after the other, so many images of the pool get their labels: random ones, those with the smallest
margins, and those that `suggest` chooses; the SVM is fitted to all labelled ones anew. The encoder stays that of the
start, so that the rules are compared and not trainings. Finished runs and activations are kept (`--out`).
"""

import argparse
import datetime
import platform
import shlex
import sys
from pathlib import Path

import numpy as np

from keras_fvvae.backbones import BACKBONES
from keras_fvvae.benchmarks.long.few_images import settings
from keras_fvvae.data import Collection, load_folder
from keras_fvvae.evaluation.diversity import representative
from keras_fvvae.recipes import load_recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.svm.kernels import kernel_scores
from keras_fvvae.tasks.suggest import CANDIDATES, SAMPLED
from keras_fvvae.training.train import train
from keras_fvvae.utils.files import write_atomically
from keras_fvvae.utils.labels import UNLABELLED
from keras_fvvae.utils.text import normal_name

RULES = ("random", "smallest margins", "suggest")
# Random choices are cheap to repeat; their mean is what a choice is compared with.
DRAWS = 5


def main() -> None:
    """Prints the table, and writes it."""
    arguments = _arguments()
    whole = load_folder(arguments.data, test_fraction=0.25)
    recipe = load_recipe(
        "image_folder",
        backbone=arguments.backbone,
        backbone_options=settings(arguments.backbone_option),
        tap=BACKBONES[arguments.backbone].default_tap,
        input_size=[arguments.size, arguments.size],
        steps=arguments.steps,
    )
    rows = []
    for seed in range(arguments.seeds):
        start = start_of(whole, arguments.images, seed)
        out = Path(arguments.out)
        run = train(
            recipe.replace(seed=seed),
            start,
            out / f"start_{seed}",
            backbone_weights=arguments.backbone_weights,
            cache=out / "activations",
        )
        labels = dict(zip(map(normal_name, whole.names), whole.labels.tolist(), strict=True))
        found = accuracies(run, labels, arguments.count, arguments.rounds)
        rows.append(found)
        print(seed, {name: np.round(100 * values, 1).tolist() for name, values in found.items()}, flush=True)
    text = _markdown(rows, whole, recipe, arguments)
    print(text)
    if arguments.markdown:
        Path(arguments.markdown).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(arguments.markdown, text.encode())


def start_of(whole: Collection, images: int, seed: int) -> Collection:
    """The collection in which so many training images of each class have a label, drawn by the seed."""
    rng = np.random.default_rng(seed)
    labels = whole.labels.copy()
    train_part = whole.indices("train")
    for label in range(len(whole.class_names)):
        members = train_part[whole.labels[train_part] == label]
        labels[rng.permutation(members)[images:]] = UNLABELLED
    start = whole.subset(np.arange(len(whole)))
    start.labels = labels
    return start


def accuracies(run: RunFolder, labels: dict[str, int], count: int, rounds: int) -> dict[str, np.ndarray]:
    """By rule the accuracies on the test part with the labels of the start, and after each round.

    Args:
        run: of the start: its vectors are those of labelled, unlabelled and test items.
        labels: by name of all items, as the data folder has them.
        count, rounds: labels a round, and how many.
    """
    items = run.vectors()
    true = np.array([labels[name] for name in items.names])
    values = np.asarray(items.values, "float32")
    gram = (values @ values.T).astype("float64")
    test = np.arange(items.first_test_row, len(true))
    found = {}
    for rule in RULES:
        draws = []
        for draw in range(DRAWS if rule == "random" else 1):
            known = np.arange(items.labelled)
            measured = [_accuracy(gram, true, known, test)]
            rng = np.random.default_rng(draw)
            for _ in range(rounds):
                pool = np.setdiff1d(np.arange(items.first_test_row), known)
                known = np.append(known, pool[_choice(rule, gram, true, known, pool, count, rng)])
                measured.append(_accuracy(gram, true, known, test))
            draws.append(measured)
        found[rule] = np.mean(draws, axis=0)
    return found


def _choice(rule, gram, labels, known, pool, count, rng):
    """Positions in the pool that a rule chooses."""
    if rule == "random":
        return rng.choice(len(pool), count, replace=False)
    classes = int(labels.max()) + 1
    own, cross = gram[np.ix_(known, known)], gram[np.ix_(pool, known)]
    best = np.sort(kernel_scores(own, labels[known], cross, classes, 100.0), axis=1)
    order = np.argsort(best[:, -1] - best[:, -2], kind="stable")
    if rule == "smallest margins":
        return order[:count]
    candidates = order[: CANDIDATES * count]
    sample = rng.permutation(len(pool))[: SAMPLED * count]
    similarities = gram[np.ix_(pool[sample], pool[candidates])]
    return candidates[representative(similarities, np.maximum(cross[sample].max(axis=1), 0), count)]


def _accuracy(gram, labels, known, test):
    own, cross = gram[np.ix_(known, known)], gram[np.ix_(test, known)]
    scores = kernel_scores(own, labels[known], cross, int(labels.max()) + 1, 100.0)
    return float(np.mean(scores.argmax(axis=1) == labels[test]))


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--backbone-weights", default="imagenet")
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--backbone-option", nargs="*", default=["alpha=0.35"])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=3, help="of each class with a label at the start")
    parser.add_argument("--count", type=int, default=50, help="labels a round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", default="runs/suggestions")
    parser.add_argument("--markdown", help="file for the result")
    return parser.parse_args()


def _markdown(rows, whole, recipe, arguments):
    command = shlex.join(["python", "-m", "keras_fvvae.benchmarks.long.suggestions", *sys.argv[1:]])
    classes, tested = len(whole.class_names), len(whole.indices("test"))
    heads = [f"{classes * arguments.images + number * arguments.count}" for number in range(arguments.rounds + 1)]
    lines = [
        "# Suggested labels against random ones",
        "",
        f"Accuracy in percent on {tested} test images of {classes} classes by the number of labelled training images: "
        f"{recipe.backbone} {recipe.backbone_options or ''}, {recipe.input_size[0]}x{recipe.input_size[1]}, "
        f"`{recipe.tap}`, FV-VAE of {recipe.steps} steps; {arguments.images} images of each class at the start, "
        f"{arguments.count} labels a round of {len(whole.indices('train'))} training images. Mean over "
        f"{len(rows)} seeds (random: over {DRAWS} draws of each), and in brackets the seeds. The encoder stays that of "
        "the start.",
        "",
        f"    {command}",
        "",
        f"{datetime.date.today()}, {platform.machine()}, Python {platform.python_version()}.",
        "",
        f"| choice | {' | '.join(heads)} |",
        f"| --- |{' --- |' * len(heads)}",
    ]
    for rule in RULES:
        values = 100 * np.array([row[rule] for row in rows])
        cells = [f"{column.mean():.1f} ({', '.join(f'{one:.1f}' for one in column)})" for column in values.T]
        lines.append(f"| {rule} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
