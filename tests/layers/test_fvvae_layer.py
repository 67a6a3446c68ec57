import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_fvvae.layers import FVVAELayer
from keras_fvvae.layers.fvvae_layer import MIN_LOG_VARIANCE
from tests.support import backends
from tests.support.backends import dtype_of
from tests.support.layer_harness import check_layer
from tests.support.numpy_reference import NumpyFVVAE, firing, randomize

LOSSES = ("reconstruction_loss", "regularization_loss")
# exp(-60): the noise of the sampling falls below the last bit of z.
NO_NOISE = -60.0


def _descriptors(batch=3, count=6, channels=4):
    rng = np.random.default_rng(0)
    descriptors = np.maximum(rng.normal(size=(batch, count, channels)), 0)  # activations after a ReLU: many zeros
    descriptors[0, 1] = 0.0
    return descriptors.astype("float32")


# Seeds and scales of random weights with which every unit fires for some of the descriptors and not for others.
LIVE = {None: (112, 0.7), (): (4, 0.7), (5, 4): (68, 1.0)}


def _layer(hidden_units=None, **arguments):
    """A built layer with random weights: biases and log variances far from zero."""
    layer = FVVAELayer(**{"latent_dim": 3, "hidden_units": hidden_units, "num_classes": 5, "seed": 1, **arguments})
    layer.build((None, None, 4))
    return randomize(layer, *LIVE[hidden_units])


def _identity_encoder(**arguments):
    """z_mean = x: what dropout and sampling do to it can be read off."""
    layer = _layer(latent_dim=4, hidden_units=(), **arguments)
    layer.encoder[-1].set_weights([np.eye(4), np.zeros(4)])
    return layer


def _mean_losses(reference, descriptors, latents, z_means):
    """The two losses of Algorithm 1 per image: means over its descriptors."""
    pairs = zip(descriptors, latents, strict=True)
    return {
        "reconstruction_loss": [np.mean([*map(reference.reconstruction_loss, *pair)]) for pair in pairs],
        "regularization_loss": [np.mean([*map(reference.regularization_loss, z_mean)]) for z_mean in z_means],
    }


@pytest.mark.parametrize(
    "arguments", [{"hidden_units": (5, 4)}, {"num_classes": 3, "dropout": 0.25}, {"product_dtype": "bfloat16"}]
)
def test_harness(arguments):
    check_layer(lambda **kwargs: FVVAELayer(latent_dim=3, seed=1, **arguments, **kwargs), _descriptors())


@pytest.mark.parametrize("hidden_units", LIVE)
def test_all_units_fire_for_some_descriptors(hidden_units):
    """What the tests below rest on."""
    shares = firing(_layer(hidden_units), _descriptors())
    assert 0.1 < shares.min() <= shares.max() < 0.95


