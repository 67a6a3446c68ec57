"""The one-vs-all SVM against scikit-learn's LinearSVC: time, memory above X, decisions.

    python -m keras_fvvae.benchmarks.long.svm [--samples 2000] [--features 131072] [--classes 101] [--problems 5]
    # only this library, raw float16 memory map
    python -m keras_fvvae.benchmarks.long.svm --map-samples 9537 --map-features 131072

Every job runs in a process of its own, which reads the same file, so that its peak of memory is its own. LinearSVC
solves --problems of its one-vs-rest problems, each timed, and the rest is extrapolated; the ratio of CPU times says
what the work costs where other programs disturb the clock. Decisions are compared on held-out rows: of those problems
at full length, and of all classes at --full-features columns, where LinearSVC can be run whole.

Vectors are made: `0.25 c_class + 2 f B + e` with normal class centres c, 100 normal directions B that all classes
share, and noise e; then signed square root and unit length (left to the library in the memory map's job).
"""

import argparse
import json
import platform
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import sklearn
from sklearn.svm import LinearSVC

from keras_fvvae.svm import OneVsRestSVM
from keras_fvvae.utils.cores import usable_cores

C = 100.0
SHARED_DIRECTIONS = 100
CLASS_STRENGTH = 0.25
ROWS = 250
MB = 2**20


def main() -> None:
    """Prints tables and writes them as JSON."""
    arguments = _arguments()
    if arguments.folder is not None:
        Path(arguments.folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        if arguments.map_samples:
            report = _memory_map(arguments, Path(folder))
        else:
            report = _against_linear_svc(arguments, Path(folder))
    report["machine"] = f"{platform.machine()}, {usable_cores()} cores, scikit-learn {sklearn.__version__}"
    print(json.dumps(report, indent=1))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(report, indent=1))


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--held-out", type=int, default=1000)
    parser.add_argument("--features", type=int, default=131072)
    parser.add_argument("--classes", type=int, default=101)
    parser.add_argument("--problems", type=int, default=5, help="one-vs-rest problems that LinearSVC solves")
    parser.add_argument(
        "--full-features", type=int, default=8192, help="columns at which LinearSVC solves all; 0: none"
    )
    parser.add_argument("--map-samples", type=int, default=0, help="instead: memory of a fit to a raw float16 map")
    parser.add_argument("--map-features", type=int, default=131072)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--folder", help="for the vectors; default: the system's temporary folder")
    parser.add_argument("--json", help="file for the results")
    return parser.parse_args()


def _against_linear_svc(arguments, folder):
    classes, samples = arguments.classes, arguments.samples
    path, labels = folder / "vectors.npy", np.arange(samples + arguments.held_out) % classes
    _write_vectors(path, labels, arguments.features, "float32", normalised=True)
    solved = range(arguments.problems)
    jobs = {
        "free": (_fit_ours, path, samples, labels, {"n_jobs": arguments.n_jobs}),
        "penalised": (_fit_ours, path, samples, labels, {"penalize_intercept": True, "tol": 1e-4}),
        "linear_svc": (_fit_linear_svc, path, samples, labels, solved),
    }
    results = {}
    for name, job in jobs.items():
        results[name] = _alone(*job)
        print(name, {key: value for key, value in results[name].items() if key != "decisions"}, flush=True)
    reference = results["linear_svc"]
    for clock in ("seconds", "cpu_seconds"):
        reference[clock] = float(np.mean(reference[f"{clock}_each"])) * classes
    table = {}
    for name, result in results.items():
        decisions = result["decisions"][:, solved]
        table[name] = {
            **{key: value for key, value in result.items() if key != "decisions"},
            "time_ratio": reference["seconds"] / result["seconds"],
            "cpu_time_ratio": reference["cpu_seconds"] / result["cpu_seconds"],
            "memory_share": result["peak_mb"] / reference["peak_mb"],
            "largest_difference": float(np.abs(decisions - reference["decisions"]).max()),
            "sign_agreement": float(((decisions > 0) == (reference["decisions"] > 0)).mean()),
            "argmax_agreement_solved": _agreement(decisions, reference["decisions"]),
        }
        if result["decisions"].shape[1] == classes:
            table[name]["accuracy"] = float((result["decisions"].argmax(axis=1) == labels[samples:]).mean())
    if arguments.full_features:
        short = folder / "short.npy"
        _write_vectors(short, labels, arguments.full_features, "float32", normalised=True)
        whole = _alone(_fit_linear_svc, short, samples, labels, range(classes))["decisions"]
        for name in ("free", "penalised"):
            ours = _alone(_fit_ours, short, samples, labels, jobs[name][-1])["decisions"]
            table[name]["argmax_agreement_full"] = _agreement(ours, whole)
            table[name]["largest_difference_full"] = float(np.abs(ours - whole).max())
        table["linear_svc"]["accuracy_full"] = float((whole.argmax(axis=1) == labels[samples:]).mean())
    return {"arguments": vars(arguments), "results": table}


