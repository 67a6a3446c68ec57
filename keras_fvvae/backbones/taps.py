"""Where a backbone is tapped: layers by short names, before their activation, or two of one shape together."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from keras_fvvae.backbones.graph import graph_of
from keras_fvvae.backbones.table import BackboneInfo
from keras_fvvae.errors import RecipeError, unknown_name

# A tap that ends in this is taken before the activation function that is fused into its layer.
BEFORE_ACTIVATION = "/linear"
TRUNK = "trunk"
# Between two taps that are taken together.
JOIN = "+"
# After a fully-connected layer: its activations for all regions of the network's own input size, as a map.
DENSE = "/dense"
# Layers that end with their activation. Others may do more after it, or have it within a loop.
_ACTIVATION_LAST = (
    keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D, keras.layers.Dense, keras.layers.EinsumDense,
    keras.layers.Activation,
)  # fmt: skip


def tapped(
    trunk: keras.Model, info: BackboneInfo, name: str, tap: str | None, vector: bool = False
) -> keras.KerasTensor:
    """The activations of a trunk at a tap.

    Args:
        trunk: the network; of a tap before an activation the layer loses it.
        info: of the table.
        name: of the backbone, for errors.
        tap: as of `build_backbone`, without `"/dense"`.
        vector: whether they must be vectors, not maps.

    Raises:
        RecipeError: for a tap that the network does not have, or of another rank.
    """
    outputs = [trunk.output] if tap is None else _outputs(trunk, info, name, tap)
    if len(outputs) > 1:
        if any(len(output.shape) != 4 or output.shape != outputs[0].shape for output in outputs):
            shapes = " and ".join(str(output.shape[1:]) for output in outputs)
            raise RecipeError(f"The taps {tap!r} of {name} must have maps of one shape; they have {shapes}.")
        return keras.layers.Concatenate(name="taps")(outputs)
    if len(outputs[0].shape) != (2 if vector else 4):
        raise RecipeError(f"The tap {tap!r} of {name} is not an activation map: its shape is {outputs[0].shape}.")
    return outputs[0]


def activations_apart(
    model: keras.Model, name: str, tap: str, short_names: Mapping[str, str] | None = None
) -> dict[str, keras.layers.Layer]:
    """Takes the fused activations out of the layers that a tap names with `"/linear"`.

    Args:
        model: the network, whose layers lose them.
        name: of the backbone, for errors.
        tap: one, or several together.
        short_names: of layers.

    Returns:
        Dictionary from the names of these layers to their activations, as layers: what else the network makes of such a
        layer comes after both.

    Raises:
        RecipeError: for a layer without an activation, and in a pair for one of which it is not known whether its
            activation comes last: the other half could be wrong.
    """
    layers = {layer.name: layer for layer in model.layers}
    found: dict[str, keras.layers.Layer] = {}
    for part in tap.split(JOIN):
        base = part.removesuffix(BEFORE_ACTIVATION)
        layer = layers.get((short_names or {}).get(base, base))
        if base == part or layer is None or layer.name in found:
            continue
        if getattr(layer, "activation", None) in (None, keras.activations.linear):
            raise RecipeError(f"The tap {base!r} of {name} has no fused activation: leave out '{BEFORE_ACTIVATION}'.")
        if part != tap and type(layer) not in _ACTIVATION_LAST:
            raise RecipeError(
                f"The tap {tap!r} of {name} is none: what the network makes of {base!r} is not known without the "
                f"activation inside of a {type(layer).__name__}. Tap {part!r} alone."
            )
        found[layer.name] = keras.layers.Activation(
            layer.activation, name=f"{layer.name}_activation", dtype=layer.dtype_policy
        )
        layer.activation = keras.activations.linear
    return found


def _outputs(trunk, info, name, tap):
    """What the trunk gives at each of the layers that a tap names."""
    parts = tap.split(JOIN)
    bases = [part.removesuffix(BEFORE_ACTIVATION) for part in parts]
    names, own = [layer.name for layer in trunk.layers], [info.taps.get(base, base) for base in bases]
    for base, layer_name in zip(bases, own, strict=True):
        if layer_name not in names:
            raise RecipeError(unknown_name(f"tap of {name}", base, [*info.taps, *info.vector_taps, *names]))
    activations = activations_apart(trunk, name, tap, info.taps)
    if len(parts) == 1 or not activations:
        return [trunk.get_layer(layer_name).output for layer_name in own]
    graph = graph_of(trunk, activations, trunk.inputs)
    return [
        graph.calls[layer_name][1] if base == part else graph.linear[layer_name]
        for part, base, layer_name in zip(parts, bases, own, strict=True)
    ]