@pytest.mark.parametrize("num_classes", [None, 5])
@pytest.mark.parametrize("hidden_activation", ["relu", "tanh"])
@pytest.mark.parametrize(("hidden_units", "widths"), [(None, [4, 3]), ((), [3]), ((5, 4), [5, 4, 3])])
def test_is_algorithm_1(hidden_units, widths, hidden_activation, num_classes):
    arguments = {"hidden_activation": hidden_activation, "num_classes": num_classes, "dtype": "float64"}
    layer = _layer(hidden_units=hidden_units, **arguments)
    assert [dense.units for dense in layer.encoder] == widths
    descriptors = _descriptors().astype("float64")
    outputs = {name: np.array(output) for name, output in layer(descriptors).items()}

    reference = NumpyFVVAE(layer)
    z_mean = np.array([[reference.encode(x) for x in image] for image in descriptors])
    expected = {
        "z_mean": z_mean,
        "z": z_mean,
        "reconstruction": np.array([[reference.decode(z) for z in image] for image in z_mean]),
        **_mean_losses(reference, descriptors, z_mean, z_mean),
    }
    if num_classes is not None:
        expected["class_scores"] = [reference.class_scores(image) for image in z_mean]
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        tolerance = 1e-6 if hidden_activation == "tanh" else 1e-12  # the activation function itself is float32 there
        np.testing.assert_allclose(outputs[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


def test_losses_while_training_use_the_sampled_z_and_the_clean_descriptor():
    layer = _layer(dropout=0.5, dtype="float64")
    descriptors = _descriptors().astype("float64")
    outputs = {name: np.array(output) for name, output in layer(descriptors, training=True).items()}
    reference = NumpyFVVAE(layer)
    assert np.abs(outputs["z"] - outputs["z_mean"]).min() > 0
    # The encoder saw dropped descriptors, so that its mean is another than the clean one's.
    assert not np.allclose(outputs["z_mean"], layer(descriptors)["z_mean"])
    for name, expected in _mean_losses(reference, descriptors, outputs["z"], outputs["z_mean"]).items():
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-12)
    expected = [reference.class_scores(image) for image in outputs["z"]]
    np.testing.assert_allclose(outputs["class_scores"], expected, rtol=1e-12)


def test_sampling_adds_noise_of_the_learnt_standard_deviation():
    layer = _layer(dropout=0.0)
    sigma = np.array([0.1, 1.0, 3.0])
    layer.z_log_variance.assign(2 * np.log(sigma))
    outputs = layer(_descriptors(batch=40, count=250), training=True)
    noise = (np.array(outputs["z"]) - np.array(outputs["z_mean"])).reshape(-1, 3) / sigma
    # Five standard errors of 10,000 draws; unequal sigmas show a variance mistaken for a standard deviation.
    np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=5 / 100)
    np.testing.assert_allclose(noise.std(axis=0), 1.0, atol=5 / np.sqrt(2) / 100)
    np.testing.assert_allclose(np.corrcoef(noise.T), np.eye(3), atol=5 / 100)


def test_dropout_drops_entries_of_the_encoder_input_and_scales_the_others():
    layer = _identity_encoder(dropout=0.75)
    descriptors = _descriptors(batch=20, count=50) + 1.0
    ratio = np.array(layer(descriptors, training=True)["z_mean"]) / descriptors
    kept = ratio > 0
    np.testing.assert_allclose(ratio[kept], 4.0, rtol=1e-6)
    assert not ratio[~kept].any()
    assert abs(kept.mean() - 0.25) < 0.05
    np.testing.assert_allclose(layer(descriptors)["z_mean"], descriptors, rtol=1e-6)


def test_no_randomness_without_dropout_and_noise():
    layer = _layer(dropout=0.0)
    layer.z_log_variance.assign(np.full(3, NO_NOISE))
    training, inference = (layer(_descriptors(), training=flag) for flag in (True, False))
    for name in training:
        np.testing.assert_allclose(training[name], inference[name], rtol=1e-6, atol=1e-6)


def test_products_of_training_are_in_bfloat16_and_nothing_else_is():
    """Rounded by three decimal digits, with gradients alike; what is not training stays the same to the bit."""
    layers = [_layer((5, 4), decoder_units=(6,), dropout=0.0, product_dtype=one) for one in (None, "bfloat16")]
    descriptors = _descriptors()
    for layer in layers:
        layer.z_log_variance.assign(np.full(3, NO_NOISE))
    (full, half) = ({n: np.array(v) for n, v in layer(descriptors, training=True).items()} for layer in layers)
    for name, expected in full.items():
        assert half[name].dtype == "float32"
        error = np.abs(half[name] - expected).max() / np.abs(expected).max()
        assert (0 < error < 0.03) or (name in LOSSES and error < 0.03), name
    gradients = [
        backends.weight_gradients(layer, descriptors, lambda outputs: ops.sum(outputs["reconstruction_loss"]))
        for layer in layers
    ]
    for expected, found in zip(*gradients, strict=True):
        if expected is not None:
            scale = np.linalg.norm(np.array(expected))
            assert np.linalg.norm(np.array(found) - np.array(expected)) < 0.05 * scale
    for name, expected in layers[0](descriptors).items():
        np.testing.assert_array_equal(np.array(layers[1](descriptors)[name]), np.array(expected), err_msg=name)


