"""What `fit` of the models with an objective of their own does beyond Keras's, and their step written out."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers import AveragePooling, FVVAELayer, SpatialPyramidPooling, VectorNormalization
from keras_fvvae.models import FVVAE, FisherEncoder, SoftmaxClassifier

MAPS = np.random.default_rng(0).random((20, 4, 5, 3)).astype("float32")
LABELS = np.arange(20) % 3
PARTLY = np.where(LABELS == 1, -1, LABELS)
WEIGHTS = {0: 1.0, 1: 2.0, 2: 3.0}


def _fvvae(**arguments):
    keras.utils.set_random_seed(0)
    fvvae = FVVAELayer(latent_dim=2, num_classes=3, **{"dropout": 0.0, "seed": 0, **arguments})
    model = FVVAE(SpatialPyramidPooling((2, 1)), fvvae, loss_weights=(2.0, 0.5, 7.0))
    model.build((None, 4, 5, 3))
    return model


def _softmax():
    keras.utils.set_random_seed(0)
    head = keras.layers.Reshape((-1, 3)), AveragePooling(), VectorNormalization(("l2",))
    return SoftmaxClassifier(FisherEncoder(*head), 3, seed=0)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_train_step_is_a_tape_over_equation_8(seed):
    """`train_step((x, y))` gives the five quantities and moves the weights as gradient descent on Eq. 8 does."""
    model, other = _fvvae(seed=seed), _fvvae(seed=seed)
    model.compile(keras.optimizers.SGD(0.01), jit_compile=False)
    results = model.train_step((MAPS, PARTLY))
    assert set(results) == {"loss", "reconstruction", "regularization", "classification", "accuracy"}

    x = tf.constant(other.descriptors(MAPS))
    layer, labelled = other.fvvae, PARTLY >= 0
    with tf.GradientTape() as tape:
        outputs = layer(x, training=True)
        z_mean, z, x_mean = outputs["z_mean"], outputs["z"], outputs["reconstruction"]
        x_variance = tf.exp(tf.convert_to_tensor(layer.x_log_variance))
        z_variance = tf.exp(tf.convert_to_tensor(layer.z_log_variance))
        log_density = -tf.square(x - x_mean) / (2 * x_variance) - 0.5 * tf.math.log(2 * np.pi * x_variance)
        reconstruction = -tf.reduce_mean(tf.reduce_sum(log_density, axis=-1))
        divergence = 0.5 * (tf.square(z_mean) + z_variance - 1 - tf.math.log(z_variance))
        regularization = tf.reduce_mean(tf.reduce_sum(divergence, axis=-1))
        scores = tf.reduce_max(z @ layer.classifier.kernel + layer.classifier.bias, axis=1)
        log_probabilities = tf.nn.log_softmax(scores[labelled])
        classification = -tf.reduce_mean(tf.gather(log_probabilities, PARTLY[labelled], batch_dims=1))
        loss = 2.0 * reconstruction + 0.5 * regularization + 7.0 / 5 * classification  # five descriptors
    variables = other.trainable_variables
    assert not np.allclose(z, z_mean)  # it did sample
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        variable.assign_sub(0.01 * gradient)

    accuracy = np.mean(np.argmax(scores, axis=1)[labelled] == PARTLY[labelled])
    expected = [loss, reconstruction, regularization, classification, accuracy]
    names = ["loss", "reconstruction", "regularization", "classification", "accuracy"]
    np.testing.assert_allclose([float(results[name]) for name in names], [float(one) for one in expected], rtol=1e-5)
    start = _fvvae(seed=seed).trainable_variables
    for mine, theirs, old in zip(model.trainable_variables, variables, start, strict=True):
        assert not np.array_equal(mine, old), mine.path
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7, err_msg=mine.path)


@pytest.mark.parametrize(
    ("make", "monitor", "mode"),
    [
        (_fvvae, "val_accuracy", "max"),
        (_fvvae, "val_reconstruction", "min"),
        (_fvvae, "val_classification", "min"),
        (_softmax, "val_accuracy", "max"),
        (_softmax, "accuracy", "max"),
    ],
)
def test_callbacks_know_the_better_direction(make, monitor, mode, tmp_path):
    callbacks = [
        keras.callbacks.EarlyStopping(monitor=monitor),
        keras.callbacks.ReduceLROnPlateau(monitor=monitor),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor=monitor, save_best_only=True),
        keras.callbacks.EarlyStopping(monitor="val_loss"),
    ]
    model = make()
    model.compile(run_eagerly=True)
    model.fit(MAPS, LABELS, validation_data=(MAPS, LABELS), verbose=0, callbacks=callbacks)
    assert [callback.mode for callback in callbacks] == [mode, mode, mode, "auto"]
    assert (tmp_path / "best.keras").is_file()


def test_a_single_callback_is_taken_too():
    stop = keras.callbacks.EarlyStopping(monitor="accuracy")
    model = _softmax()
    model.compile(run_eagerly=True)
    model.fit(MAPS, LABELS, verbose=0, callbacks=stop)
    assert stop.mode == "max"


def test_arguments_by_position():
    """As of `keras.Model.fit`: batch size, epochs, verbose, callbacks, ..."""
    stop = keras.callbacks.EarlyStopping(monitor="accuracy")
    model = _softmax()
    model.compile(run_eagerly=True)
    history = model.fit(MAPS, LABELS, 10, 2, 0, [stop])
    assert len(history.history["accuracy"]) == 2
    assert stop.mode == "max"


@pytest.mark.parametrize("make", [_fvvae, _softmax])
@pytest.mark.parametrize("column", [False, True])
def test_class_weights_with_unlabelled_items(make, column):
    """From `tf.data` as from arrays, where Keras leaves examples without a class at a weight of one."""
    labels = PARTLY[:, None] if column else PARTLY
    found = []
    for data in ((MAPS, labels), (tf.data.Dataset.from_tensor_slices((MAPS, labels)).batch(20),)):
        model = make()
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
        options = {"batch_size": 20, "shuffle": False} if len(data) == 2 else {}
        history = model.fit(*data, class_weight=WEIGHTS, verbose=0, **options)
        found.append([history.history["loss"], *(one.numpy() for one in model.trainable_variables)])
    model = make()
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    unweighted = model.fit(MAPS, labels, batch_size=20, shuffle=False, verbose=0).history["loss"]
    assert abs(unweighted[0] - found[0][0][0]) > 1e-4
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_class_weights_beside_sample_weights_are_refused():
    dataset = tf.data.Dataset.from_tensor_slices((MAPS, LABELS, np.ones(20))).batch(5)
    model = _fvvae()
    model.compile(run_eagerly=True)
    with pytest.raises(ValueError, match="without sample weights of its own. Received: batches of 3 parts"):
        model.fit(dataset, class_weight=WEIGHTS, verbose=0)


def test_a_layer_with_losses_of_its_own_is_refused():
    with pytest.raises(ValueError, match="give it an `FVVAELayer` with `add_losses=False`"):
        FVVAE(SpatialPyramidPooling(), FVVAELayer(add_losses=True))
