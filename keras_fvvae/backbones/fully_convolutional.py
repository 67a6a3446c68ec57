"""Networks with fully-connected layers as convolutions: activations of all dense regions of an image in one pass."""

from __future__ import annotations

import keras


def fully_convolutional(model: keras.Model, tap: str | None = None) -> keras.Model:
    """Turns a convolutional network with a top, such as VGG, into one that takes larger images and gives maps.

    The dense layer behind the flattened map of h x w positions is a convolution with an h x w kernel over a larger one,
    and the dense layers after it are 1x1 convolutions: position (i, j) of the result holds what the network gives for
    the region of its own input size at `(stride * i, stride * j)` pixels, but for the region's surroundings, which are
    seen where the network would pad its borders. On an image of the network's own size the map is 1x1 and the numbers
    are those of the network. The stride is the network's, 32 pixels for VGG: 448 x 448 give 8 x 8 regions of 224 x 224.

    These maps, flattened to descriptors `(batch, T, C)`, are what `LearntGuidancePooling` takes.

    Args:
        model: a chain of layers with one `Flatten`, as `keras.applications.VGG16` and `VGG19` with their top are, or as
            the layer "trunk" of `keras_fvvae.backbones.build_backbone("VGG16", "fc7")` is. Its convolution layers are
            shared, not copied; its dense layers are copied.
        tap: name of the dense layer whose activations are wanted (`"fc1"` is the paper's fc6, `"fc2"` its fc7).
            Default: the model's output.

    Returns:
        A functional `keras.Model` from images `(batch, H, W, channels)` of any size, at least the network's own, to
        maps `(batch, h, w, units)`. Preprocessing is the same as for `model`.

    Raises:
        ValueError: for a network that is no such chain, and for an unknown `tap`.

    Example:
        >>> inputs = keras.Input((8, 8, 3))
        >>> x = keras.layers.Conv2D(4, 3, 2, padding="same")(inputs)
        >>> x = keras.layers.Flatten()(x)
        >>> network = keras.Model(inputs, keras.layers.Dense(5, "relu", name="fc1")(x))
        >>> fully_convolutional(network)(keras.ops.ones((1, 12, 16, 3))).shape
        TensorShape([1, 3, 5, 5])

    Reference:
        Sermanet et al.: "OverFeat", ICLR 2014, Section 3.5; Long, Shelhamer, Darrell: "Fully convolutional networks for
        semantic segmentation", CVPR 2015.
    """
    layers = _chain(model)
    flatten = [index for index, layer in enumerate(layers) if isinstance(layer, keras.layers.Flatten)]
    if len(flatten) != 1:
        raise ValueError(f"`model` must flatten its map once, before its dense layers. Received: {len(flatten)} times")
    dense = [layer.name for layer in layers[flatten[0] :] if isinstance(layer, keras.layers.Dense)]
    if tap is not None and tap not in dense:
        raise ValueError(f"`tap` must be one of the model's dense layers, {dense}. Received: tap={tap!r}")
    kernel_size = tuple(layers[flatten[0]].input.shape[1:3])
    inputs = keras.Input((None, None, model.input.shape[-1]), dtype=model.input.dtype, name="images")
    x = inputs
    for layer in layers[: flatten[0]]:
        x = layer(x)
    for layer in layers[flatten[0] + 1 :]:
        if isinstance(layer, keras.layers.Dense):
            x, kernel_size = _as_convolution(layer, kernel_size, x), (1, 1)
        elif isinstance(layer, keras.layers.Dropout):
            x = layer(x)
        else:
            raise ValueError(
                "`model` may hold dense layers and dropout after it flattens its map. "
                f"Received: {type(layer).__name__} {layer.name!r}"
            )
        if layer.name == tap:
            break
    return keras.Model(inputs, x, name=f"{model.name}_fully_convolutional")


def _as_convolution(dense, kernel_size, x):
    """Applies a dense layer to every window of a map."""
    config = dense.get_config()
    shared = ("name", "trainable", "dtype", "activation", "use_bias")
    convolution = keras.layers.Conv2D(dense.units, kernel_size, **{name: config[name] for name in shared})
    x = convolution(x)
    weights = dense.get_weights()
    # `Flatten` puts rows first, then columns, then channels: the order of a kernel.
    weights[0] = weights[0].reshape(convolution.kernel.shape)
    convolution.set_weights(weights)
    return x


def _chain(model):
    """The layers between input and output of a model in which each feeds the next one alone."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    tensor = model.input
    for layer in layers:
        if isinstance(tensor, (list, tuple)) or isinstance(layer.input, (list, tuple)) or layer.input is not tensor:
            raise ValueError(f"`model` must be a chain of layers. The layer {layer.name!r} does not continue it.")
        tensor = layer.output
    return layers
