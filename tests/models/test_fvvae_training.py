"""The model is trained: by which optimizer, with what precision, on how many devices."""

import json
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers import FVVAELayer, SpatialPyramidPooling
from keras_fvvae.models import FVVAE
from keras_fvvae.optimizers import RELEASE_MULTIPLIERS, SGD, Adadelta
from tests.support import forked, mirrored_training
from tests.support.small_fvvae import (
    CLASSES,
    LABELS,
    LEVELS,
    TERMS,
    build_model,
    compile_model,
    draw_maps,
    loss_and_gradients,
    variable_name,
)


def test_default_optimizer_is_the_papers():
    model = build_model()
    model.compile()
    assert isinstance(model.optimizer, Adadelta)
    assert float(model.optimizer.learning_rate) == 1.0
    assert model.optimizer.learning_rate_multipliers == RELEASE_MULTIPLIERS


def test_one_step_of_sgd_follows_the_gradient():
    model = compile_model(build_model(), SGD(0.125, learning_rate_multipliers=RELEASE_MULTIPLIERS))
    _, gradients = loss_and_gradients(model, draw_maps(), LABELS)
    before = {variable_name(variable): variable.numpy() for variable in model.trainable_variables}
    model.train_on_batch(draw_maps(), LABELS)
    for variable in model.trainable_variables:
        name = variable_name(variable)
        factor = 10.0 if name.endswith("log_variance") else 2.0 if name.endswith("bias") else 1.0
        expected = before[name] - 0.125 * factor * gradients[name]
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-4, atol=1e-5, err_msg=name)


def test_training_draws_and_inference_does_not():
    model = build_model(dropout=0.5)
    model.fvvae.z_log_variance.assign(np.zeros(2))
    training = [np.array(model(draw_maps(), training=True)["reconstruction_loss"]) for _ in range(2)]
    inference = [np.array(model(draw_maps(), training=False)["reconstruction_loss"]) for _ in range(2)]
    assert not np.allclose(*training)
    np.testing.assert_array_equal(*inference)
    # `fit` trains with the draws, `evaluate` and `predict` without.
    compile_model(model, SGD(0.0))
    fitted = [model.fit(draw_maps(), LABELS, verbose=0).history["reconstruction"] for _ in range(2)]
    evaluated = [model.evaluate(draw_maps(), LABELS, verbose=0, return_dict=True)["reconstruction"] for _ in range(2)]
    assert not np.allclose(*fitted)
    assert evaluated == pytest.approx([inference[0].mean()] * 2, rel=1e-5)
    np.testing.assert_allclose(model.predict(draw_maps(), verbose=0)["reconstruction_loss"], inference[0], rtol=1e-5)


def test_training_lowers_the_loss_and_learns_the_classes():
    rng = np.random.default_rng(0)
    labels = np.arange(30) % CLASSES
    maps = (0.2 * rng.random((30, 4, 5, 3)) + np.eye(3)[labels][:, None, None]).astype("float32")
    model = FVVAE(SpatialPyramidPooling(LEVELS), FVVAELayer(latent_dim=4, num_classes=CLASSES, dropout=0.2, seed=0))
    compile_model(model, keras.optimizers.Adam(0.02), run_eagerly=False)
    history = model.fit(maps, labels, batch_size=10, epochs=40, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert model.evaluate(maps, labels, verbose=0, return_dict=True)["accuracy"] > 0.9


def test_fit_with_tf_data_and_callbacks(tmp_path):
    def data(seed, count):
        parts = (draw_maps(count, seed), np.arange(count) % 4 - 1)
        return tf.data.Dataset.from_tensor_slices(parts).batch(4).prefetch(1)

    path = tmp_path / "best.keras"
    callbacks = [
        keras.callbacks.ModelCheckpoint(path, monitor="val_loss", save_best_only=True),
        keras.callbacks.EarlyStopping("val_reconstruction", mode="min", patience=1, min_delta=1e9),
    ]
    model = compile_model(build_model(), run_eagerly=False)
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
    model = compile_model(build_model(loss_weights))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(draw_maps(), labels, verbose=0)


def test_compiled_by_xla_it_trains_the_same():
    weights = []
    for jit_compile in (False, True):
        model = compile_model(build_model(), run_eagerly=False, jit_compile=jit_compile)
        history = model.fit(draw_maps(), LABELS, batch_size=3, epochs=2, shuffle=False, verbose=0).history
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
        model = compile_model(build_model((1.0, 1.0, 10.0)), optimizer, run_eagerly=False)
        losses[policy] = model.fit(draw_maps(), LABELS, batch_size=3, epochs=4, shuffle=False, verbose=0).history[
            "loss"
        ]
        assert all(variable.dtype == "float32" for variable in model.trainable_variables)
    assert losses["float32"][-1] < losses["float32"][0]
    np.testing.assert_allclose(losses["mixed_float16"], losses["float32"], rtol=2e-2)


def test_mixed_float16_scales_the_loss_of_its_default_optimizer():
    keras.config.set_dtype_policy("mixed_float16")
    model = build_model()
    model.compile(jit_compile=False)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert isinstance(model.optimizer.inner_optimizer, Adadelta)
    before = model.get_weights()
    history = model.fit(draw_maps(), LABELS, epochs=12, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert any(not np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    """Results of `mirrored_training.py`, by case and number of devices."""
    stem = tmp_path_factory.mktemp("mirrored") / "training"
    process = forked.start(mirrored_training.main, stem=stem, environment={"CUDA_VISIBLE_DEVICES": "-1"})
    code, output, errors = forked.end(process, stem, 300)
    assert code == 0, errors[-3000:]
    return json.loads(output.splitlines()[-1])


@pytest.mark.system
@pytest.mark.once
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
