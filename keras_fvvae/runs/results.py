"""What a training measured: by representation the metrics on the test items, and the facts that they need."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from keras_fvvae.utils.text import parse_json

Metrics = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class RunResults:
    """The results of a run, as `metrics.json` holds them.

    Attributes:
        protocol: what was trained and tested on what, in words.
        representation: name of the run's own representation, such as `"FV-VAE"`; others are computed beside it.
        metrics: by name of the representation what `keras_fvvae.evaluation.metrics.classification_metrics` gives, with
            `dimension` and `mean_average_precision`; empty where nothing was held out for testing.
        skipped: items that could not be used.
        notes: what a reader of the numbers should know.

    Example:
        >>> results = RunResults("10 test images", "FV-VAE", {"AVE": {"accuracy": 0.5}, "FV-VAE": {"accuracy": 0.75}})
        >>> results.own["accuracy"]
        0.75
        >>> RunResults.from_json(results.to_json()) == results
        True
    """

    protocol: str
    representation: str
    metrics: dict[str, Metrics] = dataclasses.field(default_factory=dict)
    skipped: int = 0
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def own(self) -> Metrics | None:
        """The metrics of the run's own representation; `None` without test items."""
        return self.metrics.get(self.representation)

    def to_json(self) -> str:
        """The text of `metrics.json`."""
        facts = {key: getattr(self, key) for key in ("protocol", "representation", "skipped", "notes")}
        text = json.dumps({**facts, "results": self.metrics}, indent=2)
        # Rows of numbers (the confusion matrix) on one line each: a reader wants to see the accuracies.
        return re.sub(r"\[\n[^\[\]{}\"]*\]", lambda row: f"[{' '.join(row[0][1:-1].split())}]", text)

    @classmethod
    def from_json(cls, text: str) -> RunResults:
        """The results of the text of `metrics.json`.

        Raises:
            ValueError, KeyError, TypeError: if it is something else.
        """
        content = parse_json(text, finite=False, unicode=False)
        return cls(
            content["protocol"],
            content["representation"],
            dict(content["results"]),
            content["skipped"],
            list(content["notes"]),
        )
