"""Does peak memory grow with the number of items? Encoding, training and evaluation of N items and of ten times N.

    python -m keras_fvvae.benchmarks.long.memory_growth [--items 500] [--rounds 2] \
        [--markdown docs/benchmarks/memory.md]

Every figure is the largest resident memory (`ru_maxrss`) of a fresh process: pages of mapped files count too. What is
read is written by another process before. Jobs:

    encode       `keras-fvvae encode` of N images; the process that loads the model is counted by itself
    fit          the FV-VAE's training from cached activations of N images, 7x7x256 in float16; the steps are the same
    vectors      `encode_vectors` of those N images: Fisher vectors of 256 x 16 to a file, and their normalisation
    evaluate     `keras-fvvae evaluate` of a run with N test items of ten classes

Shards of the feature store are 1 MiB instead of 64, so that N items fill several: what waits for a shard to be full
is bounded by its size, and would grow with few items.
"""

import argparse
import datetime
import json
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from keras_fvvae.benchmarks.harness.commands import call_command
from keras_fvvae.utils.cores import usable_cores

FACTOR = 10
SHARD_BYTES = 2**20
# Ten times the items may take so much more.
AT_MOST = 1.05
MAPS = (7, 7, 256)
CLASSES = 10
SETTINGS = {"descriptors": "dense", "latent_dim": 15, "batch_size": 32, "steps": 200, "lambda3": 0.0}