def test_inference_is_repeatable_and_training_is_not():
    layer = _layer()
    inference = [np.array(layer(_descriptors())["z"]) for _ in range(2)]
    training = [np.array(layer(_descriptors(), training=True)["z"]) for _ in range(2)]
    np.testing.assert_array_equal(*inference)
    assert not np.array_equal(*training)


def test_seed_repeats_the_draws():
    draws = [np.array(_layer(seed=seed)(_descriptors(), training=True)["z"]) for seed in (7, 7, 8)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def _mask():
    return np.array([[True, False, True, True, False, True], [False] * 5 + [True], [True] * 6])


@pytest.mark.parametrize("masked_value", [1e3, np.nan])
def test_masked_descriptors_enter_no_loss_and_no_score(masked_value):
    layer = _layer(dtype="float64")
    # All real scores are negative, so that a masked score of zero would win the maximum.
    kernel, bias = layer.classifier.get_weights()
    layer.classifier.set_weights([kernel, bias - 50.0])
    mask = _mask()
    descriptors = np.where(mask[..., np.newaxis], _descriptors(), masked_value).astype("float64")
    outputs = layer(descriptors, mask=mask)
    for i, keep in enumerate(mask):
        expected = layer(descriptors[i : i + 1, keep])
        for name in (*LOSSES, "class_scores"):
            np.testing.assert_allclose(outputs[name][i], expected[name][0], rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("masked_value", [1e3, np.nan])
def test_masked_descriptors_change_no_gradient(masked_value):
    layer = _layer(dropout=0.0, dtype="float64")
    mask = _mask()

    def gradients(descriptors):
        with tf.GradientTape() as tape:
            outputs = layer(descriptors, mask=mask)
            loss = sum(tf.reduce_sum(outputs[name]) for name in (*LOSSES, "class_scores"))
        return tape.gradient(loss, layer.trainable_variables)

    expected = gradients(np.where(mask[..., np.newaxis], _descriptors(), 0.5).astype("float64"))
    actual = gradients(np.where(mask[..., np.newaxis], _descriptors(), masked_value).astype("float64"))
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_image_without_any_descriptor():
    outputs = _layer()(_descriptors(), mask=np.zeros((3, 6), bool))
    for name in LOSSES:
        np.testing.assert_array_equal(outputs[name], np.zeros(3))
    assert np.isfinite(outputs["class_scores"]).all()


def test_mask_of_keras_is_used_and_not_passed_on():
    """`Masking` marks all-zero descriptors."""
    descriptors = _descriptors()
    inputs = keras.Input((6, 4))
    layer = _layer()
    outputs = layer(keras.layers.Masking(0.0)(inputs))
    model = keras.Model(inputs, outputs)
    expected = layer(descriptors, mask=descriptors.any(axis=-1))["reconstruction_loss"]
    np.testing.assert_allclose(model(descriptors)["reconstruction_loss"], expected, rtol=1e-6)
    assert not np.allclose(expected, layer(descriptors)["reconstruction_loss"])
    assert all(getattr(output, "_keras_mask", None) is None for output in outputs.values())


@pytest.mark.parametrize("stop", [False, True])
def test_stop_target_gradient(stop):
    """With a decoder that does not look at z, the descriptor reaches the loss as the target alone."""
    layer = _layer(stop_target_gradient=stop, dtype="float64")
    bias = np.array([0.5, 1.0, 1.5, 2.0])
    layer.decoder.set_weights([np.zeros((3, 4)), bias])
    descriptors = tf.constant(_descriptors(), "float64")
    with tf.GradientTape() as tape:
        tape.watch(descriptors)
        loss = tf.reduce_sum(layer(descriptors)["reconstruction_loss"])
    gradient = tape.gradient(loss, descriptors, unconnected_gradients="zero")
    expected = (descriptors - bias) / np.exp(layer.x_log_variance) / 6  # a mean over six descriptors
    np.testing.assert_allclose(gradient, np.zeros_like(expected) if stop else expected, rtol=1e-10)


def test_stop_target_gradient_keeps_values_and_the_way_through_the_encoder():
    descriptors = tf.constant(_descriptors(), "float64")
    outputs, gradients = [], []
    for stop in (False, True):
        layer = _layer(stop_target_gradient=stop, dtype="float64")
        with tf.GradientTape() as tape:
            tape.watch(descriptors)
            loss = layer(descriptors)["reconstruction_loss"]
        outputs.append(loss)
        gradients.append(np.array(tape.gradient(loss, descriptors)))
    np.testing.assert_array_equal(*outputs)
    reconstruction = np.array(layer(descriptors)["reconstruction"])
    through_target = (np.array(descriptors) - reconstruction) / np.exp(layer.x_log_variance) / 6
    np.testing.assert_allclose(gradients[0] - through_target, gradients[1], atol=1e-12)
    assert np.abs(gradients[1]).max() > 1e-3


def test_variances_start_at_one_and_keep_full_precision():
    layer = FVVAELayer(latent_dim=3, dtype="mixed_float16")
    outputs = layer(_descriptors())
    for variable in (layer.x_log_variance, layer.z_log_variance):
        np.testing.assert_array_equal(variable, np.zeros(variable.shape))
    # 1 + 2^-12 is a float32, but one in float16: the loss must see the difference.
    loss = outputs["reconstruction_loss"]
    layer.x_log_variance.assign(np.full(4, 2.0**-12))
    assert dtype_of(loss) == "float32"
    assert not np.array_equal(layer(_descriptors())["reconstruction_loss"], loss)


def test_variance_of_a_channel_that_is_always_zero_has_a_floor():
    """Without one its logarithm falls at every step, until its inverse overflows; the others learn as before."""
    layer = _layer(dropout=0.0)
    kernel, bias = layer.decoder.get_weights()
    layer.decoder.set_weights([kernel, np.where(np.arange(4) == 0, -1e3, bias)])
    descriptors = _descriptors() * np.array([0, 1, 1, 1], "float32")
    optimizer = keras.optimizers.SGD(20.0)
    for _ in range(20):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(layer(descriptors, training=True)["reconstruction_loss"])
        optimizer.apply(tape.gradient(loss, [layer.x_log_variance]), [layer.x_log_variance])
    assert layer.x_log_variance.numpy()[0] == pytest.approx(MIN_LOG_VARIANCE)
    assert layer.x_log_variance.numpy()[1:].min() > MIN_LOG_VARIANCE / 2
    assert np.isfinite(layer(descriptors)["reconstruction_loss"]).all()


def test_losses_do_not_overflow_in_float16():
    layer = FVVAELayer(latent_dim=3, dtype="mixed_float16")
    outputs = layer(np.full((2, 6, 4), 3e2, "float32"))
    assert all(np.isfinite(outputs[name]).all() and (np.array(outputs[name]) > 0).all() for name in LOSSES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latent_dim": 0}, "`latent_dim` must be a positive integer. Received: latent_dim=0"),
        ({"latent_dim": 2.0}, "`latent_dim` must be a positive integer. Received: latent_dim=2.0"),
        ({"hidden_units": (4, -1)}, "`hidden_units` must be a positive integer. Received: hidden_units=-1"),
        ({"num_classes": 0}, "`num_classes` must be a positive integer"),
        ({"num_classes": True}, "`num_classes` must be a positive integer"),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\). Received: dropout=1.0"),
        ({"dropout": -0.1}, r"`dropout` must be in \[0, 1\)"),
        ({"dropout": float("nan")}, r"`dropout` must be in \[0, 1\)"),
        ({"hidden_activation": "no such"}, "no such"),
        ({"product_dtype": "float16"}, r"`product_dtype` must be one of \(None, 'bfloat16'\). Received: 'float16'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        FVVAELayer(**arguments)


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 3, 4)])
def test_wrong_rank(shape):
    with pytest.raises(ValueError, match="expects descriptors .batch, descriptors, channels. with known channels"):
        FVVAELayer()(np.zeros(shape, "float32"))


