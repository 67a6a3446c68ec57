"""Jobs that are killed with SIGKILL at random moments and started again: do they end with the same result?

    python -m keras_fvvae.benchmarks.long.kills [--kills 60] [--seed 0] [--markdown docs/benchmarks/kills.md]

Five jobs, one after the other: training digits_conv on every fourth digit, an `Extraction` of a folder of images,
`OneVsRestSVM.fit` with a checkpoint, `keras-fvvae export`, and its last part, from the first file written on. Each is
run once undisturbed. Then it is started in a new folder, killed after a random time between 0 and the seconds that the
undisturbed one worked, and started again in the same folder, up to four times, until a call comes to its end; that
result is compared with the undisturbed one. New folders follow until the job has had its share of kills.

The time begins when the job has begun to work (its first file, or one more than at its start), and processes are forked
from one that has imported TensorFlow: otherwise most kills would hit the import. Checkpoints are written after every
step and every vector is a shard of its store, far more often than by default, so that many kills meet a file
half-written.
"""

import argparse
import contextlib
import datetime
import json
import multiprocessing
import os
import platform
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from keras_fvvae.utils.cores import usable_cores

STEPS = 60
EVERY = 4
IMAGES = 400
SVM_SHAPE, SVM_CLASSES, SVM_BLOCK_COLUMNS = (1500, 8192), 20, 512
# Bytes of images for the exported signatures.
REQUESTS = 16
# What kills leave in folders that several processes may write to is removed when it is older than this.
AGE = 2 * 3600
# Of calls in one folder: a job that keeps nothing between two of them would never come to its end.
MOST_KILLS = 4
POLL_SECONDS = 0.005
PRELOADED = [
    "keras_fvvae.tools.export", "keras_fvvae.training.train",
    "keras_fvvae.tasks.export_runs", "keras_fvvae.encoding.extraction",
]  # fmt: skip


class Train:
    """`keras_fvvae.training.train.train`: to be equal to the bit."""

    title, tolerance = "train", 0.0
    files = ("run/checkpoints/*.h5", "run/.partial-*", "run/history.json", "run/manifest.json")

    def work(self, folder):
        from keras_fvvae.data import load_digits
        from keras_fvvae.recipes import load_recipe
        from keras_fvvae.training import fit
        from keras_fvvae.training.train import train

        fit.CHECKPOINT_SECONDS = 0
        digits = load_digits()
        some = digits.subset(np.arange(0, len(digits), EVERY))
        train(load_recipe("digits_conv", steps=STEPS), some, folder / "run", verbose=0)

    def phase(self, folder):
        run = folder / "run"
        ends = {"history.json": "steps", "vectors.json": "vectors", "metrics.json": "SVM", "manifest.json": "saving"}
        return next((phase for name, phase in ends.items() if not (run / name).exists()), "finished")

    def result(self, folder):
        from keras_fvvae.runs.folder import RunFolder
        from keras_fvvae.zoo import load_classifier

        run = RunFolder.open(folder / "run")  # checks the manifest
        weights = load_classifier(run.path / "model.keras").get_weights()
        texts = {name: (run.path / name).read_text() for name in ("history.json", "metrics.json", "vectors.json")}
        vectors = {"vectors": np.load(run.path / "vectors.npy")}
        return texts | vectors | {f"weight {number}": weight for number, weight in enumerate(weights)}

    def leftovers(self, folder):
        return [path for pattern in ("*partial*", "checkpoints*") for path in (folder / "run").rglob(pattern)]

    clean = None


class Encode:
    """`Extraction`, as the command has: equal to what an image's place in its batch changes, rounding."""

    title, files, tolerance = "encode", ("out/*/shard-*.json",), 1e-6

    def __init__(self, run, images):
        self.run, self.images = run, images

    def work(self, folder):
        from keras_fvvae.encoding.extraction import Extraction

        Extraction(self.run, self.images, folder / "out", shard_bytes=1).run()

    def phase(self, folder):
        stored = len(list(folder.glob("out/*/shard-*.json")))
        return f"{stored * 4 // IMAGES * 25} % stored"

    def _store(self, folder):
        from keras_fvvae.encoding.item_encoder import open_encoding
        from keras_fvvae.encoding.output import Output

        return Output(folder / "out", open_encoding(self.run, "image")).open_store()

    def result(self, folder):
        store = self._store(folder)
        if lost := store.discard_damaged():
            raise SystemExit(f"{lost} vectors of {folder} are damaged.")
        failed = {"failed.csv": (folder / "out" / "failed.csv").read_text()}
        return failed | {key: np.array(store[key]) for key in store}

    def leftovers(self, folder):
        arrays = (folder / "out").glob("*/shard-*.npy")
        return [*folder.rglob(".*"), *(path for path in arrays if not path.with_suffix(".json").exists())]

    def clean(self, folder):
        self._store(folder)


