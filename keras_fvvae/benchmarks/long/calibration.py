"""What calibration makes of finished runs' scores: every method's calibration error on the test items.

    python -m keras_fvvae.benchmarks.long.calibration RUN... [--folds 5] [--seed 0] [--markdown FILE]

The runs may be of any version: of each the vectors of the training items are cross-validated as its training does it,
on one Gram matrix for all methods, and the run's own test scores are calibrated by what that gives. Nothing is written
to a run.
"""

import argparse
import datetime
import platform
import shlex
import sys
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedKFold

from keras_fvvae.evaluation.calibration_error import calibration_error, squashed
from keras_fvvae.reporting.reliability import error_text
from keras_fvvae.runs.vectors import RunVectors
from keras_fvvae.svm import OneVsRestSVM
from keras_fvvae.svm.calibration import METHODS, Calibration
from keras_fvvae.svm.calibrators import fit_calibration
from keras_fvvae.tasks.scores.streams import read_run
from keras_fvvae.utils.files import write_atomically


def main() -> None:
    """Prints the table, and writes it."""
    arguments = _arguments()
    rows = [row for path in arguments.runs for row in _rows(path, arguments.folds, arguments.seed)]
    command = shlex.join(["python", "-m", "keras_fvvae.benchmarks.long.calibration", *sys.argv[1:]])
    lines = [
        f"    {command}",
        "",
        f"{datetime.date.today()}, {platform.machine()}, Python {platform.python_version()}.",
        "",
        "| run | confidence | accuracy | calibration error of the test items | log loss | mean confidence |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows,
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.markdown:
        write_atomically(arguments.markdown, text.encode())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", help="file for the result")
    return parser.parse_args()


def calibrations(run: RunVectors, folds: int, seed: int) -> dict[str, Calibration]:
    """By method the calibration that the training of a run with these folds would have kept."""
    vectors, labels = run.values[: run.labelled], run.train_labels
    splits = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels))
    svm = OneVsRestSVM(run.C, probability="temperature", cv=splits).fit(vectors, labels)
    numbers = np.empty(len(labels), int)
    for number, (_, left_out) in enumerate(splits):
        numbers[left_out] = number
    places = np.searchsorted(svm.classes_, labels)
    fitted = {method: fit_calibration(method, svm.cv_decisions_, places, numbers)[0] for method in METHODS}
    return {method: one.expanded(svm.classes_, len(run.class_names)) for method, one in fitted.items()}


def _rows(path: str, folds: int, seed: int) -> list[str]:
    run = read_run(path)
    scores, labels = run.test.values, run.test_labels
    items, best = np.arange(len(labels)), scores.argmax(axis=1)
    name = (
        f"{Path(path).name}: {run.representation}, {run.labelled} / {len(labels)} items, {len(run.class_names)} classes"
    )
    rows = [_row(name, "scores through a sigmoid", best == labels, squashed(scores), None, best == labels)]
    for method, calibration in calibrations(run, folds, seed).items():
        probabilities = calibration.probabilities(scores)
        own = probabilities[items, labels]
        # Of the class with the best score, as `predict` answers; the most probable one may be another.
        rows.append(
            _row("", method, best == labels, probabilities[items, best], own, probabilities.argmax(axis=1) == labels)
        )
    return rows


def _row(
    name: str, method: str, right: np.ndarray, confidences: np.ndarray, own: np.ndarray | None, most: np.ndarray
) -> str:
    error = error_text(calibration_error(np.clip(confidences, 0, 1), right)).removeprefix("error ")
    loss = "" if own is None else f"{-np.log(own).mean():.3f}"
    return f"| {name} | {method} | {100 * most.mean():.1f} | {error} | {loss} | {100 * confidences.mean():.1f} |"


if __name__ == "__main__":
    main()
