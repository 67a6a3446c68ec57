"""Fisher vectors, or another representation, as a step of a pipeline of scikit-learn."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from keras_fvvae.data.collection import UNLABELLED, Collection
from keras_fvvae.data.items import item_collection
from keras_fvvae.estimators.descriptors import encode_descriptors, train_on_descriptors
from keras_fvvae.estimators.labelled import class_names, classes_and_labels
from keras_fvvae.estimators.recipe import RecipeEstimator
from keras_fvvae.recipes import Recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training.train import train
from keras_fvvae.zoo.loading import load_encoder


class FisherVectorTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, RecipeEstimator):
    """Learns an FV-VAE, or what else a recipe names, and turns images, videos or descriptors into vectors.

    Images and videos go the way of `FVVAEClassifier`, through a backbone. Descriptors `(n, T, C)`, T of C numbers for
    each of n items, are taken as they are; `(n, C)` are items of one descriptor each. With labels the FV-VAE learns to
    classify as well (`lambda3`); without it is FV-VAE minus. For the vectors of a model that is trained already, there
    is `keras_fvvae.zoo.load_encoder`.

    Args:
        recipe, backbone, backbone_weights, settings, kind, cache, random_state, verbose: see `FVVAEClassifier`. For
            descriptors the recipe's backbone, input, `descriptors` and `validation` are not used.

    Attributes:
        encoder_: the `keras_fvvae.models.FisherEncoder`.
        n_features_in_: of descriptors `(n, T, C)` T, of `(n, C)` C.

    Example:
        >>> import numpy as np
        >>> from sklearn.pipeline import make_pipeline
        >>> from keras_fvvae.svm import OneVsRestSVM
        >>> descriptors = np.random.default_rng(0).random((20, 9, 4))
        >>> tiny = {"latent_dim": 2, "steps": 5, "batch_size": 8}
        >>> FisherVectorTransformer(settings=tiny).fit_transform(descriptors).shape
        (20, 12)
        >>> model = make_pipeline(FisherVectorTransformer(settings=tiny), OneVsRestSVM())
        >>> model.fit(descriptors, np.arange(20) % 2).predict(descriptors[:3]).shape
        (3,)

    Reference:
        Qiu et al., CVPR 2017, Eq. 6 to 13.
    """

    def fit(self, X: Any, y: Any = None) -> FisherVectorTransformer:
        """Learns the representation.

        Args:
            X: items (paths, arrays of any size, Pillow images, a folder, a `tf.data.Dataset`; see
                `keras_fvvae.data.items.item_collection`), or an array of descriptors.
            y: class labels, one per item. Default: none.

        Returns:
            Itself.

        Raises:
            DataError: if items cannot be read, or the recipe cannot learn without labels.
            RecipeError, WeightsError: for a recipe or backbone that cannot be built.
            ValueError: for arrays or labels of another shape, or labels that are no classes.
        """
        recipe = self._chosen_recipe()
        classes = labels = None
        if y is not None:
            classes, labels = classes_and_labels(y)
            if len(classes) < 2:
                classes = labels = None  # nothing to tell apart
        with tempfile.TemporaryDirectory(prefix="keras_fvvae-") as folder:
            if _are_items(X):
                self.encoder_ = self._fit_items(X, labels, classes, recipe, Path(folder, "run"))
                self._reader, self._shape = self.encoder_.reader, None
            else:
                descriptors = self._descriptors(X, reset=True)
                if y is not None:
                    check_consistent_length(X, y)
                run = RunFolder(folder)
                self.encoder_ = train_on_descriptors(recipe, descriptors, labels, run, self.verbose)
                self._reader, self._shape = None, descriptors.shape[1:]
        self._n_features_out = self.encoder_.output_dim
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Unit vectors of what `fit` takes, float32 `(n, output_dim)`.

        Raises:
            DataError: naming the first item that cannot be read.
            ValueError: for another shape of descriptors than that of `fit`, or items where these were fitted.
        """
        check_is_fitted(self, "encoder_")
        if self._reader is not None:
            return self._reader.vectors(self.encoder_, X)
        if _are_items(X):
            raise ValueError("This transformer was fitted on descriptors (n, T, C). Received: images or paths.")
        return encode_descriptors(self.encoder_, self._descriptors(X, reset=False))

    def _fit_items(self, X: Any, labels: Any, classes: Any, recipe: Recipe, run: Path) -> Any:
        """The encoder of a training on images or videos."""
        if labels is None:
            collection = item_collection(X, self.kind)
            collection = Collection(
                collection.sources, collection.names, [UNLABELLED] * len(collection), ["train"] * len(collection), [],
                kind=collection.kind,
            )  # fmt: skip
            recipe = recipe.replace(lambda3=0.0, validation=None)
        else:
            collection = item_collection(X, self.kind, labels, class_names(classes))
        train(recipe, collection, run, backbone_weights=self.backbone_weights, cache=self.cache, verbose=self.verbose)
        return load_encoder(run)

    def _descriptors(self, X: Any, reset: bool) -> np.ndarray:
        """Float32 `(n, T, C)`."""
        values = validate_data(self, X, dtype=np.float32, allow_nd=True, reset=reset)
        if values.ndim > 3:
            raise ValueError(f"Descriptors must be (n, T, C) or (n, C). Received: shape={values.shape}")
        descriptors = values if values.ndim == 3 else values[:, np.newaxis]
        if not reset and descriptors.shape[1:] != self._shape:
            raise ValueError(f"Descriptors of shape {self._shape} were fitted. Received: {descriptors.shape[1:]}")
        return descriptors

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []  # vectors are float32
        return tags


def _are_items(X: Any) -> bool:
    """Whether a caller means images or videos; anything else is judged as an array of descriptors."""
    if isinstance(X, str | os.PathLike | Collection | Image.Image | tf.data.Dataset):
        return True
    if isinstance(X, list | tuple):
        first = X[0] if len(X) else None
        return isinstance(first, str | os.PathLike | Image.Image) or getattr(first, "ndim", 0) >= 3
    dtype = getattr(X, "dtype", None)
    return getattr(X, "ndim", 0) >= 4 or (getattr(X, "ndim", 0) == 1 and getattr(dtype, "kind", "") in "OSU")
