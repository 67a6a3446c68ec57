"""What tests of layers need of Keras's three backends: compiled calls, gradients, what is TensorFlow's alone."""

import types

import keras
import numpy as np
from keras import ops


def on_tensorflow():
    return keras.backend.backend() == "tensorflow"


def prepare():
    """Lets PyTorch's results be taken as arrays: NumPy refuses a tensor that waits for a gradient."""
    if keras.backend.backend() == "torch":
        import torch

        torch.set_grad_enabled(False)
        keras.Model.fit = torch.enable_grad()(keras.Model.fit)


def dtype_of(tensor):
    """Name of its dtype: PyTorch's are objects."""
    return keras.backend.standardize_dtype(tensor.dtype)


def compiled(function, spec=None):
    """The function as the backend compiles it; PyTorch runs as it is.

    Args:
        function: of one tensor.
        spec: `keras.InputSpec` of it, where one TensorFlow graph must take all that it describes.
    """
    if on_tensorflow():
        import tensorflow as tf

        signature = None if spec is None else [tf.TensorSpec(spec.shape, spec.dtype, name="inputs")]
        return tf.function(function, input_signature=signature)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def weight_gradients(layer, inputs, loss):
    """Gradients of `loss(layer(inputs, training=True))` by its trainable weights; `None` where there is none."""
    variables = layer.trainable_variables
    if on_tensorflow():
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss(layer(inputs, training=True))
        return tape.gradient(value, variables)
    if keras.backend.backend() == "jax":
        import jax

        def stateless(values):
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return loss(layer(inputs, training=True))

        gradients = jax.grad(stateless)([v.value for v in variables])
        # JAX gives zeros where the loss does not depend on a weight.
        return [gradient if ops.any(gradient != 0) else None for gradient in gradients]
    import torch

    with torch.enable_grad():
        layer.zero_grad()
        loss(layer(inputs, training=True)).backward()
    return [variable.value.grad for variable in variables]


def compare_in_single_precision(monkeypatch):
    """Outside TensorFlow, Keras computes means and other sums in float32 whatever their dtype is: so exactly it is."""
    compare = np.testing.assert_allclose

    def assert_allclose(actual, desired, rtol=1e-7, atol=0, **options):
        size = np.abs(np.asarray(desired, "float64"))
        largest = size[np.isfinite(size)].max(initial=0)
        compare(actual, desired, max(rtol, 1e-5), max(atol, 2e-5 * largest), **options)

    monkeypatch.setattr(np.testing, "assert_allclose", assert_allclose)


def uses_tensorflow(function):
    """Whether a test names TensorFlow's module `tf`, itself or in a function of its module that it calls."""
    return _names_tf(function.__code__, function.__globals__, set())


def _names_tf(code, module, seen):
    if code in seen:
        return False
    seen.add(code)
    if "tf" in code.co_names:
        return True
    nested = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    called = [module.get(name) for name in code.co_names]
    nested += [f.__code__ for f in called if isinstance(f, types.FunctionType) and f.__globals__ is module]
    return any(_names_tf(one, module, seen) for one in nested)
