"""A training's folder: what it is made of, how it is continued, how it is read."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fvvae.errors import RecipeError, RunError
from keras_fvvae.recipes import Recipe, recipe_from_yaml
from keras_fvvae.runs import files, reading, upkeep
from keras_fvvae.runs.identity import data_identity, differences
from keras_fvvae.runs.manifest import Manifest, read_manifest, write_manifest
from keras_fvvae.runs.results import RunResults
from keras_fvvae.utils.files import reason, replacing, write_atomically, write_json
from keras_fvvae.utils.text import parse_json

if TYPE_CHECKING:
    from keras_fvvae.data import Collection
    from keras_fvvae.models import Classifier, Encoder
    from keras_fvvae.runs.vectors import RunVectors
    from keras_fvvae.svm.calibration import Calibration


class RunFolder:
    """The folder of one training.

        recipe.yaml      every setting, defaults included
        labels.json      class names in the order of the scores
        fine_tuning/     the state of the backbone's fine-tuning, removed like the checkpoints; fine_tuning.json: losses
        branches/        of a recipe with branches: the run of each
        checkpoints*/    the newest state of each stage of the training, removed when it is finished
        history.json     losses over the steps
        validation.json  with a validation part: its scores over the steps, and which step was kept
        calibration.json how scores become probabilities, or why not, and how good that is on held-out training items
        held_out.npy     of the labelled training items: fold, and scores of the SVM that has not seen it
        model.keras      the classifier: backbone, descriptors, FV-VAE, Fisher normalisation, SVM; without labels no SVM
        vectors.npy      normalised Fisher vectors, the training part first; vectors.json: names, labels and splits
        digests.json     SHA-256 of the training items' contents, where they are files
        metrics.json     accuracies on the test part, with the protocol
        scores.npy       scores `(representations, test items, classes)`, in the order of metrics.json
        seconds.json     how long the parts of the training took; of a continued one, what was left of it
        origin.json      data, command, date, versions, SHA-256 of the backbone's weights: for the reader of a report
        skipped.csv      items that could not be used, each with its reason
        damaged.csv      items, if any, that are used as far as they can be read, each with what is wrong
        manifest.json    SHA-256 of all these: its presence says that the run is finished

    Every file is written beside and renamed into place, so a run that was stopped anywhere can be continued.

    Args:
        path: of the folder.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike,
        recipe: Recipe,
        collection: Collection,
        weights_source: str | None = None,
        overwrite: bool = False,
    ) -> RunFolder:
        """Creates a folder for a training, or opens that of the same training to continue it.

        `weights_source` says, as text, where the backbone's weights come from: other weights are another training.

        Raises:
            RunError: if the folder cannot be written, or holds something else.
        """
        run = cls(path)
        data = data_identity(collection, weights_source)
        if run.path.exists():
            found = run._differences(recipe, data)
            if not overwrite and not found:
                upkeep.remove_leftovers(run.path)
                return run
            if not overwrite and upkeep.holds_results(run.path):
                raise RunError(
                    f"{run.path} holds another training ({'; '.join(found)}). Choose another folder with --out, "
                    f"or replace it with --overwrite."
                )
            upkeep.clear(run.path)
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            run.write_json(files.LABELS, {"class_names": collection.class_names, "data": data})
            run.write(files.RECIPE, recipe.to_yaml().encode())
        except OSError as error:
            raise RunError(f"The output folder {run.path} cannot be written: {reason(error)}.") from error
        return run

    @classmethod
    def open(cls, path: str | os.PathLike) -> RunFolder:
        """Opens a finished run and checks its files, but for the vectors: these are checked when they are read.

        Raises:
            RunError: if there is none, it is not finished, or a file of it is missing or was altered.
        """
        run = cls(path)
        run.require_finished()
        for name in run.manifest.sha256.keys() - {files.VECTORS}:
            run.manifest.check(run.path, name)
        return run

    def require_finished(self) -> None:
        """Refuses what is not the folder of a finished training, without reading its files.

        Raises:
            RunError: saying what it is instead.
        """
        if not self.path.exists():
            raise RunError(f"The run {self.path} does not exist.")
        if not self.is_run():
            raise RunError(f"{self.path} is not a run of keras_fvvae: it holds no recipe.yaml.")
        if not self.is_finished():
            raise RunError(f"The training in {self.path} is not finished: repeat its `keras-fvvae train` to go on.")

    def is_run(self) -> bool:
        return (self.path / files.RECIPE).is_file()

    def is_finished(self) -> bool:
        return (self.path / files.MANIFEST).is_file()

    @property
    def manifest(self) -> Manifest:
        """Format and digests of a finished run.

        Raises:
            RunError: if it is damaged or of a newer format.
        """
        return read_manifest(self.path)

    @property
    def recipe(self) -> Recipe:
        path = self.path / files.RECIPE
        return recipe_from_yaml(path.read_text(encoding="utf-8"), str(path))

    @property
    def kind(self) -> str:
        """What it was trained on: "image" or "video"."""
        return self.read_json(files.LABELS)["data"]["kind"]

    @property
    def class_names(self) -> list[str]:
        """In the order of the scores; empty without labels."""
        return self.read_json(files.LABELS)["class_names"]

    @property
    def history(self) -> dict[str, list[float]]:
        """By name of a loss its values, one per step."""
        return self.read_json(files.HISTORY)

    @property
    def validation(self) -> dict[str, Any]:
        """What a validation part chose, as `Selection.outcome` of the training gives it; empty without one."""
        return self.read_json(files.VALIDATION) if (self.path / files.VALIDATION).is_file() else {}

    @property
    def calibration_record(self) -> dict[str, Any]:
        """What was decided about probabilities and measured on held-out training items; empty for older runs."""
        return self.read_json(files.CALIBRATION) if (self.path / files.CALIBRATION).is_file() else {}

    @property
    def calibration_note(self) -> str:
        """What was decided about probabilities, in a sentence."""
        return self.calibration_record.get("said", "There are no probabilities: the run is of an older version.")

    @property
    def calibration(self) -> Calibration | None:
        """The map from scores to probabilities; `None` where the run has none, as those of older versions.

        Raises:
            RunError: if its file is damaged.
        """
        return reading.read_calibration(self.path)

    @property
    def seconds(self) -> dict[str, float]:
        """How long the parts of the training took; empty where that was not noted."""
        return self.read_json(files.SECONDS) if (self.path / files.SECONDS).is_file() else {}

    @property
    def origin(self) -> dict[str, Any]:
        """How the run came about, as `keras_fvvae.runs.origin.origin` gives it; empty for older runs."""
        return self.read_json(files.ORIGIN) if (self.path / files.ORIGIN).is_file() else {}

    @property
    def backbone_source(self) -> str:
        """Where the backbone's weights came from, in words or as the SHA-256 of a file."""
        return self.read_json(files.LABELS)["data"]["backbone_weights"] or ""

    @property
    def model_path(self) -> Path:
        """Of the saved classifier, of a run without labels of the encoder."""
        return self.path / files.MODEL

    def classifier(self) -> Classifier:
        """The trained classifier.

        Raises:
            WeightsError: if the run holds an encoder alone, trained without labels.
        """
        from keras_fvvae.builders.encoders import load_model  # imports Keras, which reading results needs not
        from keras_fvvae.models import Classifier

        return load_model(self.model_path, (Classifier,))

    def encoder(self) -> Encoder:
        """The trained encoder, the classifier's or alone."""
        from keras_fvvae.builders.encoders import load_encoder  # imports Keras, which reading results needs not

        return load_encoder(self.model_path)

    @property
    def results(self) -> RunResults:
        """What the training measured.

        Raises:
            RunError: if its file is damaged.
        """
        return reading.read_results(self.path, self.manifest, self.recipe)

    def scores(self) -> dict[str, np.ndarray]:
        """By representation the scores of the test items, float64 `(test items, classes)`; empty without these.

        Raises:
            RunError: if their file is damaged.
        """
        return reading.read_scores(self.path, self.manifest, self.results)

    def vectors(self) -> RunVectors:
        """The run's items with their vectors, which are read and checked when they are first used.

        Raises:
            RunError: if a file is damaged.
        """
        from keras_fvvae.runs.vectors import RunVectors  # imports TensorFlow, which results need not

        manifest, representation = self.manifest, self.results.representation
        scores = self.scores().get(representation)
        names, labels, splits = reading.read_items(self.path, manifest, scores)
        return RunVectors(
            path=str(self.path),
            representation=representation,
            class_names=self.class_names,
            names=names,
            labels=labels,
            splits=splits,
            scores=scores,
            C=self.recipe.svm_c,
            read=functools.partial(reading.read_vectors, self.path, manifest),
            calibration=self.calibration,
        )

    def held_out(self) -> tuple[np.ndarray, np.ndarray] | None:
        """What `write_held_out` wrote: scores and folds; `None` of runs without calibration or of an older version.

        Raises:
            RunError: if the file is damaged.
        """
        return reading.read_held_out(self.path)

    def calibration_splits(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The folds of the calibration, in which groups stay together, as rows of the others and their own.

        Empty where `held_out` is `None`.
        """
        kept = self.held_out()
        if kept is None:
            return []
        _, folds = kept
        return [(np.flatnonzero(folds != one), np.flatnonzero(folds == one)) for one in np.unique(folds)]

    def training_names(self) -> list[str]:
        """Names of the training items, those without label too.

        Raises:
            RunError: if their file is damaged.
        """
        names, _, splits = reading.read_items(self.path, self.manifest, self.scores().get(self.results.representation))
        return [name for name, split in zip(names, splits, strict=True) if split == "train"]

    def training_digests(self) -> list[str]:
        """SHA-256 of the contents of the training items that are files; empty where they were not noted.

        Raises:
            RunError: if their file is damaged.
        """
        return reading.read_digests(self.path)

    def write(self, name: str, content: bytes) -> None:
        """Writes a file of bytes whole or not at all."""
        write_atomically(self.path / name, content)

    def write_json(self, name: str, content: Any) -> None:
        write_json(self.path / name, content, indent=2)

    def read_json(self, name: str) -> Any:
        return parse_json((self.path / name).read_bytes(), finite=False, unicode=False)

    @contextlib.contextmanager
    def partial(self, name: str) -> Iterator[Path]:
        """A path beside `name` to write to; renamed to `name` when the block ends well, removed otherwise."""
        with replacing(self.path / name, unique=False) as partial:
            yield partial

    def write_items(self, names: list[str], labels: list[int], splits: list[str]) -> None:
        """Writes what the rows of the vectors are: labelled training items, others without label, test items."""
        self.write_json(files.ITEMS, {"names": names, "labels": labels, "splits": splits})

    def write_held_out(self, scores: np.ndarray, folds: np.ndarray) -> None:
        """Writes scores `(labelled training items, trained classes)` of SVMs of the other folds, and the folds."""
        rows = np.empty(len(scores), [("fold", "<i4"), ("scores", "<f4", scores.shape[1:])])
        rows["fold"], rows["scores"] = folds, scores
        with self.partial(files.HELD_OUT) as partial, open(partial, "wb") as file:
            np.save(file, rows)

    def write_digests(self, collection: Collection) -> None:
        """Writes digests of the training items of a collection, by which `predict` tells that it has seen a file."""
        from keras_fvvae.data.content import content_digest

        paths = [collection.sources[index] for index in collection.indices("train")]
        digests = [content_digest(path) for path in paths if isinstance(path, str | os.PathLike)]
        if digests:
            self.write_json(files.DIGESTS, {"sha256": sorted(set(digests))})

    def write_results(self, results: RunResults, scores: dict[str, np.ndarray]) -> None:
        """Writes results, and scores `(test items, classes)` of the representations that they are of."""
        if scores:
            with self.partial(files.SCORES) as partial, open(partial, "wb") as file:
                np.save(file, np.stack([scores[name] for name in results.metrics]))
        self.write(files.METRICS, results.to_json().encode())

    def finish(self) -> None:
        """Writes the manifest and removes the checkpoints."""
        write_manifest(self.path)
        upkeep.remove_leftovers(self.path)

    def _differences(self, recipe: Recipe, data: dict[str, Any]) -> list[str]:
        """How the training in the folder differs from the one asked for, in words."""
        try:
            return differences(self.recipe, recipe, self.read_json(files.LABELS)["data"], data)
        except (OSError, ValueError, KeyError, TypeError, RecipeError):
            return ["its settings are incomplete"]