def main() -> None:
    """Prints the table, and writes it."""
    arguments = _arguments()
    if arguments.job:
        peaks = JOBS[arguments.job](Path(arguments.folder), arguments.items)
        own = {"process": _peak_mb(resource.RUSAGE_SELF), **(peaks or {})}
        print("\n" + json.dumps(own))
        return
    rows: dict[str, dict[int, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in (arguments.items, FACTOR * arguments.items):
            _child("write", folder, count)
            for job in JOBS if arguments.jobs is None else arguments.jobs:
                if job == "write":
                    continue
                for _ in range(arguments.rounds):
                    for name, peak in _child(job, folder, count).items():
                        title = job if name == "process" else f"{job}, {name}"
                        rows.setdefault(title, {}).setdefault(count, []).append(peak)
                print(job, count, rows[job][count], flush=True)
    text, grows = _markdown(rows, arguments)
    print(text)
    if arguments.markdown:
        Path(arguments.markdown).write_text(text)
    raise SystemExit(1 if grows else 0)


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--jobs", nargs="*", help="some of encode, fit, vectors, evaluate")
    parser.add_argument("--markdown", help="file for the result")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


def _child(job, folder, count):
    words = [sys.executable, __file__, "--job", job, "--folder", folder, "--items", str(count)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{job} of {count} items failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _peak_mb(who):
    return resource.getrusage(who).ru_maxrss / 1024


def write(folder: Path, count: int) -> None:
    """What the jobs read."""
    import tensorflow as tf

    from keras_fvvae.data import load_digits
    from keras_fvvae.recipes import load_recipe
    from keras_fvvae.runs.folder import RunFolder
    from keras_fvvae.runs.results import RunResults
    from keras_fvvae.training.train import train

    digits, rng = load_digits(), np.random.default_rng(0)
    if not (folder / "run").exists():
        train(load_recipe("digits_conv", steps=5), digits.subset(np.arange(0, len(digits), 8)), folder / "run")
    images = folder / f"images-{count}"
    images.mkdir()
    for number in range(count):
        (images / f"{number:06d}.png").write_bytes(tf.io.encode_png(digits.read(number % len(digits))).numpy())
    inputs = _inputs(folder, count)
    for index in range(count):
        inputs.keep(index, rng.normal(size=(1, *MAPS)).astype("float16"))
    inputs.store.flush()
    labels = np.arange(2 * count) % CLASSES
    names = [f"{number:06d}" for number in range(len(labels))]
    run = RunFolder(folder / f"evaluated-{count}")
    run.path.mkdir()
    first = RunFolder(folder / "run")
    for name in ("recipe.yaml", "labels.json"):
        run.write(name, (first.path / name).read_bytes())
    run.write_items(names, labels.tolist(), ["train"] * count + ["test"] * count)
    scores = rng.normal(size=(count, CLASSES)) + 2 * np.eye(CLASSES)[labels[count:]]
    run.write_results(RunResults("", "FV-VAE", {"FV-VAE": {}}), {"FV-VAE": np.round(scores, 5)})
    run.finish()


def _inputs(folder, count):
    import keras

    from keras_fvvae.data import Collection
    from keras_fvvae.recipes import Recipe
    from keras_fvvae.training.inputs.activations import ActivationInputs

    keras.utils.set_random_seed(0)
    # Never called: the maps are drawn. Its weights are part of the store's key.
    images = keras.Input((14, 14, 3))
    backbone = keras.Model(images, keras.layers.Conv2D(MAPS[-1], 2, 2)(images))
    recipe = Recipe(name="memory", input_size=[14, 14], **SETTINGS)
    sources = [
        np.full((2, 2, 3), [number // 65536, number // 256 % 256, number % 256], "uint8") for number in range(count)
    ]
    collection = Collection(sources, [str(n) for n in range(count)], [-1] * count, ["train"] * count, [])
    return ActivationInputs(collection, recipe, backbone, folder / f"activations-{count}", SHARD_BYTES)


def fit(folder: Path, count: int) -> None:
    """Training from cached activations, checked first as a training does."""
    from keras_fvvae.builders.trainable import build_fvvae
    from keras_fvvae.runs.folder import RunFolder
    from keras_fvvae.training import fit as module

    inputs = _inputs(folder, count)
    if inputs.prepare(verbose=0) or inputs.missing():
        raise SystemExit("Activations are missing.")
    model = build_fvvae(inputs.recipe, None, None, activations_shape=inputs.shape)
    with tempfile.TemporaryDirectory() as run:
        module.fit(model, inputs, np.arange(count), inputs.recipe, RunFolder(run), verbose=0)


def vectors(folder: Path, count: int) -> None:
    """Fisher vectors of cached activations in a file."""
    from keras_fvvae.builders.encoders import build_encoder
    from keras_fvvae.builders.trainable import build_fvvae
    from keras_fvvae.training.vectors import encode_vectors

    inputs = _inputs(folder, count)
    model = build_fvvae(inputs.recipe, None, None, activations_shape=inputs.shape)
    encoder = build_encoder(inputs.recipe, None, model, inputs.shape)
    with tempfile.TemporaryDirectory() as target:
        encode_vectors(encoder, inputs, count // 2, Path(target, "vectors.npy"), verbose=0)


def encode(folder: Path, count: int) -> dict[str, float]:
    """As the command does; the peak of its worker process is that of the largest child."""
    from keras_fvvae.encoding.extraction import Extraction

    with tempfile.TemporaryDirectory() as out:
        Extraction(folder / "run", folder / f"images-{count}", out, shard_bytes=SHARD_BYTES).run()
    return {"worker": _peak_mb(resource.RUSAGE_CHILDREN)}


def evaluate(folder: Path, count: int) -> None:
    """The command."""
    from keras_fvvae.tools.evaluate import command

    call_command(command, folder / f"evaluated-{count}")


JOBS = {"write": write, "encode": encode, "fit": fit, "vectors": vectors, "evaluate": evaluate}


def _markdown(rows, arguments):
    few, many = arguments.items, FACTOR * arguments.items
    command = f"python -m keras_fvvae.benchmarks.long.memory_growth --items {few} --rounds {arguments.rounds}"
    lines = [
        "# Memory and the number of items",
        "",
        f"`{command}`: {platform.machine()}, {usable_cores()} cores, {datetime.date.today()}. Peak resident memory in "
        "MB, the median of the rounds (smallest - largest).",
        "",
        f"| job | {few:,} items | {many:,} items | ratio | allowed |",
        "| --- | --- | --- | --- | --- |",
    ]
    grows = []
    for name, peaks in rows.items():
        ratio = float(np.median(peaks[many]) / np.median(peaks[few]))
        grows += [name] if ratio > AT_MOST else []
        cells = [f"{np.median(p):.1f} ({min(p):.1f} - {max(p):.1f})" for p in (peaks[few], peaks[many])]
        lines.append(f"| {name} | {' | '.join(cells)} | {ratio:.3f} | {AT_MOST} |")
    return "\n".join([*lines, ""]), grows


if __name__ == "__main__":
    main()
