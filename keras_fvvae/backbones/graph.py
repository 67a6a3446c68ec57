"""A network as a graph of which every call of a layer is known, also what layers give before their activation."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_fvvae.backbones import hub

# The name of an input that got none. Keras numbers those of a process: by it nothing would be found again.
_NAMELESS = re.compile(r"(input_layer|keras_tensor)_\d+")


@dataclasses.dataclass(frozen=True)
class Graph:
    """A network of which every call of a layer is known; a whole network in it is a layer.

    Attributes:
        model: the network.
        operations: its layers, and other operations on tensors, the input's first.
        input: its images.
        output: what it gives.
        calls: by a layer's name what it is called on, its first argument, and what it gives.
        linear: by a layer's name what it gives before its activation, of the layers without theirs.
    """

    model: keras.Model
    operations: Sequence[Any]
    input: Any
    output: Any
    calls: dict[str, tuple[Any, Any]]
    linear: dict[str, Any]

    @functools.cached_property
    def blocks(self) -> list[Any]:
        """The outputs of a transformer's blocks, see `keras_fvvae.backbones.hub.blocks`; several taps share them."""
        return hub.blocks(self.model, self.calls)


def graph_of(
    model: keras.Model, activations: Mapping[str, keras.layers.Layer] | None = None, inputs: Sequence[Any] | None = None
) -> Graph:
    """The `Graph` of a functional model of one input and one output; its layers are shared.

    Args:
        model: the network.
        activations: by a layer's name the activation that was taken out of it, which follows it in the graph.
        inputs: on which the graph is made. Default: inputs of its own.
    """
    activations = activations or {}
    calls: dict[str, tuple[Any, Any]] = {}
    linear: dict[str, Any] = {}

    def call(layer, *arguments, **options):
        output = layer(*arguments, **options)
        if layer.name in activations:
            linear[layer.name] = output
            output = activations[layer.name](output)
        calls[layer.name] = next(iter(arguments), None), output
        return output

    # A chain of layers as a graph, and no dictionary; then the same layers on inputs of its own.
    plain = keras.Model(model.inputs, model.outputs)
    inputs = [_input_like(tensor) for tensor in plain.inputs] if inputs is None else inputs
    again = keras.models.clone_model(plain, list(inputs), clone_function=lambda layer: layer, call_function=call)
    return Graph(model, plain.operations, again.inputs[0], again.outputs[0], calls, linear)


def _input_like(tensor):
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=_NAMELESS.sub(r"\1", tensor.name))