def test_unknown_channels():
    with pytest.raises(ValueError, match=r"Received: shape=\(None, 3, None\)"):
        FVVAELayer()(keras.Input((3, None)))


def _trained_in_a_functional_model(**arguments):
    keras.utils.set_random_seed(0)
    layer = FVVAELayer(latent_dim=2, seed=0, dropout=0.0, **arguments)
    inputs = keras.Input((6, 4))
    model = keras.Model(inputs, layer(inputs)["z_mean"])
    model.compile(keras.optimizers.SGD(0.01))
    return layer, model


def test_added_losses_are_the_weighted_terms():
    layer, model = _trained_in_a_functional_model(add_losses=True, lambda1=2.0, lambda2=0.5)
    outputs = layer(_descriptors())
    terms = [float(keras.ops.mean(outputs[name])) for name in ("reconstruction_loss", "regularization_loss")]
    losses = [float(loss) for loss in layer.losses]
    np.testing.assert_allclose(losses, [2.0 * terms[0], 0.5 * terms[1]], rtol=1e-5)
    assert model.evaluate(_descriptors(), verbose=0) == pytest.approx(2.0 * terms[0] + 0.5 * terms[1], rel=1e-5)
    plain = FVVAELayer(latent_dim=2)
    plain(_descriptors())
    assert plain.losses == []


