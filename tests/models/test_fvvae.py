import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.backbones import set_trainable
from keras_fvvae.layers import DescriptorSampling, FVVAELayer, SpatialPyramidPooling
from keras_fvvae.models import FVVAE
from keras_fvvae.optimizers import RELEASE_MULTIPLIERS, SGD, Adadelta
from tests.support import mirrored_training
from tests.support.numpy_reference import NumpyFVVAE, firing, pyramid_pooling, randomize

TERMS = ("reconstruction", "regularization", "classification")
LEVELS = (2, 1)
CLASSES = 3
# exp(-60): the noise of the sampling falls below the last bit of z.
NO_NOISE = -60.0
LABELS = np.array([0, 2, -1, 1, -1, 2])


def _maps(count=6, seed=0):
    return np.random.default_rng(seed).normal(scale=2.0, size=(count, 4, 5, 3)).astype("float32")


def _model(loss_weights=(2.0, 0.5, 7.0), backbone=None, loss_reduction="sum", **arguments):
    """A built model with random weights whose training draws nothing."""
    arguments = {"latent_dim": 2, "num_classes": CLASSES, "dropout": 0.0, **arguments}
    model = FVVAE(SpatialPyramidPooling(LEVELS), FVVAELayer(**arguments), backbone, loss_weights, loss_reduction)
    model.build((None, 4, 5, 3))
    # A seed with which every unit fires for some descriptors and not for others.
    randomize(model.fvvae, seed=83).z_log_variance.assign(np.full(model.fvvae.latent_dim, NO_NOISE))
    return model


def _compiled(model, optimizer=None, **arguments):
    model.compile(optimizer or SGD(0.01), **{"jit_compile": False, **arguments})
    return model


def _terms_in_numpy(model, maps, labels, weights=None):
    """The three terms of Eq. 8: means over images, and of the last one over labelled images."""
    reference = NumpyFVVAE(model.fvvae)
    weights = np.ones(len(maps)) if weights is None else weights
    values = {name: [] for name in TERMS}
    for image, label in zip(pyramid_pooling(maps, LEVELS, np.max), labels, strict=True):
        latents = [reference.encode(x) for x in image]
        pairs = zip(image, latents, strict=True)
        values["reconstruction"].append(np.mean([reference.reconstruction_loss(x, z) for x, z in pairs]))
        values["regularization"].append(np.mean([reference.regularization_loss(z) for z in latents]))
        values["classification"].append(reference.classification_loss(latents, label) if label >= 0 else 0.0)
    averaged = [weights, weights, weights * (labels >= 0)]
    return {name: np.average(values[name], weights=w) for name, w in zip(TERMS, averaged, strict=True)}


def _loss_and_gradients(model, maps, labels=None, weights=None):
    with tf.GradientTape() as tape:
        loss = model.compute_loss(maps, labels, model(maps), weights, training=True)
    gradients = {}
    variables = model.trainable_variables
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        gradients[_name(variable)] = np.zeros(variable.shape) if gradient is None else np.array(gradient)
    return float(loss), gradients


def _name(variable):
    """Path of a variable without the names of the model and of its layer, which are numbered."""
    return "/".join(variable.path.split("/")[2:])


def _assert_same_gradients(actual, expected, tolerance=1e-5):
    assert actual.keys() == expected.keys()
    for name in expected:
        scale = max(np.abs(expected[name]).max(), 1e-6)
        np.testing.assert_allclose(actual[name], expected[name], rtol=0, atol=tolerance * scale, err_msg=name)


# The objective


def test_all_units_fire_for_some_descriptors():
    """What the tests below rest on: gradients pass through every unit, and not for every descriptor."""
    model = _model()
    shares = firing(model.fvvae, model.compute_descriptors(_maps()))
    assert 0.1 < shares.min() <= shares.max() < 0.95


def test_loss_is_the_weighted_sum_of_the_papers_terms():
    model = _model()
    expected = _terms_in_numpy(model, _maps(), LABELS)
    loss, _ = _loss_and_gradients(model, _maps(), LABELS)
    count = sum(level**2 for level in LEVELS)  # Eq. 8 sums over descriptors; what is minimised is divided by them
    total = 2.0 * expected["reconstruction"] + 0.5 * expected["regularization"]
    total += 7.0 / count * expected["classification"]
    assert loss == pytest.approx(total, rel=1e-5)
    metrics = _compiled(model).evaluate(_maps(), LABELS, verbose=0, return_dict=True)
    assert metrics["loss"] == pytest.approx(loss, rel=1e-5)
    for name in TERMS:
        assert metrics[name] == pytest.approx(expected[name], rel=1e-5)


