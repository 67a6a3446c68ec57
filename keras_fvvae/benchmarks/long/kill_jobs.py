"""The jobs that `keras_fvvae.benchmarks.long.kills` kills: each works in a folder and can be called there again.

A job has `title`; `files`, patterns of what it writes once it works; `tolerance`, by which numbers of two results may
differ; `work`, `phase` (where in its work a killed one was), `result`, `leftovers` (what a killed one left behind), and
`clean`, which removes those, or `None` where the next call does.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.benchmarks.harness.commands import call_command

STEPS = 60
TEXTS = ("history.json", "validation.json", "metrics.json", "vectors.json")
EVERY = 4
# Of the exported signatures, bytes of images; of the encoding, files.
REQUESTS, IMAGES = 16, 400
SVM_CLASSES, SVM_BLOCK_COLUMNS = 20, 512


class Train:
    """`keras_fvvae.training.train.train`: to be equal to the bit."""

    title, tolerance = "train", 0.0
    files = ("run/checkpoints/*.h5", "run/.partial-*", "run/history.json", "run/manifest.json")

    def work(self, folder: Path) -> None:
        from keras_fvvae.data import load_digits
        from keras_fvvae.recipes import load_recipe
        from keras_fvvae.training.train import train

        digits = load_digits()
        some = digits.subset(np.arange(0, len(digits), EVERY))
        recipe = load_recipe("digits_conv", steps=STEPS, validation=0.2, validate_every=STEPS // 10)
        train(recipe, some, folder / "run", checkpoint_seconds=0, verbose=0)

    def phase(self, folder: Path) -> str:
        run = folder / "run"
        ends = {"history.json": "steps", "vectors.json": "vectors", "metrics.json": "SVM", "manifest.json": "saving"}
        return next((phase for name, phase in ends.items() if not (run / name).exists()), "finished")

    def result(self, folder: Path) -> dict:
        from keras_fvvae.runs.folder import RunFolder
        from keras_fvvae.zoo import load_classifier

        run = RunFolder.open(folder / "run")  # checks the manifest
        weights = load_classifier(run.path / "model.keras").get_weights()
        texts = {name: (run.path / name).read_text() for name in TEXTS}
        vectors = {name: np.load(run.path / f"{name}.npy") for name in ("vectors", "scores")}
        return texts | vectors | {f"weight {number}": weight for number, weight in enumerate(weights)}

    def leftovers(self, folder: Path) -> list[Path]:
        return [path for pattern in ("*partial*", "checkpoints*") for path in (folder / "run").rglob(pattern)]

    clean = None


class Encode:
    """`Extraction`, as the command has: equal to what an image's place in its batch changes, rounding."""

    title, files, tolerance = "encode", ("out/*/shard-*.json",), 1e-6

    def __init__(self, run: Path, images: Path):
        self.run, self.images = run, images

    def work(self, folder: Path) -> None:
        from keras_fvvae.encoding.extraction import Extraction

        Extraction(self.run, self.images, folder / "out", shard_bytes=1).run()

    def phase(self, folder: Path) -> str:
        stored = len(list(folder.glob("out/*/shard-*.json")))
        return f"{stored * 4 // IMAGES * 25} % stored"

    def _store(self, folder):
        from keras_fvvae.encoding.item_encoder import open_encoding
        from keras_fvvae.encoding.output import Output

        return Output(folder / "out", open_encoding(self.run, "image")).open_store()

    def result(self, folder: Path) -> dict:
        store = self._store(folder)
        if lost := store.discard_damaged():
            raise SystemExit(f"{lost} vectors of {folder} are damaged.")
        failed = {"failed.csv": (folder / "out" / "failed.csv").read_text()}
        return failed | {key: np.array(store[key]) for key in store}

    def leftovers(self, folder: Path) -> list[Path]:
        arrays = (folder / "out").glob("*/shard-*.npy")
        return [*folder.rglob(".*"), *(path for path in arrays if not path.with_suffix(".json").exists())]

    def clean(self, folder: Path) -> None:
        self._store(folder)