def test_the_layer_alone_trains_in_a_functional_model(tmp_path):
    """A plain `keras.Model.fit` follows the gradient of the two terms of Eq. 8, and saves and loads them."""
    descriptors = _descriptors(batch=8).astype("float32")
    layer, model = _trained_in_a_functional_model(add_losses=True)
    start = model.evaluate(descriptors, verbose=0)
    model.fit(np.tile(descriptors, (150, 1, 1)), batch_size=8, verbose=0)
    assert model.evaluate(descriptors, verbose=0) < 0.95 * start
    assert np.abs(layer.x_log_variance.numpy()).max() > 0.01
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(descriptors, verbose=0) == pytest.approx(model.evaluate(descriptors, verbose=0), rel=1e-5)

    if backends.on_tensorflow():  # Keras's steps on the others take a model without a loss
        _, model = _trained_in_a_functional_model()
        with pytest.raises(ValueError, match="No loss to compute"):
            model.fit(descriptors, verbose=0)


def test_only_losses_that_count_move_the_weights():
    layer, model = _trained_in_a_functional_model(add_losses=True, lambda1=0.0)
    before = [weight.numpy() for weight in layer.decoder.weights]
    start = layer.z_log_variance.numpy() + 1.0
    layer.z_log_variance.assign(start)
    model.fit(_descriptors(), verbose=0)
    for weight, old in zip(layer.decoder.weights, before, strict=True):
        np.testing.assert_array_equal(weight, old)
    assert not np.array_equal(layer.z_log_variance, start)


def test_weights_are_copied():
    source, target = FVVAELayer(latent_dim=2, num_classes=3), FVVAELayer(latent_dim=2, num_classes=3)
    for layer in (source, target):
        layer.build((None, None, 4))
    randomize(source, seed=1)
    fresh = target.classifier.kernel.numpy()
    target.copy_weights(source)
    np.testing.assert_array_equal(target.x_log_variance, source.x_log_variance)
    np.testing.assert_array_equal(target.classifier.kernel, fresh)
    target.copy_weights(source, classes=True)
    for one, other in zip(target.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    other = FVVAELayer(latent_dim=3)
    other.build((None, None, 4))
    with pytest.raises(ValueError, match="another one of the same architecture only"):
        target.copy_weights(other)


@pytest.mark.parametrize("weights", [{"lambda1": -1.0}, {"lambda2": float("nan")}])
def test_wrong_weights_of_losses(weights):
    with pytest.raises(ValueError, match="`lambda1` and `lambda2` must not be negative"):
        FVVAELayer(**weights)
