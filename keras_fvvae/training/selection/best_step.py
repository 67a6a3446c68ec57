"""Which step of a training is kept: the last that no earlier one beats significantly on a validation part."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fvvae.evaluation.bootstrap import mcnemar
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training.selection.validation_part import Score, ValidationPart
from keras_fvvae.training.verdict import SIGNIFICANCE, compare
from keras_fvvae.utils.files import sha256
from keras_fvvae.utils.hdf5 import save_weights

if TYPE_CHECKING:
    import keras

# How often a training is scored when the recipe does not say, every time after twice as many steps as before. More
# scores would each be of fewer items, and those before an eighth of the steps say nothing of where they lead.
SCORES_PER_TRAINING = 4
# All scores of a training are to cost at most so much of the time of its steps, where an item that is scored takes as
# long as about so many items of a training step (`keras-fvvae benchmark --only validation`).
SHARE, ITEM_COST = 0.1, 10
# A short training's scores may cost more: of fewer items they would choose at random.
MIN_ITEMS = 64
RECORD = "validation.json"


class Selection:
    """Scores a training on a validation part every so many steps, keeps a step, and says when to stop.

    Kept is the last step that is not significantly worse than the one of the highest accuracy (McNemar's test on the
    same items): a small part tells steps apart by chance, and then the recipe's number of steps knows better than the
    luckiest of four scores. One standard error, which another rule takes for chance, is not enough: of 45 images scored
    at six steps, two in a row were that much worse and ended trainings at an eighth of their steps, ten points below
    the last (docs/training.md).

    Every file is written by renaming, the weights of another step are another file, which the record names once it is
    there, and a score is a function of the step alone: a training that was killed goes on to the same best step.

    Args:
        part: the `ValidationPart`, with the encoder of the model that is trained.
        due: the steps at which it is scored (`scored_steps`); the last is that of the training.
        patience: scores in a row significantly worse after which the training stops.

    Attributes:
        scores: dictionary from step to `Score`, in the order of the steps.

    Reference:
        McNemar, "Note on the sampling error of the difference between correlated proportions", Psychometrika 12, 1947.
    """

    def __init__(self, part: ValidationPart, *, due: set[int], patience: int):
        self.part = part
        self.due = due
        self.patience = patience
        self.scores: dict[int, Score] = {}
        self._best: dict[str, Any] = {}

    def begin(self, run: RunFolder, folder: str) -> bool:
        """Reads what a training that was stopped has scored and kept in a folder of its run; whether it is intact."""
        self.run, self.folder = run, folder
        path = run.path / folder
        if not (path / RECORD).exists():
            return True
        try:
            record = run.read_json(f"{folder}/{RECORD}")
            self.scores = {int(step): Score(*score) for step, score in record["scores"].items()}
            self._best = record["best"]
            intact = sha256(path / _weights_name(self.best_step)) == self._best["sha256"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            intact = False
        if not intact:
            warnings.warn(f"The best step in {path} is damaged; the training begins anew.", stacklevel=2)
            self.scores, self._best = {}, {}
        return intact

    def since(self, step: int) -> None:
        """Forgets the scores of later steps: the training goes on from here."""
        self.scores = {number: score for number, score in self.scores.items() if number <= step}

    def is_due(self, step: int) -> bool:
        """Whether the training is scored at this step."""
        return step in self.due

    def stops(self) -> bool:
        """Whether the training has been worse than its kept step for too long."""
        return bool(self.scores) and sum(step > self.best_step for step in self.scores) >= self.patience

    def update(self, step: int, model: keras.Model) -> None:
        """Scores the encoder as it is now, unless it was, and keeps the model's weights if they are as good as any."""
        if step in self.scores:
            return
        margins = self.part.margins()
        self.scores[step] = Score.of(margins)
        highest = np.array(self._best.get("highest", margins))
        if np.mean(margins > 0) >= np.mean(highest > 0):
            highest = margins
        folder = self.run.path / self.folder
        if not is_worse(margins, highest):
            folder.mkdir(exist_ok=True)
            with self.run.partial(f"{self.folder}/{_weights_name(step)}") as partial:
                save_weights(model, partial)
                self._best = {
                    "step": step,
                    "margins": margins.tolist(),
                    "highest": highest.tolist(),
                    "sha256": sha256(partial),
                }
        self.run.write_json(f"{self.folder}/{RECORD}", {"scores": self.scores, "best": self._best})
        for path in folder.glob(_weights_name("*")):
            if path.name != _weights_name(self.best_step):
                path.unlink()

    @property
    def best_step(self) -> int:
        """The step whose weights are kept."""
        return self._best["step"]

    def take_best(self, model: keras.Model) -> None:
        """Loads the kept step's weights into the model."""
        model.load_weights(self.run.path / self.folder / _weights_name(self.best_step))

    def outcome(self) -> dict[str, Any]:
        """What the run's `validation.json` holds of a finished training."""
        part = self.part
        return {
            "learnt": part.num_learnt,
            "held_out": part.num_held_out,
            "scored": len(part.held_out),
            "planned_steps": max(self.due),
            "best_step": self.best_step,
            "scores": {str(step): score._asdict() for step, score in self.scores.items()},
            **compare(np.array(self._best["margins"]), part.average_margins()),
        }


def _weights_name(step):
    return f"best-{step}.weights.h5"


def is_worse(margins: np.ndarray, others: np.ndarray) -> bool:
    """Whether one step classifies the items significantly worse than another, from the margins by which each is right.

    Example:
        >>> right, wrong = np.ones(9), -np.ones(9)
        >>> is_worse(wrong, right), is_worse(right, wrong), is_worse(np.append(wrong[:5], right[5:]), right)
        (True, False, False)
    """
    comparison = mcnemar(others > 0, margins > 0)
    return comparison["only_first"] > comparison["only_second"] and comparison["p_value"] < SIGNIFICANCE


def scored_items(steps: int, batch_size: int, scores: int) -> int:
    """How many items a score may be of, for a training of so many steps that is scored so often.

    Example:
        >>> scored_items(600, 64, 4), scored_items(100, 64, 4), scored_items(20_000, 128, 4)
        (96, 64, 6400)
    """
    return max(MIN_ITEMS, int(SHARE * steps * batch_size / (scores * ITEM_COST)))


def scored_steps(steps: int, every: int | None = None) -> set[int]:
    """The steps at which a training of so many is scored; the last is one of them.

    Args:
        steps: of the training.
        every: steps between two scores; `None`: at an eighth of the steps, a quarter, a half, and all.

    Example:
        >>> sorted(scored_steps(600)), sorted(scored_steps(500, every=200))
        ([75, 150, 300, 600], [200, 400, 500])
    """
    if every is None:
        return {math.ceil(steps / 2**number) for number in range(SCORES_PER_TRAINING)}
    return {*range(every, steps, every), steps}
