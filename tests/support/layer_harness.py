"""One harness that every public layer passes: what Keras promises of a layer, checked on the layer itself.

It runs on each of Keras's backends (`KERAS_BACKEND=jax python -m pytest tests/layers`); SavedModels are TensorFlow's.

For the first variant of a layer that a process checks, files are written and bfloat16 is tried, which takes the ways of
float16; `KERAS_FVVAE_ALL=1` (`make test-slow`) does so for all.
"""

import inspect
import json
import os
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import ops, tree

from tests.support.backends import compiled, dtype_of, on_tensorflow, weight_gradients

# Largest error, relative to the largest value: a few roundings of a significand of 11 (8) bits.
HALF_PRECISION = {"mixed_float16": 5e-3, "mixed_bfloat16": 4e-2}


ALL = bool(os.environ.get("KERAS_FVVAE_ALL"))
_seen = set()


def check_layer(build, inputs, without_gradient=(), half_precision=1):
    """Checks configuration, saving, symbolic calls, training, mixed precision, dynamic batches and export of a layer.

    Args:
        build: function of keyword arguments (`dtype`) that makes a new layer; each call may draw other weights.
        inputs: array, a batch of at least two different examples.
        without_gradient: names of trainable weights on which the outputs do not depend; all others must be trained.
        half_precision: factor of its tolerances, for layers that turn whole units on and off at a threshold.
    """
    layer_class = _check_config(build, inputs)
    _check_dynamic_batch(build, inputs)
    whole = ALL or layer_class not in _seen
    _seen.add(layer_class)
    if whole:
        _check_saving(build, inputs)
        if on_tensorflow():
            _check_export(build, inputs)
    for dtype in ("float32", "mixed_float16", "mixed_bfloat16") if whole else ("float32", "mixed_float16"):
        _check_symbolic_call(build, inputs, dtype)
        _check_training_step(build, inputs, dtype, without_gradient)
        if dtype in HALF_PRECISION:
            _check_half_precision(build, inputs, dtype, half_precision * HALF_PRECISION[dtype])


def assert_close(actual, desired, tolerance=1e-5):
    """Compares two structures of tensors leaf by leaf, relative to the largest value of each leaf."""
    tree.assert_same_structure(actual, desired)
    for one, other in zip(tree.flatten(actual), tree.flatten(desired), strict=True):
        one, other = _to_numpy(one), _to_numpy(other)
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * max(np.abs(other).max(), 1e-30))


def _check_config(build, inputs):
    layer = build()
    expected = layer(inputs)
    config = _through_json(layer.get_config())
    for name in _constructor_arguments(layer):
        assert name in config, f"the constructor argument {name!r} is not in the config"
        assert hasattr(layer, name), f"the constructor argument {name!r} is not an attribute"
    clone = type(layer).from_config(config)
    assert _through_json(clone.get_config()) == config
    clone.build((None, *inputs.shape[1:]))
    clone.set_weights(layer.get_weights())
    assert_close(clone(inputs), expected)
    return type(layer)


def _check_saving(build, inputs):
    model = _functional_model(build(), inputs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.keras"
        model.save(path)
        loaded = keras.saving.load_model(path, safe_mode=True)
    assert_close(loaded(inputs), model(inputs))


def _check_symbolic_call(build, inputs, dtype):
    layer = build(dtype=dtype)
    symbolic = _functional_model(layer, inputs).output
    eager = layer(inputs)
    tree.assert_same_structure(symbolic, eager)
    for spec, tensor in zip(tree.flatten(symbolic), tree.flatten(eager), strict=True):
        assert keras.backend.standardize_dtype(spec.dtype) == keras.backend.standardize_dtype(tensor.dtype)
        assert (len(inputs), *spec.shape[1:]) == tuple(tensor.shape)
    assert_close(compiled(layer)(inputs), eager, HALF_PRECISION.get(dtype, 1e-5))


def _check_dynamic_batch(build, inputs):
    """Examples are independent of one another, and one traced graph takes a batch of any size."""
    layer = build()
    expected = layer(inputs)
    traced = compiled(layer, _dynamic_batch(inputs))
    for count in (1, len(inputs)):
        assert_close(traced(inputs[:count]), tree.map_structure(lambda x, count=count: x[:count], expected))


def _check_export(build, inputs):
    import tensorflow as tf

    layer = build()
    expected = layer(inputs)
    signature = tf.TensorSpec((None, *inputs.shape[1:]), inputs.dtype)
    archive = keras.export.ExportArchive()
    archive.track(layer)
    archive.add_endpoint("serve", lambda inputs: layer(inputs), input_signature=[signature])
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        loaded = tf.saved_model.load(folder)
    assert_close(loaded.serve(tf.constant(inputs)), expected)


def _check_training_step(build, inputs, dtype, without_gradient):
    # Random weights may put all units of a small ReLU to sleep; such a layer has no gradient on any backend.
    layers = (build(dtype=dtype) for _ in range(20))
    layer = next(layer for layer in layers if any(_to_numpy(o).any() for o in tree.flatten(layer(inputs))))
    variables = layer.trainable_variables
    if not variables:
        return
    gradients = weight_gradients(layer, inputs, _mean_square)
    untrained = {v.path.rsplit("/", 1)[-1] for v, g in zip(variables, gradients, strict=True) if g is None}
    assert untrained == set(without_gradient)
    trained = [(variable, g) for variable, g in zip(variables, gradients, strict=True) if g is not None]
    before = [np.array(ops.convert_to_numpy(variable)) for variable, _ in trained]
    for variable, gradient in trained:
        variable.assign(variable - 0.01 * ops.cast(gradient, variable.dtype))
    after = [ops.convert_to_numpy(variable) for variable, _ in trained]
    assert all(np.isfinite(value).all() for value in after)
    assert any(not np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def _mean_square(outputs):
    return sum(ops.mean(ops.square(ops.cast(output, "float32"))) for output in tree.flatten(outputs))


def _check_half_precision(build, inputs, dtype, tolerance):
    full, half = build(), build(dtype=dtype)
    expected = full(inputs)
    if not half.built:
        half.build((None, *inputs.shape[1:]))
    half.set_weights(full.get_weights())
    assert {dtype_of(v) for v in half.variables} <= {"float32", "int64", "int32", "uint32"}
    outputs = half(inputs)
    assert all(np.isfinite(_to_numpy(output)).all() for output in tree.flatten(outputs))
    assert_close(outputs, expected, tolerance)


def _through_json(config):
    return json.loads(json.dumps(config))


def _constructor_arguments(layer):
    parameters = inspect.signature(type(layer).__init__).parameters.values()
    return [p.name for p in parameters if p.name != "self" and p.kind is not inspect.Parameter.VAR_KEYWORD]


def _functional_model(layer, inputs):
    tensor = keras.Input(inputs.shape[1:], dtype=inputs.dtype.name)
    return keras.Model(tensor, layer(tensor))


def _dynamic_batch(inputs):
    return keras.InputSpec(shape=(None, *inputs.shape[1:]), dtype=inputs.dtype.name)


def _to_numpy(tensor):
    # NumPy knows no bfloat16.
    wide = "float64" if keras.backend.standardize_dtype(tensor.dtype) == "float64" else "float32"
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, wide))
