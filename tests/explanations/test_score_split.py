"""Parts of scores add up to the score, and are what the theorem says."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae import layers
from keras_fvvae.data import Views, ten_crops
from keras_fvvae.explanations import ScoreSplit, can_explain, descriptor_contributions
from keras_fvvae.explanations.positions import on_map, on_picture
from keras_fvvae.models import Classifier, FisherEncoder
from keras_fvvae.ops import spectral

CLASSES = ["a", "b", "c"]
SHAPE = (6, 7, 5)  # not square
FISHER = {"latent_dim": 3, "seed": 1}


def _fisher_head(decoder_layers="last", **options):
    return layers.FisherVectorHead(layers.FVVAELayer(**FISHER, **options), decoder_layers)


def _steps(*steps, blocks=1):
    return lambda: layers.VectorNormalization(steps, blocks)


def _plain_head():
    return layers.FisherVectorHead(layers.FVVAELayer(**FISHER), standardized=False)


HEADS = {
    "spectral": (_plain_head, layers.SpectralNormalization),
    "spectral_bilinear": (layers.BilinearPooling, lambda: layers.SpectralNormalization(SHAPE[-1])),
    "spectral_wide": (lambda: layers.VLAD(num_centroids=4), lambda: layers.SpectralNormalization(4)),
    "fv_vae": (_fisher_head, lambda: layers.FisherNormalization("diagonal")),
    "kronecker": (_fisher_head, lambda: layers.FisherNormalization("kronecker")),
    "no_information": (_fisher_head, lambda: layers.FisherNormalization("none")),
    "attention": (lambda: _fisher_head(attention=True, num_classes=3), lambda: layers.FisherNormalization("diagonal")),
    "deeper_last": (lambda: _fisher_head(decoder_units=(4,)), lambda: layers.FisherNormalization("diagonal")),
    "deeper_all": (lambda: _fisher_head("all", decoder_units=(4,)), lambda: layers.FisherNormalization("diagonal")),
    "maclaurin": (
        lambda: layers.FisherMaclaurin(layers.FVVAELayer(**FISHER), 40, information="separable"),
        _steps("square_root", "l2"),
    ),
    "bilinear": (layers.BilinearPooling, _steps("square_root", "l2")),
    "random_maclaurin": (lambda: layers.RandomMaclaurin(output_dim=30), _steps("square_root", "l2")),
    "average": (layers.AveragePooling, _steps("square_root", "l2")),
    "vlad": (lambda: layers.VLAD(num_centroids=4), _steps("square_root", "blocks", "l2", blocks=4)),
}


def _inputs(count=4, frames=None, seed=0):
    shape = (count, *SHAPE) if frames is None else (count, frames, *SHAPE)
    values = np.random.default_rng(seed).normal(size=shape)
    values[..., 2] = 0  # a dead channel: some entries of the raw vectors are zero
    return np.maximum(values, 0).astype("float32")


def _classifier(name, descriptors=None, compression=None):
    head, normalization = (make() for make in HEADS[name])
    encoder = FisherEncoder(
        descriptors or keras.layers.Reshape((-1, SHAPE[-1])), head, normalization, compression=compression
    )
    encoder.build((None, *SHAPE))
    if name == "attention":
        score = head.fvvae.attention_score
        score.set_weights([np.random.default_rng(5).normal(size=w.shape) for w in score.get_weights()])
    encoder.adapt(_inputs(20, seed=7))
    classifier = Classifier(encoder, CLASSES)
    classifier.build((None, *SHAPE))
    generator = np.random.default_rng(3)
    classifier.svm.set_weights([generator.normal(size=w.shape) for w in classifier.svm.get_weights()])
    return classifier


@pytest.mark.parametrize("name", HEADS)
def test_parts_of_images_add_up_to_the_score(name):
    classifier = _classifier(name)
    inputs = _inputs()
    parts = descriptor_contributions(classifier, inputs)
    scores = classifier(inputs).numpy()
    assert parts.shape == (4, 42)
    expected = scores.max(axis=1) - classifier.svm.bias.numpy()[scores.argmax(axis=1)]
    np.testing.assert_allclose(np.sum(parts, axis=1), expected, rtol=1e-5, atol=1e-5)
    assert np.std(parts) > 1e-3


@pytest.mark.parametrize("name", ["fv_vae", "kronecker", "attention", "bilinear", "vlad"])
def test_parts_of_videos_add_up_and_padding_has_none(name):
    classifier = _classifier(name)
    inputs = _inputs(3, frames=4)
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0]], bool)
    inputs[~mask] = np.nan
    parts = descriptor_contributions(classifier, inputs, class_index=[2, 0, 1], mask=mask).numpy()
    assert parts.shape == (3, 4, 42)
    assert (parts[~mask] == 0).all()
    scores = (classifier(inputs, mask=mask) - classifier.svm.bias).numpy()
    np.testing.assert_allclose(parts.sum(axis=(1, 2)), scores[[0, 1, 2], [2, 0, 1]], rtol=1e-5, atol=1e-5)
    # A video of one frame is an image.
    alone = descriptor_contributions(classifier, inputs[:1, :1], class_index=1)
    image = descriptor_contributions(classifier, inputs[:1, 0], class_index=1)
    np.testing.assert_allclose(alone[:, 0], image, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("information", ["fv_vae", "kronecker"])
def test_parts_are_eulers(information):
    """`2 <ds/dG, G_t>` with the norm held, by automatic differentiation and one descriptor at a time."""
    classifier = _classifier(information)
    encoder = classifier.encoder
    inputs = _inputs(1)
    descriptors = encoder.compute_descriptors(inputs)
    raw = encoder.head(descriptors)
    alone = [encoder.head(descriptors[:, t : t + 1]) for t in range(42)]
    layer = encoder.normalization
    weights = classifier.svm.kernel[:, 1]

    def root(vectors):
        vectors = vectors * layer.scale if information == "fv_vae" else layer.left @ vectors @ layer.right
        return tf.sign(vectors) * tf.sqrt(tf.abs(vectors))

    norm = tf.norm(root(raw))
    with tf.GradientTape() as tape:
        tape.watch(raw)
        score = tf.reduce_sum(tf.reshape(root(raw) / norm, (-1,)) * weights)
    gradient = tape.gradient(score, raw)
    gradient = tf.where(tf.math.is_finite(gradient), gradient, 0)
    expected = [2 * tf.reduce_sum(gradient * one) for one in alone]
    parts = descriptor_contributions(classifier, inputs, class_index=1)
    np.testing.assert_allclose(parts[0], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("whiten", [False, True])
def test_compressed_representations_have_a_constant_part(whiten):
    classifier = _classifier("bilinear", compression=layers.GramPCA(6, whiten=whiten, normalization="l2"))
    inputs = _inputs()
    split = ScoreSplit(classifier.encoder, inputs)
    weights = np.tile(classifier.svm.kernel.numpy()[:, 0], (4, 1))
    parts, constant = split.split(weights)
    scores = classifier(inputs)[:, 0] - classifier.svm.bias[0]
    np.testing.assert_allclose(np.sum(parts, axis=1) + constant, scores, rtol=1e-5, atol=1e-5)
    assert np.abs(constant).min() > 1e-4


def test_matrices_are_decomposed_once(monkeypatch):
    """However many classes are asked for."""
    classifier = _classifier("spectral_bilinear", compression=layers.GramPCA(6))
    decomposed, original = [], spectral.inverse_fourth_root
    monkeypatch.setattr(spectral, "inverse_fourth_root", lambda one: decomposed.append(one) or original(one))
    split = ScoreSplit(classifier.encoder, _inputs())
    for weights in classifier.svm.kernel.numpy().T:
        split.split(np.tile(weights, (4, 1)))
    assert len(decomposed) == 1


def test_a_zero_image_has_no_parts():
    parts = descriptor_contributions(_classifier("bilinear"), np.zeros((1, *SHAPE), "float32"))
    assert (parts.numpy() == 0).all()


@pytest.mark.parametrize(
    "head", [layers.NetVLAD(4, alpha=10.0), layers.BilinearPooling("improved"), layers.VLAD(4, "improved")]
)
def test_what_cannot_be_split(head):
    assert not can_explain(head)
    encoder = FisherEncoder(keras.layers.Reshape((-1, SHAPE[-1])), head, layers.VectorNormalization("l2"))
    with pytest.raises(TypeError, match=f"Scores of `{type(head).__name__}` are not split"):
        ScoreSplit(encoder, _inputs())


def test_positions_of_dense_descriptors_are_the_map():
    classifier = _classifier("fv_vae")
    split = ScoreSplit(classifier.encoder, _inputs())
    parts, _ = split.split(np.ones((4, classifier.encoder.output_dim)))
    assert np.array_equal(split.maps(parts), np.reshape(parts, (4, 6, 7)))


def test_windows_share_their_parts_equally():
    parts = np.zeros((1, 2, 10), "float32")
    parts[0, 0, 5] = 6  # the window of rows 2-3 and columns 4-6
    parts[0, 1, 9] = 42
    maps = on_map(parts, SHAPE[:2], levels=(3, 1)).numpy()
    expected = np.zeros((6, 7))
    expected[2:4, 4:7] = 1
    np.testing.assert_allclose(maps[0, 0], expected, atol=1e-6)
    np.testing.assert_allclose(maps[0, 1], np.ones((6, 7)), atol=1e-6)


def test_a_pyramid_is_found_among_the_layers():
    pyramid = keras.Sequential([keras.Input(SHAPE), layers.SpatialPyramidPooling((3, 1))])
    split = ScoreSplit(_classifier("bilinear", pyramid).encoder, _inputs())
    parts, _ = split.split(np.ones((4, 25)))
    assert parts.shape == (4, 10)
    maps = split.maps(parts).numpy()
    assert maps.shape == (4, 6, 7)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), np.sum(parts, axis=1), rtol=1e-5)


def test_descriptors_without_positions():
    with pytest.raises(ValueError, match="not the positions of a map of 6x7"):
        on_map(np.zeros((1, 5), "float32"), (6, 7))


def test_crops_are_put_where_they_were_cut():
    """What marks one pixel's block of an image in all of its crops comes back at that block."""
    views = Views((4, 4), resize_to=(6, 8), crops="ten")
    for row, column in ((0, 0), (1, 3), (2, 2), (2, 0)):
        image = np.zeros((1, 6, 8, 3), "float32")
        image[0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = 1
        crops = ten_crops(tf.constant(image), (4, 4))
        maps = tf.reduce_mean(tf.nn.avg_pool2d(crops, 2, 2, "VALID"), -1)  # (10, 2, 2)
        placed = on_picture(maps[tf.newaxis], views).numpy()[0]
        assert placed.shape == (3, 4)
        np.testing.assert_allclose(placed.sum(), tf.reduce_sum(maps), rtol=1e-6)
        assert np.unravel_index(placed.argmax(), placed.shape) == (row, column)


def test_the_whole_picture_stays_as_it_is():
    maps = np.random.default_rng(0).normal(size=(2, 1, 3, 5)).astype("float32")
    np.testing.assert_allclose(on_picture(maps, Views((30, 50))), maps[:, 0], rtol=1e-6)
