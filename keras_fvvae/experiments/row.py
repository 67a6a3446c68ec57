"""A row of a table of results, before and after it is run. Needs no TensorFlow."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from keras_fvvae.recipes import Recipe


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        name: in the table.
        recipe: what is trained; `None` for a fusion, and for what this library does not do.
        paper: the paper's figures by column, in percent.
        fuse: names of rows whose scores are fused instead.
        scores: file of another method's scores instead, see `keras_fvvae.evaluation.score_tables.read_scores`.
        reason: why it cannot be run.
    """

    name: str
    recipe: Recipe | None = None
    paper: dict = dataclasses.field(default_factory=dict)
    fuse: tuple = ()
    scores: str | Path = ""
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a row: figures, or the reason why there are none.

    Attributes:
        name, paper: as in the row.
        metrics: of the test part, as from `plain_metrics`; empty if it was not run.
        settings: of the representation, in words.
        seconds: of fitting, encoding and classifying, as in a run's seconds.json.
        items: how many were encoded.
        run: the run's folder.
        scores: the file of scores, where it is another method's.
        reason: why there are no metrics.
        protocol: of the run.
    """

    name: str
    paper: dict
    metrics: dict = dataclasses.field(default_factory=dict)
    settings: str = ""
    seconds: dict = dataclasses.field(default_factory=dict)
    items: int = 0
    run: Path | None = None
    scores: str = ""
    reason: str = ""
    protocol: str = ""

    @property
    def encode_ms(self) -> float | None:
        """Milliseconds to encode an item from its activations; `None` if unknown."""
        return 1e3 * self.seconds["encode"] / self.items if self.items and "encode" in self.seconds else None
