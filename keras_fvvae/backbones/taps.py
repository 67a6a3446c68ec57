"""Where a backbone is tapped: layers by short names, before their activation, or two of one shape together."""

from __future__ import annotations

import keras

from keras_fvvae.backbones.table import BackboneInfo
from keras_fvvae.errors import RecipeError, unknown_name

# A tap that ends in this is taken before the activation function that is fused into its layer.
BEFORE_ACTIVATION = "/linear"
TRUNK = "trunk"
# Between two taps that are taken together.
JOIN = "+"
# After a fully-connected layer: its activations for all regions of the network's own input size, as a map.
DENSE = "/dense"


def tapped(
    trunk: keras.Model, info: BackboneInfo, name: str, tap: str | None, vector: bool = False
) -> keras.KerasTensor:
    """The activations of a trunk at a tap.

    Args:
        trunk: the network.
        info: of the table.
        name: of the backbone, for errors.
        tap: as of `build_backbone`, without `"/dense"`.
        vector: whether they must be vectors, not maps.

    Raises:
        RecipeError: for a tap that the network does not have, or of another rank.
    """
    if tap is not None and JOIN in tap:
        outputs = [_tapped_layer(trunk, info, name, part).output for part in tap.split(JOIN)]
        if any(len(output.shape) != 4 or output.shape != outputs[0].shape for output in outputs):
            shapes = " and ".join(str(output.shape[1:]) for output in outputs)
            raise RecipeError(f"The taps {tap!r} of {name} must have maps of one shape; they have {shapes}.")
        return keras.layers.Concatenate(name="taps")(outputs)
    output = trunk.output if tap is None else _tapped_layer(trunk, info, name, tap).output
    if len(output.shape) != (2 if vector else 4):
        raise RecipeError(f"The tap {tap!r} of {name} is not an activation map: its shape is {output.shape}.")
    return output


def _tapped_layer(trunk, info, name, tap):
    base, linear = tap.removesuffix(BEFORE_ACTIVATION), tap.endswith(BEFORE_ACTIVATION)
    layer_name = info.taps.get(base, base)
    names = [layer.name for layer in trunk.layers]
    if layer_name not in names:
        raise RecipeError(unknown_name(f"tap of {name}", base, [*info.taps, *info.vector_taps, *names]))
    layer = trunk.get_layer(layer_name)
    if linear:
        if getattr(layer, "activation", None) in (None, keras.activations.linear):
            raise RecipeError(f"The tap {base!r} of {name} has no fused activation: leave out '{BEFORE_ACTIVATION}'.")
        layer.activation = keras.activations.linear
    return layer