class Svm:
    """`OneVsRestSVM.fit`: to be equal to the bit."""

    title, files, tolerance = "SVM", ("fit-*",), 0.0

    def __init__(self, vectors):
        self.vectors = vectors

    def work(self, folder):
        from keras_fvvae.svm import OneVsRestSVM

        X = np.load(self.vectors, mmap_mode="r")
        (folder / f"fit-{os.getpid()}").touch()
        settings = {"checkpoint_seconds": 0, "block_columns": SVM_BLOCK_COLUMNS}
        svm = OneVsRestSVM(row_l2=True, checkpoint=folder / "checkpoint", **settings)
        svm.fit(X, np.arange(len(X)) % SVM_CLASSES)
        np.savez(folder / "result.npz", coef=svm.coef_, intercept=svm.intercept_)

    def phase(self, folder):
        names = {path.name.split("-")[0] for path in folder.glob("checkpoint/*.npz")}
        if "duals" in names:
            return "duals and weights"
        return "Gram matrix" if names else "first block"

    def result(self, folder):
        with np.load(folder / "result.npz") as content:
            return dict(content)

    def leftovers(self, folder):
        return list(folder.rglob("*partial*"))

    clean = None


class Export:
    """`keras-fvvae export`: to be equal to the bit."""

    title, files, tolerance = "export", ("served/.partial-*",), 0.0

    def __init__(self, run, requests):
        self.run, self.requests = run, requests

    def work(self, folder):
        from keras_fvvae.tools.export import command

        _call(command, self.run, "--out", folder / "served")

    def phase(self, folder):
        newest = max(folder.glob("served/*"), key=os.path.getmtime)
        if newest.name.isdigit():
            return "renamed"
        for name, phase in (("assets.extra", "card and warm-up"), ("variables", "graph"), ("", "tracing")):
            if (newest / name).exists():
                return phase
        return "tracing"

    def result(self, folder):
        # A call that was killed after it had renamed its version was complete: the next one has written another.
        paths = sorted(
            (path for path in (folder / "served").iterdir() if path.name.isdigit()), key=lambda p: int(p.name)
        )
        answers = [self._answers(path) for path in paths]
        for path, other in zip(paths, answers, strict=True):
            if unequal := _compare(other, answers[0], self.tolerance)[1]:
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

    def leftovers(self, folder):
        return list((folder / "served").glob(".*"))

    def clean(self, folder):
        self.work(folder)


class ExportWriting(Export):
    """The same, killed after its first files are there: before that it traces graphs, nearly all of its time."""

    title, files = "export, writing", ("served/.partial-*/**/*",)


def main():
    """Prints the table, and writes it."""
    arguments = _arguments()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", *PRELOADED])
    draw, began = random.Random(arguments.seed), time.monotonic()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        folder = Path(folder)
        vectors, images, requests = _write_data(folder)
        jobs = [Train(), Encode(folder / "train-whole/run", images), Svm(vectors)]
        jobs += [kind(folder / "train-whole/run", requests) for kind in (Export, ExportWriting)]
        rows = []
        for number, job in enumerate(jobs):
            if arguments.jobs and job.title not in arguments.jobs and number:
                continue
            kills = len(range(number, arguments.kills, len(jobs)))
            rows.append(_kill_and_compare(context, job, kills if _chosen(arguments, job) else 0, draw, folder))
            print(json.dumps(rows[-1]), flush=True)
    text = _markdown(rows, arguments, time.monotonic() - began)
    print(text)
    if arguments.markdown:
        Path(arguments.markdown).write_text(text)
    if any(row["problems"] for row in rows):
        raise SystemExit(1)


def _chosen(arguments, job):
    return not arguments.jobs or job.title in arguments.jobs


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", nargs="*", help="some of train, encode, SVM, export, 'export, writing'")
    parser.add_argument("--folder", help="for the work; default: the system's temporary folder")
    parser.add_argument("--markdown", help="file for the result")
    return parser.parse_args()