@pytest.mark.parametrize("term", range(3))
def test_every_loss_weight_is_its_own_terms(term):
    loss_weights = [0.0, 0.0, 0.0]
    loss_weights[term] = 3.0
    model = _model(loss_weights)
    expected = 3.0 * _terms_in_numpy(model, _maps(), LABELS)[TERMS[term]]
    if TERMS[term] == "classification":
        expected /= sum(level**2 for level in LEVELS)
    assert _loss_and_gradients(model, _maps(), LABELS)[0] == pytest.approx(expected, rel=1e-5)


def test_lambda3_is_weighed_against_the_sum_over_descriptors():
    """Whatever their number: with the weight divided by it, a mean is the same objective."""
    count = sum(level**2 for level in LEVELS)
    model, mean = _model(), _model((2.0, 0.5, 7.0 / count), loss_reduction="mean")
    (loss, gradients), (expected, others) = (_loss_and_gradients(one, _maps(), LABELS) for one in (model, mean))
    assert loss == pytest.approx(expected, rel=1e-6)
    _assert_same_gradients(gradients, others)


def test_a_model_of_version_0_1_keeps_its_objective():
    config = _model().get_config()
    del config["loss_reduction"]
    assert FVVAE.from_config(config).loss_reduction == "mean"


def test_wrong_loss_reduction():
    with pytest.raises(ValueError, match="`loss_reduction` must be one of .'sum', 'mean'.. Received: 'none'"):
        _model(loss_reduction="none")


def test_defaults_are_lambda_1_1_1000():
    assert FVVAE(SpatialPyramidPooling(), FVVAELayer()).loss_weights == (1.0, 1.0, 1e3)


def test_unlabelled_images_do_not_change_the_classification_gradient():
    model = _model((0.0, 0.0, 1.0))
    labelled = LABELS >= 0
    loss, gradients = _loss_and_gradients(model, _maps(), LABELS)
    expected_loss, expected = _loss_and_gradients(model, _maps()[labelled], LABELS[labelled])
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert any(gradient.any() for gradient in expected.values())
    _assert_same_gradients(gradients, expected)


@pytest.mark.parametrize("labels", [None, np.full(6, -1)], ids=["absent", "all -1"])
def test_without_labels_it_is_fv_vae_minus(labels):
    loss, gradients = _loss_and_gradients(_model((1.0, 1.0, 1e3)), _maps(), labels)
    minus_loss, minus = _loss_and_gradients(_model((1.0, 1.0, 0.0)), _maps(), LABELS)
    assert loss == pytest.approx(minus_loss, rel=1e-6)
    _assert_same_gradients(gradients, minus)
    assert not gradients["classifier/kernel"].any()


def test_sample_weight_counts_an_image_as_often():
    model = _model()
    weights = np.array([2.0, 1.0, 3.0, 0.0, 1.0, 1.0])
    copies = np.repeat(np.arange(6), weights.astype(int))
    loss, gradients = _loss_and_gradients(model, _maps(), LABELS, weights)
    expected_loss, expected = _loss_and_gradients(model, _maps()[copies], LABELS[copies])
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    _assert_same_gradients(gradients, expected)


def test_sample_weights_in_numpy_and_in_the_metrics():
    model = _model()
    weights = np.array([0.5, 2.0, 1.0, 4.0, 0.25, 1.5])
    expected = _terms_in_numpy(model, _maps(), LABELS, weights)
    data = tf.data.Dataset.from_tensor_slices((_maps(), LABELS, weights)).batch(6)
    metrics = _compiled(model).evaluate(data, verbose=0, return_dict=True)
    for name in TERMS:
        assert metrics[name] == pytest.approx(expected[name], rel=1e-5)


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_labels_may_be_a_column_and_of_any_dtype(shape, dtype):
    expected, _ = _loss_and_gradients(_model(), _maps(), LABELS)
    loss, _ = _loss_and_gradients(_model(), _maps(), LABELS.reshape(shape).astype(dtype))
    assert loss == expected


