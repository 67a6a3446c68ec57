"""Runs of format 1, which keras_fvvae 0.1 wrote, as the classes that hold those of today."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_fvvae.runs.results import RunResults

# What metrics.json held beside the results; everything else in it was one, with its scores.
_FACTS = ("protocol", "skipped", "notes")


def results(metrics: dict[str, Any], representation: str) -> RunResults:
    """The results in the content of `metrics.json`; `representation` is the name of the run's own."""
    found = {
        name: {key: value for key, value in result.items() if key != "scores"}
        for name, result in metrics.items()
        if name not in _FACTS
    }
    return RunResults(metrics["protocol"], representation, found, metrics.get("skipped", 0), metrics.get("notes", []))


def scores(metrics: dict[str, Any]) -> dict[str, np.ndarray]:
    """By representation the scores `(test items, classes)` in the content of `metrics.json`."""
    return {name: np.asarray(result["scores"]) for name, result in metrics.items() if name not in _FACTS}


def splits(items: int, tested: int) -> list[str]:
    """The splits of a run's items: those of the test came last."""
    return ["train"] * (items - tested) + ["test"] * tested
