"""Is a flipped bit ever used without a word? One bit of a file of a run, a pack or a store, again and again.

    python -m keras_fvvae.benchmarks.long.bit_flips [--flips 1000] [--seed 0] [--markdown docs/benchmarks/bit_flips.md]

A small training of the embedded digits makes all three. Every flip is of one bit, at a random place of a random file,
and is undone afterwards. What is read then is either refused in a sentence ("detected"), or found again without what
was damaged ("repaired": the store's damaged shards are computed anew), or the same to the last bit ("no effect").
Anything else is "silent", of which there may be none.
"""

import argparse
import collections
import datetime
import os
import platform
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.data import load_digits
from keras_fvvae.errors import KerasFVVAEError
from keras_fvvae.features import FeatureStore
from keras_fvvae.recipes import load_recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training.train import train
from keras_fvvae.utils.files import sha256, write_atomically
from keras_fvvae.zoo import packs
from keras_fvvae.zoo.publishing import publish_run

OUTCOMES = ("detected", "repaired", "no effect", "silent")
# Of the store, beside what the library itself would write into it.
ITEMS, SHARD_BYTES = 12, 2**14
SETTINGS = {"maps": "random"}


def main() -> None:
    """Prints the table, and writes it; its exit status is 1 if anything was silent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", help="file for the result")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = flip_all(Path(folder), arguments.flips, arguments.seed)
    text = _markdown(counts, arguments)
    print(text)
    if arguments.markdown:
        write_atomically(arguments.markdown, text.encode())
    raise SystemExit(any(outcome == "silent" for _, _, outcome in counts))


def flip_all(folder: Path, flips: int, seed: int) -> collections.Counter:
    """Flips so many bits, in turns in a run, a pack and a store made below a folder.

    Returns:
        Counter of `(what, name of the file, outcome)`.
    """
    targets = _targets(folder)
    expected = {what: read() for what, (_, read) in targets.items()}
    rng = np.random.default_rng(seed)
    counts: collections.Counter = collections.Counter()
    for number in range(flips):
        what = list(targets)[number % len(targets)]
        root, read = targets[what]
        path = rng.choice(sorted(path for path in root.rglob("*") if path.is_file() and path.stat().st_size))
        kept = Path(tempfile.mkdtemp(dir=folder)) / "kept"
        shutil.copytree(root, kept)
        _flip(path, int(rng.integers(8 * path.stat().st_size)))
        counts[what, _kind(path.relative_to(root)), _outcome(read, expected[what])] += 1
        shutil.rmtree(root)
        kept.rename(root)
        kept.parent.rmdir()
    return counts


def _targets(folder: Path) -> dict[str, tuple[Path, Callable[[], Any]]]:
    """By what it is: the folder whose files are flipped, and a function that reads all that it gives."""
    recipe = load_recipe("digits_conv", trainable_from=None, steps=2).replace(name="flipped")
    digits = load_digits()
    some = digits.subset(np.arange(0, len(digits), 30))
    run, store = folder / "run", folder / "store"
    train(recipe, some, run, backbone_weights=None, cache=folder / "cache", verbose=0)
    publish_run(RunFolder.open(run), folder / "zoo")
    os.environ[packs.MIRROR_VARIABLE] = str(folder / "zoo")
    _fill(store)
    return {
        "run": (run, lambda: _read_run(run)),
        "pack": (folder / "zoo", lambda: _read_pack(recipe.name)),
        "store": (store, lambda: _read_store(store)),
    }


def _flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def _outcome(read, expected):
    try:
        found = read()
    except KerasFVVAEError:
        return "detected"
    if found == expected:
        return "no effect"
    # A store may lack arrays, which a training then computes again; it may not give others.
    lacks = isinstance(expected, dict) and found.items() <= expected.items()
    return "repaired" if lacks else "silent"


def _read_run(path):
    run = RunFolder.open(path)
    vectors, scores = run.vectors(), run.scores()
    # The model is loaded after this check of its bytes.
    run.manifest.check(path, run.model_path.name)
    return [
        run.recipe.to_yaml(),
        run.class_names,
        run.history,
        run.results.to_json(),
        [(name, array.tobytes()) for name, array in scores.items()],
        (vectors.names, vectors.labels.tolist(), vectors.splits.tolist(), vectors.read().tobytes()),
        sha256(run.model_path),
    ]


def _read_pack(entry):
    pack = packs.find(entry)
    return [pack.version, pack.recipe.to_yaml(), sha256(pack.model)] if pack else None


def _fill(folder):
    rng = np.random.default_rng(0)
    store = FeatureStore(folder, SETTINGS, shard_bytes=SHARD_BYTES)
    for item in range(ITEMS):
        store.add(f"{item}.avi", rng.normal(size=(1 + item % 3, 4, 4, 32)), "its end is missing" if item == 5 else "")
    store.flush()


def _read_store(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a listing is damaged
        store = FeatureStore(folder, SETTINGS)
        store.discard_damaged()
    return {key: (store[key].tobytes(), store.note(key)) for key in store}


def _kind(path):
    """Name of a file, without what is random in it."""
    return "shard" + path.suffix if path.name.startswith("shard-") else path.name


def _markdown(counts: collections.Counter, arguments: argparse.Namespace) -> str:
    lines = [
        "# Flipped bits",
        "",
        f"`python -m keras_fvvae.benchmarks.long.bit_flips --flips {arguments.flips} --seed {arguments.seed}`: "
        f"{platform.machine()}, Python {platform.python_version()}, {datetime.date.today()}.",
        "",
        "One bit at a random place of a random file of a finished run, a published pack and a store of activations, in "
        "turns.",
        "",
        "| | flips | detected | repaired | no effect | silent |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for what in dict.fromkeys(what for what, _, _ in counts):
        files = {name for kind, name, _ in counts if kind == what}
        for name in [None, *sorted(files)]:
            part = {
                outcome: sum(
                    count
                    for (kind, file, found), count in counts.items()
                    if kind == what and found == outcome and name in (None, file)
                )
                for outcome in OUTCOMES
            }
            title = f"**{what}**" if name is None else name
            cells = " | ".join(str(part[outcome]) for outcome in OUTCOMES)
            lines.append(f"| {title} | {sum(part.values())} | {cells} |")
    lines += [
        "",
        "- *no effect*: all that the library reads of it is the same to the last bit: of a run its recipe, classes, "
        "history, results, scores, vectors and the model's file; of a pack what `find` opens; of a store every array "
        "and note.",
        "- *repaired*: a store's damaged shards are removed, and their arrays computed again; the others are the same.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