@pytest.mark.parametrize("label", [-2, CLASSES])
def test_label_that_is_no_class_does_not_train_another(label):
    """Neither silently as class 0 nor as NaN."""
    labels = LABELS.copy()
    labels[3] = label
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        _loss_and_gradients(_model(), _maps(), labels)


def test_without_classes_there_are_two_terms():
    model = _compiled(_model(num_classes=None))
    metrics = model.evaluate(_maps(), verbose=0, return_dict=True)
    assert set(metrics) == {"loss", "reconstruction", "regularization"}
    assert metrics["loss"] == pytest.approx(2.0 * metrics["reconstruction"] + 0.5 * metrics["regularization"], rel=1e-5)
    assert set(model.predict(_maps(), verbose=0)) == {
        "num_descriptors", "reconstruction_loss", "regularization_loss",
    }  # fmt: skip


def test_sampled_descriptors_are_part_of_training_only():
    descriptors = keras.Sequential([keras.Input((4, 5, 3)), SpatialPyramidPooling(LEVELS), DescriptorSampling(2)])
    model = FVVAE(descriptors, FVVAELayer(latent_dim=2, num_classes=CLASSES))
    assert model.compute_descriptors(_maps()).shape == (6, 5, 3)
    assert model.compute_descriptors(_maps(), training=True).shape == (6, 2, 3)
    history = _compiled(model).fit(_maps(), LABELS, verbose=0).history
    assert np.isfinite(history["loss"]).all()


# Metrics


def test_metrics_over_unequal_batches_are_those_of_the_whole_set():
    model = _compiled(_model())
    maps = _maps(11)
    labels = np.array([0, 1, 2, 0, -1, -1, -1, 1, 2, 0, 1])  # per batch of four: 4, 1 and 3 labels
    metrics = model.evaluate(maps, labels, batch_size=4, verbose=0, return_dict=True)
    expected = _terms_in_numpy(model, maps, labels)
    assert set(metrics) == {"loss", "accuracy", *TERMS}
    for name in TERMS:
        assert metrics[name] == pytest.approx(expected[name], rel=1e-5)
    predicted = model.predict(maps, verbose=0)["class_scores"].argmax(axis=1)
    assert metrics["accuracy"] == pytest.approx(np.mean(predicted[labels >= 0] == labels[labels >= 0]))


def test_loss_over_unequal_batches_is_that_of_the_whole_set():
    model = _compiled(_model())
    maps, labels = _maps(11), np.arange(11) % CLASSES
    metrics = model.evaluate(maps, labels, batch_size=4, verbose=0, return_dict=True)
    expected = _terms_in_numpy(model, maps, labels)
    count = sum(level**2 for level in LEVELS)  # Eq. 8 sums over descriptors; what is minimised is divided by them
    total = 2.0 * expected["reconstruction"] + 0.5 * expected["regularization"]
    total += 7.0 / count * expected["classification"]
    assert metrics["loss"] == pytest.approx(total, rel=1e-5)


def test_metrics_start_anew():
    model = _compiled(_model())
    first = model.evaluate(_maps(), LABELS, verbose=0, return_dict=True)
    model.evaluate(_maps(seed=1) * 9, np.zeros(6), verbose=0)
    again = model.evaluate(_maps(), LABELS, verbose=0, return_dict=True)
    assert again == pytest.approx(first)


def test_accuracy_of_no_labels_is_zero_not_nan():
    metrics = _compiled(_model()).evaluate(_maps(), verbose=0, return_dict=True)
    assert metrics["accuracy"] == metrics["classification"] == 0.0


# Training


def test_default_optimizer_is_the_papers():
    model = _model()
    model.compile()
    assert isinstance(model.optimizer, Adadelta)
    assert float(model.optimizer.learning_rate) == 1.0
    assert model.optimizer.learning_rate_multipliers == RELEASE_MULTIPLIERS


def test_one_step_of_sgd_follows_the_gradient():
    model = _compiled(_model(), SGD(0.125, learning_rate_multipliers=RELEASE_MULTIPLIERS))
    _, gradients = _loss_and_gradients(model, _maps(), LABELS)
    before = {_name(variable): variable.numpy() for variable in model.trainable_variables}
    model.train_on_batch(_maps(), LABELS)
    for variable in model.trainable_variables:
        name = _name(variable)
        factor = 10.0 if name.endswith("log_variance") else 2.0 if name.endswith("bias") else 1.0
        expected = before[name] - 0.125 * factor * gradients[name]
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-4, atol=1e-5, err_msg=name)


