"""Jobs that are killed with SIGKILL at random moments and started again: do they end with the same result?

    python -m keras_fvvae.benchmarks.long.kills [--kills 60] [--seed 0] [--markdown docs/benchmarks/kills.md]

Five jobs, one after the other: training digits_conv on every fourth digit, a fifth of which chooses the step, an
`Extraction` of a folder of images, `OneVsRestSVM.fit` with a checkpoint, `keras-fvvae export`, and its last part, from
the first file written on. Each is run once undisturbed. Then it is started in a new folder, killed after a random time
between 0 and the seconds that the undisturbed one worked, and started again in the same folder, up to four times, until
a call comes to its end; that result is compared with the undisturbed one. New folders follow until the job has had its
share of kills.

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
from typing import Any

import numpy as np

from keras_fvvae.benchmarks.long.kill_jobs import (
    IMAGES,
    REQUESTS,
    SVM_CLASSES,
    Encode,
    Export,
    ExportWriting,
    Svm,
    Train,
    compare,
)
from keras_fvvae.utils.cores import usable_cores

SVM_SHAPE = (1500, 8192)
# What kills leave in folders that several processes may write to is removed when it is older than this.
AGE = 2 * 3600
# Of calls in one folder: a job that keeps nothing between two of them would never come to its end.
MOST_KILLS = 4
POLL_SECONDS = 0.005
PRELOADED = [
    "keras_fvvae.tools.export",
    "keras_fvvae.training.train",
    "keras_fvvae.tasks.export_runs",
    "keras_fvvae.encoding.extraction",
]


def main() -> None:
    """Prints the table, and writes it."""
    arguments = _arguments()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", *PRELOADED])
    draw, began = random.Random(arguments.seed), time.monotonic()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        folder = Path(folder)
        vectors, images, requests = _write_data(folder)
        jobs: list[Any] = [Train(), Encode(folder / "train-whole/run", images), Svm(vectors)]
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
        difference, unequal = compare(job.result(target), expected, job.tolerance)
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
        "job": job.title,
        "seconds": seconds,
        "kills": done,
        "results": finished,
        "phases": dict(phases),
        "values": sum(np.size(value) for value in expected.values()),
        "largest": largest,
        "tolerance": job.tolerance,
        "left": left,
        "removed": removed,
        "problems": problems,
    }


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
