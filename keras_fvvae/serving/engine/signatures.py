"""Signatures of a SavedModel: what goes in and out, and whether a request fits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from keras_fvvae.errors import unknown_name
from keras_fvvae.serving.errors import invalid

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

INIT_OP = "__saved_model_init_op"


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """Name, dtype and shape of an input or output; -1 is an unknown side, `shape=None` an unknown rank."""

    name: str
    dtype: tf.DType
    shape: tuple | None

    @property
    def free_batch(self) -> bool:
        """Whether dimension 0 is the number of examples, any number of them."""
        return bool(self.shape) and self.shape[0] == -1

    def __str__(self):
        return f"{self.name}: {self.dtype.name}{'' if self.shape is None else list(self.shape)}"


class Signature:
    """A signature as its SavedModel describes it.

    Args:
        name: of the signature.
        definition: its `SignatureDef`.
    """

    def __init__(self, name: str, definition: SignatureDef):
        self.name = name
        self.inputs = {key: _spec(key, info) for key, info in sorted(definition.inputs.items())}
        self.outputs = {key: _spec(key, info) for key, info in sorted(definition.outputs.items())}
        # Requests can share a batch where every tensor has one row an example.
        specs = [*self.inputs.values(), *self.outputs.values()]
        self.batchable = bool(self.inputs) and all(spec.free_batch for spec in specs)

    def check(self, inputs: dict[str, np.ndarray]) -> None:
        """Checks arrays against the signature.

        Args:
            inputs: dictionary from input name to array.

        Raises:
            ServingError: INVALID_ARGUMENT, with the input and what it should be.
        """
        if inputs.keys() != self.inputs.keys():
            extra, missing = (", ".join(sorted(a - b)) for a, b in self._differences(inputs))
            raise invalid(
                f"Inputs do not match the signature {self.name!r}. Sent extra: {{{extra}}}. "
                f"Missing but required: {{{missing}}}."
            )
        for name, spec in self.inputs.items():
            _check_tensor(spec, inputs[name])
        if self.batchable:
            rows = {name: len(value) for name, value in inputs.items()}
            if len(set(rows.values())) > 1:
                counts = ", ".join(f"{name}: {count}" for name, count in rows.items())
                raise invalid(f"The inputs differ in their number of examples (dimension 0): {counts}.")
            if not next(iter(rows.values())):
                raise invalid("The request holds no example.")

    def _differences(self, inputs):
        given, wanted = set(inputs), set(self.inputs)
        return (given, wanted), (wanted, given)


def read_signatures(path: str | Path) -> dict[str, SignatureDef]:
    """The signatures of a SavedModel, read from its protocol buffer without loading it.

    Args:
        path: the version folder.

    Returns:
        Dictionary from name to `SignatureDef`.

    Raises:
        ValueError: if there is none, or the file is damaged.
    """
    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString((Path(path) / "saved_model.pb").read_bytes())
    except Exception as error:  # protobuf's DecodeError is another class in each of its implementations
        raise ValueError(f"saved_model.pb cannot be read: {error}") from error
    for graph in saved_model.meta_graphs:
        if tf.saved_model.SERVING in graph.meta_info_def.tags:
            return dict(graph.signature_def)
    raise ValueError('it has no graph with the tag "serve"')


def find_signature(signatures: dict[str, Signature], name: str) -> Signature:
    """The signature of that name; `serving_default` for an empty one.

    Raises:
        ServingError: INVALID_ARGUMENT, as TensorFlow Serving answers, with the names there are.
    """
    name = name or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    if name not in signatures:
        raise invalid(f'Serving signature name: "{name}" not found in signature def. {_known(name, signatures)}')
    return signatures[name]


def _known(name, signatures):
    return unknown_name("signature", name, signatures)


def _spec(name, info):
    shape = None if info.tensor_shape.unknown_rank else tuple(d.size for d in info.tensor_shape.dim)
    return TensorSpec(name, tf.dtypes.as_dtype(info.dtype), shape)


def _check_tensor(spec, value):
    dtype = tf.string if value.dtype == object else tf.dtypes.as_dtype(value.dtype)
    if dtype != spec.dtype:
        raise invalid(f"Input {spec} was given values of {dtype.name}.")
    if spec.shape is None:
        return
    shape = np.shape(value)
    fits = len(shape) == len(spec.shape) and all(w in (-1, s) for s, w in zip(shape, spec.shape, strict=True))
    if not fits:
        raise invalid(f"Input {spec} was given a tensor of shape {list(shape)}.")
