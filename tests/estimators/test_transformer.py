"""Vectors as a step of a pipeline: scikit-learn's own checks, descriptors, images."""

import pickle

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from keras_fvvae.errors import DataError
from keras_fvvae.estimators import FisherVectorTransformer
from keras_fvvae.svm import OneVsRestSVM
from tests.estimators.conftest import SMALL

TINY = {"latent_dim": 2, "steps": 2, "batch_size": 8}


def expected_failures(estimator):
    """What float32 cannot keep: a row's last bit depends on its place in a batch (`test_vectors_and_their_names`)."""
    return {"check_methods_sample_order_invariance": "compares with a tolerance of 1e-7, and vectors are float32"}


# An average learns nothing: what the checks find of an estimator's input, output and state, they find in no time.
UNTRAINED = {"representation": "ave", "vector_normalization": "usual"}


@parametrize_with_checks([FisherVectorTransformer(settings=UNTRAINED)], expected_failed_checks=expected_failures)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([FisherVectorTransformer(settings=TINY)], expected_failed_checks=expected_failures)
def test_checks_of_scikit_learn_with_a_training(estimator, check):
    check(estimator)


def _textures(seed=0):
    """Descriptors of two classes with the same mean and other correlations, which an average cannot tell apart."""
    generator = np.random.default_rng(seed)
    labels = np.arange(40) % 2
    first = generator.normal(size=(40, 30, 1))
    signs = np.where(labels, 1, -1)[:, None, None]
    return np.concatenate([first, signs * first, generator.normal(size=(40, 30, 1))], axis=-1), labels


def test_a_pipeline_on_descriptors():
    """Vectors tell what the mean of the descriptors does not."""
    X, y = _textures()
    settings = {"latent_dim": 4, "steps": 60, "batch_size": 20, "normalization": "none", "dropout": 0.0}
    model = make_pipeline(FisherVectorTransformer(settings=settings), OneVsRestSVM()).fit(X, y)
    assert model.score(*_textures(seed=1)) > 0.9


def test_vectors_and_their_names():
    X, _ = _textures()
    transformer = FisherVectorTransformer(settings=TINY).set_output(transform="default").fit(X)
    vectors = transformer.transform(X)
    assert vectors.shape == (40, 9)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert transformer.get_feature_names_out().tolist() == [f"fishervectortransformer{n}" for n in range(9)]
    np.testing.assert_array_equal(FisherVectorTransformer(settings=TINY).fit_transform(X), vectors)
    np.testing.assert_allclose(transformer.transform(X[:, ::-1]), vectors, atol=1e-5)  # a sum has no order
    order = np.random.default_rng(0).permutation(40)[:7]
    np.testing.assert_allclose(transformer.transform(X[order]), vectors[order], atol=1e-6)
    other = FisherVectorTransformer(settings=TINY, random_state=1).fit_transform(X)
    assert not np.allclose(other, vectors, atol=1e-3)


@pytest.mark.parametrize("representation", ["gmm_fisher_vector", "net_vlad"])
def test_other_representations(representation):
    X, y = _textures()
    settings = {**TINY, "representation": representation, "vector_normalization": "usual"}
    options = {"num_components": 2} if representation == "gmm_fisher_vector" else {"num_centroids": 2}
    transformer = FisherVectorTransformer(settings={**settings, "representation_options": options})
    vectors = transformer.fit(X, y).transform(X)
    assert np.isfinite(vectors).all()
    assert np.ptp(vectors, axis=0).max() > 0.01


def test_images_with_and_without_labels(pictures, cache):
    images, labels = pictures
    settings = {**SMALL, "vector_normalization": "usual"}
    transformer = FisherVectorTransformer("digits_conv", settings=settings, backbone_weights=None, cache=cache)
    for y in (labels, None):
        vectors = transformer.fit(images, y).transform(images)
        assert vectors.shape == (24, transformer.encoder_.output_dim)
        assert (transformer.encoder_.head.fvvae.num_classes == 3) == (y is not None)
        assert OneVsRestSVM().fit(vectors, labels).score(vectors, labels) > 0.9
    loaded = pickle.loads(pickle.dumps(transformer))
    np.testing.assert_allclose(loaded.transform(images[:3]), vectors[:3], atol=1e-5)


def test_what_is_refused(pictures, tmp_path):
    X, y = _textures()
    transformer = FisherVectorTransformer(settings=TINY).fit(X)
    for wrong, message in (
        (X[:, :3], "X has 3 features, but FisherVectorTransformer is expecting 30"),
        (X[..., :2], r"Descriptors of shape \(30, 3\) were fitted. Received: \(30, 2\)"),
        (X * np.nan, "contains NaN"),
        (pictures[0], "was fitted on descriptors"),
    ):
        with pytest.raises(ValueError, match=message):
            transformer.transform(wrong)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        FisherVectorTransformer(settings=TINY).fit(X, y[:5])
    with pytest.raises(DataError, match="no images in the folder"):
        FisherVectorTransformer(settings=TINY).fit(tmp_path)
    with pytest.raises(DataError, match="Without labels only FV-VAE minus"):
        FisherVectorTransformer(settings={**TINY, "representation": "net_vlad"}).fit(X)