class Svm:
    """`OneVsRestSVM.fit`: to be equal to the bit."""

    title, files, tolerance = "SVM", ("fit-*",), 0.0

    def __init__(self, vectors: Path):
        self.vectors = vectors

    def work(self, folder: Path) -> None:
        from keras_fvvae.svm import OneVsRestSVM

        X = np.load(self.vectors, mmap_mode="r")
        (folder / f"fit-{os.getpid()}").touch()
        settings: dict[str, Any] = {"checkpoint_seconds": 0, "block_columns": SVM_BLOCK_COLUMNS}
        svm = OneVsRestSVM(row_l2=True, checkpoint=folder / "checkpoint", **settings)
        svm.fit(X, np.arange(len(X)) % SVM_CLASSES)
        np.savez(folder / "result.npz", coef=svm.coef_, intercept=svm.intercept_)

    def phase(self, folder: Path) -> str:
        names = {path.name.split("-")[0] for path in folder.glob("checkpoint/*.npz")}
        if "duals" in names:
            return "duals and weights"
        return "Gram matrix" if names else "first block"

    def result(self, folder: Path) -> dict:
        with np.load(folder / "result.npz") as content:
            return dict(content)

    def leftovers(self, folder: Path) -> list[Path]:
        return list(folder.rglob("*partial*"))

    clean = None


class Export:
    """`keras-fvvae export`: to be equal to the bit."""

    title, files, tolerance = "export", ("served/.partial-*",), 0.0

    def __init__(self, run: Path, requests: list[bytes]):
        self.run, self.requests = run, requests

    def work(self, folder: Path) -> None:
        from keras_fvvae.tools.export import command

        call_command(command, self.run, "--out", folder / "served")

    def phase(self, folder: Path) -> str:
        newest = max(folder.glob("served/*"), key=os.path.getmtime)
        if newest.name.isdigit():
            return "renamed"
        for name, phase in (("assets.extra", "card and warm-up"), ("variables", "graph"), ("", "tracing")):
            if (newest / "model" / name).exists():
                return phase
        return "tracing"

    def result(self, folder: Path) -> dict:
        # A call that was killed after it had renamed its version was complete: the next one has written another.
        paths = sorted(
            (path for path in (folder / "served").iterdir() if path.name.isdigit()), key=lambda p: int(p.name)
        )
        answers = [self._answers(path) for path in paths]
        for path, other in zip(paths, answers, strict=True):
            if unequal := compare(other, answers[0], self.tolerance)[1]:
                raise SystemExit(f"{path} differs from version {paths[0].name}: {unequal}")
        return answers[0]

    def _answers(self, path):
        import tensorflow as tf

        model = tf.saved_model.load(str(path))
        images = tf.constant(self.requests)
        signatures = ("serving_default", "encode", "encode_raw", "explain")
        found = {name: model.signatures[name](image=images) for name in signatures}
        labels = {"labels.txt": (path / "assets/labels.txt").read_text()}
        return labels | {f"{name} {key}": value.numpy() for name in found for key, value in found[name].items()}

    def leftovers(self, folder: Path) -> list[Path]:
        return list((folder / "served").glob(".*"))

    def clean(self, folder: Path) -> None:
        self.work(folder)


class ExportWriting(Export):
    """The same, killed after its first files are there: before that it traces graphs, nearly all of its time."""

    title, files = "export, writing", ("served/.partial-*/model/**/*",)


def compare(found: dict, expected: dict, tolerance: float) -> tuple[float, list[str]]:
    """Largest difference of the numbers, and the names of what is not the same."""
    if found.keys() != expected.keys():
        return 0.0, sorted(found.keys() ^ expected.keys())
    largest, unequal = 0.0, []
    for name, value in expected.items():
        other = found[name]
        if isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating) and value.shape == other.shape:
            difference = float(np.abs(value.astype("float64") - other).max(initial=0.0))
            largest = max(largest, difference)
            same = difference <= tolerance
        else:
            same = np.array_equal(value, other)
        if not same:
            unequal.append(name)
    return largest, unequal