def test_training_draws_and_inference_does_not():
    model = _model(dropout=0.5)
    model.fvvae.z_log_variance.assign(np.zeros(2))
    training = [np.array(model(_maps(), training=True)["reconstruction_loss"]) for _ in range(2)]
    inference = [np.array(model(_maps(), training=False)["reconstruction_loss"]) for _ in range(2)]
    assert not np.allclose(*training)
    np.testing.assert_array_equal(*inference)
    # `fit` trains with the draws, `evaluate` and `predict` without.
    _compiled(model, SGD(0.0))
    fitted = [model.fit(_maps(), LABELS, verbose=0).history["reconstruction"] for _ in range(2)]
    evaluated = [model.evaluate(_maps(), LABELS, verbose=0, return_dict=True)["reconstruction"] for _ in range(2)]
    assert not np.allclose(*fitted)
    assert evaluated == pytest.approx([inference[0].mean()] * 2, rel=1e-5)
    np.testing.assert_allclose(model.predict(_maps(), verbose=0)["reconstruction_loss"], inference[0], rtol=1e-5)


def test_training_lowers_the_loss_and_learns_the_classes():
    rng = np.random.default_rng(0)
    labels = np.arange(30) % CLASSES
    maps = (0.2 * rng.random((30, 4, 5, 3)) + np.eye(3)[labels][:, None, None]).astype("float32")
    model = FVVAE(SpatialPyramidPooling(LEVELS), FVVAELayer(latent_dim=4, num_classes=CLASSES, dropout=0.2, seed=0))
    _compiled(model, keras.optimizers.Adam(0.02))
    history = model.fit(maps, labels, batch_size=10, epochs=40, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert model.evaluate(maps, labels, verbose=0, return_dict=True)["accuracy"] > 0.9


def test_fit_with_tf_data_and_callbacks(tmp_path):
    def data(seed, count):
        parts = (_maps(count, seed), np.arange(count) % 4 - 1)
        return tf.data.Dataset.from_tensor_slices(parts).batch(4).prefetch(1)

    path = tmp_path / "best.keras"
    callbacks = [
        keras.callbacks.ModelCheckpoint(path, monitor="val_loss", save_best_only=True),
        keras.callbacks.EarlyStopping("val_reconstruction", mode="min", patience=1, min_delta=1e9),
    ]
    model = _compiled(_model())
    arguments = {"validation_data": data(1, 7), "epochs": 9, "callbacks": callbacks, "shuffle": False, "verbose": 0}
    history = model.fit(data(0, 10), **arguments).history
    assert len(history["loss"]) == 2  # the second epoch is not 1e9 better than the first
    assert {"val_loss", "val_accuracy", "accuracy", *TERMS} <= set(history)
    best = keras.saving.load_model(path).evaluate(data(1, 7), verbose=0, return_dict=True)
    assert best["loss"] == pytest.approx(min(history["val_loss"]), rel=1e-5)


@pytest.mark.parametrize(
    ("loss_weights", "labels"),
    [((1.0, 1.0, 1e3), LABELS), ((1.0, 1.0, 1e3), None), ((1.0, 1.0, 0.0), LABELS), ((1.0, 0.0, 1.0), LABELS)],
    ids=["all terms", "no labels", "lambda3 = 0", "lambda2 = 0"],
)
def test_no_warning_about_missing_gradients(loss_weights, labels):
    model = _compiled(_model(loss_weights))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(_maps(), labels, verbose=0)


def test_compiled_by_xla_it_trains_the_same():
    weights = []
    for jit_compile in (False, True):
        model = _compiled(_model(), jit_compile=jit_compile)
        history = model.fit(_maps(), LABELS, batch_size=3, epochs=2, shuffle=False, verbose=0).history
        weights.append([np.array(list(history.values())), *model.get_weights()])
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_mixed_float16_trains_about_the_same():
    losses = {}
    for policy in ("float32", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        optimizer = SGD(0.01, learning_rate_multipliers=RELEASE_MULTIPLIERS)
        if policy == "mixed_float16":
            # Keras's own start, 32,768, overflows and skips the first steps, which is as it should be.
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=64.0)
        model = _compiled(_model((1.0, 1.0, 10.0)), optimizer)
        losses[policy] = model.fit(_maps(), LABELS, batch_size=3, epochs=4, shuffle=False, verbose=0).history["loss"]
        assert all(variable.dtype == "float32" for variable in model.trainable_variables)
    assert losses["float32"][-1] < losses["float32"][0]
    np.testing.assert_allclose(losses["mixed_float16"], losses["float32"], rtol=2e-2)


def test_mixed_float16_scales_the_loss_of_its_default_optimizer():
    keras.config.set_dtype_policy("mixed_float16")
    model = _model()
    model.compile(jit_compile=False)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert isinstance(model.optimizer.inner_optimizer, Adadelta)
    before = model.get_weights()
    history = model.fit(_maps(), LABELS, epochs=12, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert any(not np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))


@pytest.fixture(scope="module")
def mirrored():
    """Results of `mirrored_training.py`, by case and number of devices."""
    script = Path(mirrored_training.__file__)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    result = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", ["plain", "weighted"])
def test_two_replicas_train_as_one_device(mirrored, case):
    """However the labelled images of a global batch fall on the replicas."""
    one, two = mirrored[case]["1"], mirrored[case]["2"]
    assert 0.1 < min(one["firing"]) <= max(one["firing"]) < 0.95  # gradients that are not all zero are compared
    for stage in ("before", "history", "after"):
        assert one[stage].keys() == two[stage].keys()
        for name in one[stage]:
            np.testing.assert_allclose(two[stage][name], one[stage][name], rtol=1e-4, err_msg=f"{stage} {name}")
    assert one["after"]["loss"] < one["before"]["loss"]
    for weights, expected in zip(two["weights"], one["weights"], strict=True):
        np.testing.assert_allclose(weights, expected, rtol=1e-3, atol=1e-5)


# End to end


def _backbone():
    """Convolution, batch normalisation and dropout, twice, as `build_backbone` wraps them."""
    inputs = x = keras.Input((4, 5, 3))
    for block in (1, 2):
        x = keras.layers.Conv2D(3, 1, name=f"conv{block}")(x)
        x = keras.layers.BatchNormalization(name=f"norm{block}")(x)
        x = keras.layers.Dropout(0.5, seed=block, name=f"drop{block}")(x)
    images = keras.Input((4, 5, 3))
    return keras.Model(images, keras.Model(inputs, x, name="trunk")(images))


def _state(backbone):
    layers = backbone.get_layer("trunk").layers
    return {layer.name: [weight.copy() for weight in layer.get_weights()] for layer in layers if layer.weights}


def _changed(before, after):
    """Names of the layers of which some weight, or statistic, is another."""
    pairs = {name: zip(before[name], after[name], strict=True) for name in before}
    return {name for name, weights in pairs.items() if any(not np.array_equal(*pair) for pair in weights)}


@pytest.mark.parametrize(
    ("trainable_from", "changed"),
    [
        (None, set()),
        ("conv2", {"conv2", "norm2"}),
        ("norm2", {"norm2"}),
        ("all", {"conv1", "norm1", "conv2", "norm2"}),
    ],
)
def test_backbone_is_trained_from_the_layer_that_is_named(trainable_from, changed):
    backbone = _backbone()
    set_trainable(backbone, trainable_from)
    model = _compiled(_model(backbone=backbone))
    before = _state(backbone)
    model.fit(_maps(), LABELS, epochs=2, verbose=0)
    assert _changed(before, _state(backbone)) == changed


def test_frozen_backbone_trains_as_if_its_activations_were_cached():
    """Neither its dropout nor the statistics of the batch have a part in it."""
    backbone = _backbone()
    set_trainable(backbone, None)
    whole, cached = _compiled(_model(backbone=backbone)), _compiled(_model())
    whole.fit(_maps(), LABELS, epochs=2, shuffle=False, verbose=0)
    cached.fit(np.array(backbone(_maps(), training=False)), LABELS, epochs=2, shuffle=False, verbose=0)
    for one, other in zip(whole.fvvae.get_weights(), cached.fvvae.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_end_to_end_gradient_reaches_the_backbone():
    """The derivative of the whole loss by one entry of the first kernel, against finite differences."""
    backbone = _backbone()
    set_trainable(backbone, "all")
    model = _model(backbone=backbone)
    kernel = backbone.get_layer("trunk").get_layer("conv1").kernel

    def loss(shift):
        values = kernel.numpy()
        values[0, 0, 1, 2] += shift
        kernel.assign(values)
        result = float(model.compute_loss(_maps(), LABELS, model(_maps())))
        values[0, 0, 1, 2] -= shift
        kernel.assign(values)
        return result

    with tf.GradientTape() as tape:
        value = model.compute_loss(_maps(), LABELS, model(_maps()))
    gradient = np.array(tape.gradient(value, kernel))[0, 0, 1, 2]
    assert gradient == pytest.approx((loss(1e-3) - loss(-1e-3)) / 2e-3, rel=2e-2)


def test_regularisers_of_the_backbone_are_part_of_the_loss():
    inputs = keras.Input((4, 5, 3))
    convolution = keras.layers.Conv2D(3, 1, kernel_regularizer=keras.regularizers.L2(0.5))
    model = _model(backbone=keras.Model(inputs, convolution(inputs)))
    loss, _ = _loss_and_gradients(model, _maps(), LABELS)
    convolution.kernel.regularizer = None
    without, _ = _loss_and_gradients(model, _maps(), LABELS)
    assert loss - without == pytest.approx(0.5 * np.sum(convolution.kernel.numpy() ** 2), rel=1e-3)


# Saving


def test_takes_a_layer_that_is_built():
    """The weights of the release, or of a loaded classifier, can be evaluated and trained further."""
    layer = _model().fvvae
    before = layer.get_weights()
    model = _compiled(FVVAE(SpatialPyramidPooling(LEVELS), layer))
    model.evaluate(_maps(), LABELS, verbose=0)
    assert model.fvvae is layer
    for one, other in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("with_backbone", [False, True])
def test_saved_and_loaded_it_trains_on_identically(tmp_path, with_backbone):
    backbone = None
    if with_backbone:
        # Without dropout: Keras does not save the state of its random generators.
        inputs = keras.Input((4, 5, 3))
        x = keras.layers.BatchNormalization()(keras.layers.Conv2D(3, 1)(inputs))
        backbone = keras.Model(inputs, x)
    model = _compiled(_model(backbone=backbone), Adadelta(0.5, learning_rate_multipliers={"bias$": 4.0}))
    model.fit(_maps(), LABELS, verbose=0)
    model.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.loss_weights == (2.0, 0.5, 7.0)
    assert loaded.compiled
    assert not loaded.jit_compile
    assert loaded.optimizer.learning_rate_multipliers == {"bias$": 4.0}
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    histories = [one.fit(_maps(), LABELS, verbose=0).history for one in (model, loaded)]
    for name, values in histories[0].items():
        assert values == pytest.approx(histories[1][name])
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_saved_without_compiling(tmp_path):
    model = _model()
    expected = model.predict(_maps(), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for name, value in loaded.predict(_maps(), verbose=0).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-6)


def test_frozen_layers_stay_frozen_when_loaded(tmp_path):
    backbone = _backbone()
    set_trainable(backbone, "conv2")
    model = _model(backbone=backbone)
    model(_maps())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert len(loaded.trainable_variables) == len(model.trainable_variables)
    assert len(loaded.backbone.trainable_variables) == 4  # kernel, bias, gamma, beta


def test_config_round_trip():
    model = _model()
    clone = FVVAE.from_config(json.loads(json.dumps(model.get_config())))
    assert clone.loss_weights == model.loss_weights
    assert clone.fvvae.get_config() == model.fvvae.get_config()
    assert clone.descriptors.levels == LEVELS
    assert clone.backbone is None
    model.trainable = False
    assert not FVVAE.from_config(model.get_config()).trainable


# Errors


def test_own_loss_is_refused():
    with pytest.raises(ValueError, match="has its own objective .Eq. 8.; change `loss_weights` instead of `loss`"):
        _model().compile(loss="mse")


@pytest.mark.parametrize(
    "loss_weights", [(1.0, 1.0), (1.0, 1.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, float("nan"), 1.0), (0.0, 0.0, 0.0)]
)
def test_wrong_loss_weights(loss_weights):
    with pytest.raises(ValueError, match="`loss_weights` must be three numbers, none negative .*Received: "):
        _model(loss_weights)