def _write_data(folder):
    import tensorflow as tf

    from keras_fvvae.data import load_digits

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(SVM_CLASSES, SVM_SHAPE[1]))
    rows = 0.1 * centres[np.arange(SVM_SHAPE[0]) % SVM_CLASSES] + rng.normal(size=SVM_SHAPE)
    np.save(folder / "vectors.npy", rows.astype("float32"))
    digits, images = load_digits(), folder / "images"
    images.mkdir()
    contents = [tf.io.encode_png(digits.read(index)).numpy() for index in range(IMAGES)]
    for index, content in enumerate(contents):
        (images / f"{index:04d}.png").write_bytes(content)
    (images / "broken.png").write_bytes(b"no image")
    return folder / "vectors.npy", images, contents[:REQUESTS]


def _kill_and_compare(context, job, kills, draw, folder):
    name = job.title.lower().replace(", ", "-")
    whole = folder / f"{name}-whole"
    seconds = _run(context, job, whole, None)
    expected = job.result(whole)
    phases, problems, largest, done, finished, left, removed = Counter(), [], 0.0, 0, 0, 0, 0
    while done < kills:
        target = folder / f"{name}-{finished}"
        most = min(kills, done + MOST_KILLS)
        while done < most and _run(context, job, target, draw.uniform(0, seconds)) is None:
            phases[job.phase(target)] += 1
            done += 1
        if done == most:
            _run(context, job, target, None)
        difference, unequal = _compare(job.result(target), expected, job.tolerance)
        largest, finished = max(largest, difference), finished + 1
        problems += [f"{target.name}: {what} differs" for what in unequal]
        found = job.leftovers(target)
        left += len(found)
        if found and job.clean:
            for path in found:
                os.utime(path, (time.time() - AGE,) * 2)
            job.clean(target)
            removed += len(found) - len(job.leftovers(target))
            found = job.leftovers(target)
        problems += [f"{target.name}: {path.relative_to(target)} is left" for path in found]
    return {
        "job": job.title, "seconds": seconds, "kills": done, "results": finished, "phases": dict(phases),
        "values": sum(np.size(value) for value in expected.values()), "largest": largest, "tolerance": job.tolerance,
        "left": left, "removed": removed, "problems": problems,
    }  # fmt: skip


def _run(context, job, folder, delay):
    """Starts the job; returns the seconds that it worked, or `None` if it was killed after `delay` of them."""
    folder.mkdir(exist_ok=True)
    before = _files(job, folder)
    process = context.Process(target=_child, args=(job, folder))
    process.start()
    while process.is_alive() and _files(job, folder) <= before:
        time.sleep(POLL_SECONDS)
    began = time.monotonic()
    process.join(delay)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    if process.exitcode:
        raise SystemExit(f"{job.title} in {folder} failed:\n{(folder / 'log.txt').read_text()[-3000:]}")
    return time.monotonic() - began


def _files(job, folder):
    return {path for pattern in job.files for path in folder.glob(pattern)}


def _child(job, folder):
    with open(folder / "log.txt", "a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        job.work(folder)


def _call(command, *words):
    try:
        command([str(word) for word in words], standalone_mode=False)
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"exit code {end.code}") from end


def _compare(found, expected, tolerance):
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


def _markdown(rows, arguments, seconds):
    import tensorflow as tf

    lines = [
        "# Kill -9 at random moments",
        "",
        f"`python -m keras_fvvae.benchmarks.long.kills --kills {arguments.kills} --seed {arguments.seed}`: "
        f"{platform.machine()}, {usable_cores()} cores that other programs used at the same time, "
        f"TensorFlow {tf.__version__}, {datetime.date.today()}, {seconds / 60:.0f} minutes.",
        "",
        "| job | working seconds, undisturbed | kills | results compared | largest difference of a number (allowed) | "
        "half-written files left / removed by the next call after an hour |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        lines.append(
            f"| {row['job']} | {row['seconds']:.1f} | {row['kills']} | {row['results']} of {row['values']:,} values | "
            f"{row['largest']:.1e} ({row['tolerance']:g}) | {row['left']} / {row['removed']} |"
        )
    lines += ["", "Where the kills fell:", "", "| job | phase: kills |", "| --- | --- |"]
    for row in rows:
        lines.append(f"| {row['job']} | {', '.join(f'{phase}: {count}' for phase, count in row['phases'].items())} |")
    problems = [problem for row in rows for problem in row["problems"]]
    lines += ["", *([f"- {problem}" for problem in problems] or ["Every result is the same."]), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
