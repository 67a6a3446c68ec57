import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.optimizers import OPTIMIZERS, RELEASE_MULTIPLIERS, SGD, Adadelta, Adam

# With a base rate and factors that are powers of two, a scaled rate is a float32 without rounding.
BASE_RATE = 0.25
FACTORS = {r"log_variance$": 8.0, r"bias$": 2.0, r"frozen": 0.0}
NAMES = {"x_log_variance": 8.0, "bias": 2.0, "kernel": 1.0, "frozen_kernel": 0.0, "bias_of_nothing": 1.0}

PAIRS = [
    (Adadelta, keras.optimizers.Adadelta, {}),
    (Adadelta, keras.optimizers.Adadelta, {"rho": 0.9, "epsilon": 1e-3, "global_clipnorm": None}),
    (Adam, keras.optimizers.Adam, {"beta_1": 0.8}),
    (Adam, keras.optimizers.Adam, {"amsgrad": True}),
    (SGD, keras.optimizers.SGD, {}),
    (SGD, keras.optimizers.SGD, {"momentum": 0.9, "nesterov": True}),
]


def _variable(name):
    return keras.Variable(np.array([0.5, -1.0, 2.0], "float32"), name=name)


def _gradients(steps=4):
    return np.random.default_rng(0).normal(size=(steps, len(NAMES), 3)).astype("float32")


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("ours", "plain", "arguments"), PAIRS)
def test_multiplier_scales_the_step_exactly(ours, plain, arguments, compiled):
    """Every variable moves as if a plain optimizer had trained it alone at `rate * factor`."""
    variables = [_variable(name) for name in NAMES]
    optimizer = ours(BASE_RATE, learning_rate_multipliers=FACTORS, **arguments)
    optimizer.build(variables)
    step = tf.function(lambda gradients: optimizer.apply(tf.unstack(gradients, num=len(NAMES)))) if compiled else None
    for gradients in _gradients():
        step(tf.constant(gradients)) if compiled else optimizer.apply(list(gradients))
    for index, (name, factor) in enumerate(NAMES.items()):
        expected = _variable(name)
        single = plain(BASE_RATE * factor, **arguments)
        single.build([expected])
        for gradients in _gradients():
            single.apply([gradients[index]])
        # One rounding apart: the compiler of a graph may fuse a product and a sum.
        np.testing.assert_allclose(variables[index].numpy(), expected.numpy(), rtol=1e-6, err_msg=name)
        assert np.array_equal(expected.numpy(), _variable(name).numpy()) == (factor == 0)


@pytest.mark.parametrize(("ours", "plain"), [(Adadelta, keras.optimizers.Adadelta), (Adam, keras.optimizers.Adam)])
def test_without_multipliers_it_is_the_plain_optimizer(ours, plain):
    results = []
    for optimizer in (ours(0.3), plain(0.3)):
        variables = [_variable(name) for name in NAMES]
        optimizer.build(variables)
        for gradients in _gradients():
            optimizer.apply(list(gradients))
        results.append([variable.numpy() for variable in variables])
    np.testing.assert_array_equal(*results)


def test_first_pattern_that_matches_counts():
    optimizer = SGD(1.0, learning_rate_multipliers={"decoder": 3.0, "bias$": 2.0})
    assert optimizer.multiplier("fvvae/decoder/bias") == 3.0
    assert optimizer.multiplier("fvvae/encoder_0/bias") == 2.0
    assert optimizer.multiplier("fvvae/encoder_0/kernel") == 1.0


def test_multipliers_of_the_release():
    optimizer = Adadelta(1.0, learning_rate_multipliers=RELEASE_MULTIPLIERS)
    paths = ["fvvae/x_log_variance", "fvvae/z_log_variance", "fvvae/decoder/bias", "fvvae/decoder/kernel", "bn/gamma"]
    assert [optimizer.multiplier(path) for path in paths] == [10.0, 10.0, 2.0, 1.0, 1.0]


def test_works_with_a_schedule():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [1.0, 0.25])
    optimizer = SGD(schedule, learning_rate_multipliers={"bias": 2.0})
    variable = _variable("bias")
    optimizer.build([variable])
    for expected in ([-1.5, -3.0, 0.0], [-2.0, -3.5, -0.5]):
        optimizer.apply([np.ones(3, "float32")])
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6)


def test_works_under_loss_scaling():
    """What Keras wraps around an optimizer for mixed_float16."""
    variables = [_variable(name) for name in NAMES]
    optimizer = keras.optimizers.LossScaleOptimizer(SGD(1.0, learning_rate_multipliers=FACTORS), initial_scale=16.0)
    optimizer.build(variables)
    optimizer.apply([np.full(3, 16.0, "float32")] * len(NAMES))
    for variable, factor in zip(variables, NAMES.values(), strict=True):
        np.testing.assert_allclose(variable.numpy(), _variable("x").numpy() - factor, rtol=1e-6)


def _model(optimizer):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="decoder")])
    model.compile(optimizer, "mse", jit_compile=False)
    return model


def test_fit_moves_biases_at_twice_the_rate():
    inputs, targets = np.ones((4, 3), "float32"), np.full((4, 2), 10.0, "float32")
    steps = []
    for factors in (None, {"bias$": 2.0}):
        keras.utils.set_random_seed(1)
        model = _model(SGD(0.01, learning_rate_multipliers=factors))
        before = model.get_weights()
        model.fit(inputs, targets, batch_size=4, verbose=0)
        steps.append([new - old for old, new in zip(before, model.get_weights(), strict=True)])
    np.testing.assert_array_equal(steps[0][0], steps[1][0])
    np.testing.assert_allclose(steps[1][1], 2 * steps[0][1], rtol=1e-5)


@pytest.mark.parametrize("optimizer_class", OPTIMIZERS.values())
def test_config_round_trip(optimizer_class):
    optimizer = optimizer_class(0.5, learning_rate_multipliers=FACTORS, clipnorm=1.0)
    clone = optimizer_class.from_config(optimizer.get_config())
    assert clone.learning_rate_multipliers == FACTORS
    assert clone.get_config() == optimizer.get_config()
    restored = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(restored) is optimizer_class
    assert restored.learning_rate_multipliers == FACTORS


@pytest.mark.parametrize("optimizer_class", OPTIMIZERS.values())
def test_saved_and_loaded_in_a_compiled_model(optimizer_class, tmp_path):
    """A loaded model trains on as if it had not been saved."""
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=(4, 2)).astype("float32")
    model = _model(optimizer_class(0.5, learning_rate_multipliers={"bias$": 4.0}))
    model.fit(inputs, targets, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is optimizer_class
    assert loaded.optimizer.learning_rate_multipliers == {"bias$": 4.0}
    assert int(loaded.optimizer.iterations) == 1
    for one in (model, loaded):
        one.fit(inputs, targets, verbose=0)
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("factor", [-1.0, float("nan")])
def test_wrong_factor(factor):
    with pytest.raises(ValueError, match="`learning_rate_multipliers` must not be negative. Received: 'bias': "):
        Adam(1.0, learning_rate_multipliers={"bias": factor})