def _memory_map(arguments, folder):
    path, labels = folder / "raw.npy", np.arange(arguments.map_samples) % arguments.classes
    _write_vectors(path, labels, arguments.map_features, "float16", normalised=False)
    options = {"signed_sqrt": True, "row_l2": True, "n_jobs": arguments.n_jobs, "verbose": 1}
    return {"arguments": vars(arguments), "results": _alone(_fit_map, path, labels, options)}


def _write_vectors(path, labels, features, dtype, normalised):
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((labels.max() + 1, features), np.float32)
    directions = rng.standard_normal((SHARED_DIRECTIONS, features), np.float32) / SHARED_DIRECTIONS**0.5
    vectors = np.lib.format.open_memmap(path, "w+", dtype, (len(labels), features))
    for first in range(0, len(labels), ROWS):
        some = labels[first : first + ROWS]
        values = rng.standard_normal((len(some), features), np.float32)
        values += CLASS_STRENGTH * centres[some]
        values += 2 * rng.standard_normal((len(some), SHARED_DIRECTIONS), np.float32) @ directions
        if normalised:
            values = np.copysign(np.sqrt(np.abs(values)), values)
            values /= np.linalg.norm(values, axis=1, keepdims=True)
        vectors[first : first + ROWS] = values
    vectors.flush()


def _alone(job, *arguments):
    """Runs a job in a fresh process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(job, *arguments).result()


def _fit_ours(path, samples, labels, options):
    vectors = np.load(path, mmap_mode="r")
    X = np.array(vectors[:samples])
    before, start, cpu_start = _resident_mb(), time.perf_counter(), time.process_time()
    svm = OneVsRestSVM(C=C, **options).fit(X, labels[:samples])
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    peak = _peak_mb() - before
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mb": peak,
        "decisions": svm.decision_function(vectors[samples:]),
    }


def _fit_linear_svc(path, samples, labels, classes):
    vectors = np.load(path, mmap_mode="r")
    X, held_out = np.array(vectors[:samples]), vectors[samples:]
    before, seconds, cpu_seconds, solvers = _resident_mb(), [], [], []
    for positive in classes:
        start, cpu_start = time.perf_counter(), time.process_time()
        solvers.append(LinearSVC(C=C, loss="hinge", random_state=0).fit(X, labels[:samples] == positive))
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    peak = _peak_mb() - before
    weights = np.concatenate([solver.coef_ for solver in solvers])
    intercepts = np.concatenate([solver.intercept_ for solver in solvers])
    decisions = np.concatenate([held_out[i : i + ROWS] @ weights.T for i in range(0, len(held_out), ROWS)])
    passes = [int(np.max(solver.n_iter_)) for solver in solvers]
    return {
        "seconds_each": seconds,
        "cpu_seconds_each": cpu_seconds,
        "passes": passes,
        "peak_mb": peak,
        "decisions": decisions + intercepts,
    }


def _fit_map(path, labels, options):
    vectors = np.load(path, mmap_mode="r")
    before, anonymous, stop = _resident_mb(), [], threading.Event()

    def watch():
        while not stop.wait(0.1):
            anonymous.append(_resident_mb("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    svm = OneVsRestSVM(C=C, **options).fit(vectors, labels)
    seconds = time.perf_counter() - start
    stop.set()
    watcher.join()
    return {
        "seconds": seconds,
        "x_mb": vectors.nbytes / MB,
        "before_mb": before,
        "peak_mb": _peak_mb(),
        "peak_anonymous_mb": max(anonymous),
        "coef_mb": svm.coef_.nbytes / MB,
        "training_accuracy_of_first_500": float(np.mean(svm.predict(vectors[:500]) == labels[:500])),
    }


def _agreement(one, other):
    return float((one.argmax(axis=1) == other.argmax(axis=1)).mean())


def _peak_mb():
    # Not `ru_maxrss`: a process begins with that of the one that started it, which has written 10 GB.
    return _resident_mb("VmHWM")


def _resident_mb(field="VmRSS"):
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
