"""The state of a training after a whole number of steps, on disk with its SHA-256."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.utils.files import sha256
from keras_fvvae.utils.hdf5 import save_weights
from keras_fvvae.utils.text import parse_json

if TYPE_CHECKING:
    from keras_fvvae.training.processes.interface import Trained

History = dict[str, list[float]]
_PATTERN = "step-*.weights.h5"


class TrainingCheckpoints:
    """Weights, optimizer state and history of a training; the newest two are kept.

    `step-NNNNNNNN.weights.h5` holds the first two, the `.json` file beside it the history and the SHA-256 of all three.
    The weights come last: without them there is no checkpoint.

    Args:
        model: the compiled model that is saved and restored.
        trained: what trains it; it is asked to write its weights back before every save.
        run: a `RunFolder`.
        name: of their folder in the run.
        enabled: whether they are written; of several processes the chief's are.
        seconds: how long after the last one the next is due: what a kill costs at most.
    """

    def __init__(
        self, model: keras.Model, trained: Trained, run: RunFolder, name: str, *, enabled: bool, seconds: float
    ):
        self.model = model
        self.trained = trained
        self.run = run
        self.name = name
        self.folder = run.path / name
        self.enabled = enabled
        self.seconds = seconds
        self._last = time.monotonic()

    def restore(self) -> History:
        """Loads the newest intact checkpoint into the model; returns its history, empty without one.

        A damaged one is removed, so that the training writes it again, and warned of.
        """
        damaged, history, step = [], {}, 0
        for path in sorted(self.folder.glob(_PATTERN), reverse=True):
            try:
                history = _read_history(path)
                self.model.load_weights(path)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                history = {}
                damaged.append(path)
                continue
            step = _step(path)
            break
        for path in damaged:
            where = f"from step {step}" if history else "anew"
            warnings.warn(f"The checkpoint {path} is damaged; the training goes on {where}.", stacklevel=2)
            if self.enabled:
                _remove(path)
        return history

    def discard(self) -> None:
        """Removes all of them: the training begins anew."""
        for path in self.folder.glob(_PATTERN):
            _remove(path)

    def save_if_due(self, history: History) -> None:
        """Saves if the last one is long enough ago."""
        if time.monotonic() - self._last >= self.seconds:
            self.save(history)

    def save(self, history: History) -> None:
        """Writes the state of now, unless it is there already."""
        if not self.enabled:
            return
        self.trained.write_back()
        step = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        path = self.folder / f"step-{step:08d}.weights.h5"
        if step == 0 or path.exists():
            return
        self.folder.mkdir(exist_ok=True)
        with self.run.partial(f"{self.name}/{path.name}") as partial:
            save_weights(self.model, partial)
            content = {"history": history, "sha256": _digest(partial, history)}
            self.run.write_json(f"{self.name}/{_history_path(path).name}", content)
        for old in sorted(self.folder.glob(_PATTERN))[:-2]:
            _remove(old)
        self._last = time.monotonic()


def _read_history(path: Path) -> History:
    """The history of a checkpoint whose files are intact.

    Raises:
        OSError, ValueError, KeyError, TypeError, AttributeError: if they are not.
    """
    content = parse_json(_history_path(path).read_bytes(), finite=False)
    # Those of keras_fvvae 0.1 hold nothing but the history; a training begun with it goes on.
    history = content["history"] if "sha256" in content else content
    if "sha256" in content and _digest(path, history) != content["sha256"]:
        raise ValueError("its SHA-256 has changed")
    if {len(values) for values in history.values()} != {_step(path)}:
        raise ValueError("its history is of another step")
    return history


def _digest(path: Path, history: History) -> str:
    return hashlib.sha256(f"{sha256(path)} {json.dumps(history)}".encode()).hexdigest()


def _step(path: Path) -> int:
    return int(path.name[5:13])


def _history_path(path: Path) -> Path:
    return path.with_suffix("").with_suffix(".json")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    _history_path(path).unlink(missing_ok=True)
