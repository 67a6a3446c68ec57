"""The objective of the model, its metrics, and what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers import DescriptorSampling, FVVAELayer, SpatialPyramidPooling
from keras_fvvae.models import FVVAE
from tests.support.numpy_reference import firing
from tests.support.small_fvvae import (
    CLASSES,
    LABELS,
    LEVELS,
    TERMS,
    build_model,
    compile_model,
    draw_maps,
    loss_and_gradients,
    terms_in_numpy,
)


def _assert_same_gradients(actual, expected, tolerance=1e-5):
    assert actual.keys() == expected.keys()
    for name in expected:
        scale = max(np.abs(expected[name]).max(), 1e-6)
        np.testing.assert_allclose(actual[name], expected[name], rtol=0, atol=tolerance * scale, err_msg=name)


def test_all_units_fire_for_some_descriptors():
    """What the tests below rest on: gradients pass through every unit, and not for every descriptor."""
    model = build_model()
    shares = firing(model.fvvae, model.compute_descriptors(draw_maps()))
    assert 0.1 < shares.min() <= shares.max() < 0.95


def test_loss_is_the_weighted_sum_of_the_papers_terms():
    model = build_model()
    expected = terms_in_numpy(model, draw_maps(), LABELS)
    loss, _ = loss_and_gradients(model, draw_maps(), LABELS)
    count = sum(level**2 for level in LEVELS)  # Eq. 8 sums over descriptors; what is minimised is divided by them
    total = 2.0 * expected["reconstruction"] + 0.5 * expected["regularization"]
    total += 7.0 / count * expected["classification"]
    assert loss == pytest.approx(total, rel=1e-5)
    metrics = compile_model(model).evaluate(draw_maps(), LABELS, verbose=0, return_dict=True)
    assert metrics["loss"] == pytest.approx(loss, rel=1e-5)
    for name in TERMS:
        assert metrics[name] == pytest.approx(expected[name], rel=1e-5)


@pytest.mark.parametrize("term", range(3))
def test_every_loss_weight_is_its_own_terms(term):
    loss_weights = [0.0, 0.0, 0.0]
    loss_weights[term] = 3.0
    model = build_model(loss_weights)
    expected = 3.0 * terms_in_numpy(model, draw_maps(), LABELS)[TERMS[term]]
    if TERMS[term] == "classification":
        expected /= sum(level**2 for level in LEVELS)
    assert loss_and_gradients(model, draw_maps(), LABELS)[0] == pytest.approx(expected, rel=1e-5)


def test_lambda3_is_weighed_against_the_sum_over_descriptors():
    """Whatever their number: with the weight divided by it, a mean is the same objective."""
    count = sum(level**2 for level in LEVELS)
    model, mean = build_model(), build_model((2.0, 0.5, 7.0 / count), loss_reduction="mean")
    (loss, gradients), (expected, others) = (loss_and_gradients(one, draw_maps(), LABELS) for one in (model, mean))
    assert loss == pytest.approx(expected, rel=1e-6)
    _assert_same_gradients(gradients, others)


def test_a_model_of_version_0_1_keeps_its_objective():
    config = build_model().get_config()
    del config["loss_reduction"]
    assert FVVAE.from_config(config).loss_reduction == "mean"


def test_wrong_loss_reduction():
    with pytest.raises(ValueError, match="`loss_reduction` must be one of .'sum', 'mean'.. Received: 'none'"):
        build_model(loss_reduction="none")


def test_defaults_are_lambda_1_1_1000():
    assert FVVAE(SpatialPyramidPooling(), FVVAELayer()).loss_weights == (1.0, 1.0, 1e3)


def test_unlabelled_images_do_not_change_the_classification_gradient():
    model = build_model((0.0, 0.0, 1.0))
    labelled = LABELS >= 0
    loss, gradients = loss_and_gradients(model, draw_maps(), LABELS)
    expected_loss, expected = loss_and_gradients(model, draw_maps()[labelled], LABELS[labelled])
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert any(gradient.any() for gradient in expected.values())
    _assert_same_gradients(gradients, expected)


@pytest.mark.parametrize("labels", [None, np.full(6, -1)], ids=["absent", "all -1"])
def test_without_labels_it_is_fv_vae_minus(labels):
    loss, gradients = loss_and_gradients(build_model((1.0, 1.0, 1e3)), draw_maps(), labels)
    minus_loss, minus = loss_and_gradients(build_model((1.0, 1.0, 0.0)), draw_maps(), LABELS)
    assert loss == pytest.approx(minus_loss, rel=1e-6)
    _assert_same_gradients(gradients, minus)
    assert not gradients["classifier/kernel"].any()


def test_sample_weight_counts_an_image_as_often():
    model = build_model()
    weights = np.array([2.0, 1.0, 3.0, 0.0, 1.0, 1.0])
    copies = np.repeat(np.arange(6), weights.astype(int))
    loss, gradients = loss_and_gradients(model, draw_maps(), LABELS, weights)
    expected_loss, expected = loss_and_gradients(model, draw_maps()[copies], LABELS[copies])
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    _assert_same_gradients(gradients, expected)


def test_sample_weights_in_numpy_and_in_the_metrics():
    model = build_model()
    weights = np.array([0.5, 2.0, 1.0, 4.0, 0.25, 1.5])
    expected = terms_in_numpy(model, draw_maps(), LABELS, weights)
    data = tf.data.Dataset.from_tensor_slices((draw_maps(), LABELS, weights)).batch(6)
    metrics = compile_model(model).evaluate(data, verbose=0, return_dict=True)
    for name in TERMS:
        assert metrics[name] == pytest.approx(expected[name], rel=1e-5)


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_labels_may_be_a_column_and_of_any_dtype(shape, dtype):
    expected, _ = loss_and_gradients(build_model(), draw_maps(), LABELS)
    loss, _ = loss_and_gradients(build_model(), draw_maps(), LABELS.reshape(shape).astype(dtype))
    assert loss == expected


@pytest.mark.parametrize("label", [-2, CLASSES])
def test_label_that_is_no_class_does_not_train_another(label):
    """Neither silently as class 0 nor as NaN."""
    labels = LABELS.copy()
    labels[3] = label
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        loss_and_gradients(build_model(), draw_maps(), labels)


def test_without_classes_there_are_two_terms():
    model = compile_model(build_model(num_classes=None))
    metrics = model.evaluate(draw_maps(), verbose=0, return_dict=True)
    assert set(metrics) == {"loss", "reconstruction", "regularization"}
    assert metrics["loss"] == pytest.approx(2.0 * metrics["reconstruction"] + 0.5 * metrics["regularization"], rel=1e-5)
    assert set(model.predict(draw_maps(), verbose=0)) == {
        "num_descriptors", "reconstruction_loss", "regularization_loss",
    }  # fmt: skip


def test_sampled_descriptors_are_part_of_training_only():
    descriptors = keras.Sequential([keras.Input((4, 5, 3)), SpatialPyramidPooling(LEVELS), DescriptorSampling(2)])
    model = FVVAE(descriptors, FVVAELayer(latent_dim=2, num_classes=CLASSES))
    assert model.compute_descriptors(draw_maps()).shape == (6, 5, 3)
    assert model.compute_descriptors(draw_maps(), training=True).shape == (6, 2, 3)
    history = compile_model(model).fit(draw_maps(), LABELS, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_metrics_over_unequal_batches_are_those_of_the_whole_set():
    model = compile_model(build_model())
    maps = draw_maps(11)
    labels = np.array([0, 1, 2, 0, -1, -1, -1, 1, 2, 0, 1])  # per batch of four: 4, 1 and 3 labels
    metrics = model.evaluate(maps, labels, batch_size=4, verbose=0, return_dict=True)
    expected = terms_in_numpy(model, maps, labels)
    assert set(metrics) == {"loss", "accuracy", *TERMS}
    for name in TERMS:
        assert metrics[name] == pytest.approx(expected[name], rel=1e-5)
    predicted = model.predict(maps, verbose=0)["class_scores"].argmax(axis=1)
    assert metrics["accuracy"] == pytest.approx(np.mean(predicted[labels >= 0] == labels[labels >= 0]))


def test_loss_over_unequal_batches_is_that_of_the_whole_set():
    model = compile_model(build_model())
    maps, labels = draw_maps(11), np.arange(11) % CLASSES
    metrics = model.evaluate(maps, labels, batch_size=4, verbose=0, return_dict=True)
    expected = terms_in_numpy(model, maps, labels)
    count = sum(level**2 for level in LEVELS)  # Eq. 8 sums over descriptors; what is minimised is divided by them
    total = 2.0 * expected["reconstruction"] + 0.5 * expected["regularization"]
    total += 7.0 / count * expected["classification"]
    assert metrics["loss"] == pytest.approx(total, rel=1e-5)


def test_metrics_start_anew():
    model = compile_model(build_model())
    first = model.evaluate(draw_maps(), LABELS, verbose=0, return_dict=True)
    model.evaluate(draw_maps(seed=1) * 9, np.zeros(6), verbose=0)
    again = model.evaluate(draw_maps(), LABELS, verbose=0, return_dict=True)
    assert again == pytest.approx(first)


def test_accuracy_of_no_labels_is_zero_not_nan():
    metrics = compile_model(build_model()).evaluate(draw_maps(), verbose=0, return_dict=True)
    assert metrics["accuracy"] == metrics["classification"] == 0.0


def test_own_loss_is_refused():
    with pytest.raises(ValueError, match="has its own objective .Eq. 8.; change `loss_weights` instead of `loss`"):
        build_model().compile(loss="mse")


@pytest.mark.parametrize(
    "loss_weights", [(1.0, 1.0), (1.0, 1.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, float("nan"), 1.0), (0.0, 0.0, 0.0)]
)
def test_wrong_loss_weights(loss_weights):
    with pytest.raises(ValueError, match="`loss_weights` must be three numbers, none negative .*Received: "):
        build_model(loss_weights)
