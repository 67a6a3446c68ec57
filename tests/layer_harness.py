"""One harness that every public layer passes: what Keras promises of a layer, checked on the layer itself."""

import inspect
import json
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import tree

# Largest error, relative to the largest value: a few roundings of a significand of 11 (8) bits.
HALF_PRECISION = {"mixed_float16": 5e-3, "mixed_bfloat16": 4e-2}


def check_layer(build, inputs, without_gradient=()):
    """Checks configuration, saving, symbolic calls, training, mixed precision, dynamic batches and export of a layer.

    Args:
        build: function of keyword arguments (`dtype`) that makes a new layer; each call may draw other weights.
        inputs: array, a batch of at least two different examples.
        without_gradient: names of trainable weights on which the outputs do not depend; all others must be trained.
    """
    _check_config(build, inputs)
    _check_saving(build, inputs)
    _check_dynamic_batch(build, inputs)
    _check_export(build, inputs)
    for dtype in ("float32", *HALF_PRECISION):
        _check_symbolic_call(build, inputs, dtype)
        _check_training_step(build, inputs, dtype, without_gradient)
    for dtype, tolerance in HALF_PRECISION.items():
        _check_half_precision(build, inputs, dtype, tolerance)


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
    assert_close(tf.function(layer)(inputs), eager, HALF_PRECISION.get(dtype, 1e-5))


def _check_dynamic_batch(build, inputs):
    """Examples are independent of one another, and one traced graph takes a batch of any size."""
    layer = build()
    expected = layer(inputs)
    traced = tf.function(layer, input_signature=[_dynamic_batch(inputs)])
    for count in (1, len(inputs)):
        assert_close(traced(inputs[:count]), tree.map_structure(lambda x, count=count: x[:count], expected))


def _check_export(build, inputs):
    layer = build()
    expected = layer(inputs)
    archive = keras.export.ExportArchive()
    archive.track(layer)
    archive.add_endpoint("serve", lambda inputs: layer(inputs), input_signature=[_dynamic_batch(inputs)])
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        loaded = tf.saved_model.load(folder)
    assert_close(loaded.serve(tf.constant(inputs)), expected)


def _check_training_step(build, inputs, dtype, without_gradient):
    layer = build(dtype=dtype)
    layer(inputs)
    variables = layer.trainable_variables
    if not variables:
        return
    with tf.GradientTape() as tape:
        outputs = tree.flatten(layer(inputs, training=True))
        loss = sum(tf.reduce_mean(tf.square(tf.cast(output, "float32"))) for output in outputs)
    gradients = dict(zip([variable.path for variable in variables], tape.gradient(loss, variables), strict=True))
    untrained = {path.rsplit("/", 1)[-1] for path, gradient in gradients.items() if gradient is None}
    assert untrained == set(without_gradient)
    trained = [variable for variable in variables if gradients[variable.path] is not None]
    before = [variable.numpy() for variable in trained]
    keras.optimizers.SGD(0.01).apply([gradients[variable.path] for variable in trained], trained)
    assert all(np.isfinite(variable.numpy()).all() for variable in trained)
    assert any(not np.array_equal(old, new.numpy()) for old, new in zip(before, trained, strict=True))


def _check_half_precision(build, inputs, dtype, tolerance):
    full, half = build(), build(dtype=dtype)
    expected = full(inputs)
    if not half.built:
        half.build((None, *inputs.shape[1:]))
    half.set_weights(full.get_weights())
    assert all(variable.dtype in ("float32", "int64", "uint32") for variable in half.variables)
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
    return tf.TensorSpec((None, *inputs.shape[1:]), inputs.dtype, name="inputs")


def _to_numpy(tensor):
    # NumPy knows no bfloat16.
    wide = "float64" if keras.backend.standardize_dtype(tensor.dtype) == "float64" else "float32"
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, wide))
