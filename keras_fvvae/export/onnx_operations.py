"""Operations of TensorFlow that tf2onnx has no counterpart for, made of those that ONNX has."""

from __future__ import annotations

from typing import Any

import numpy as np


def register_operations() -> None:
    """Tells tf2onnx of them; as often as one likes.

    `Erfc`, of the exact GELU of transformers and ConvNeXt: `erfc(x) = 1 - erf(x)`, to 6e-8 where it is nearly zero.
    """
    from tf2onnx import utils
    from tf2onnx.handler import tf_op

    @tf_op("Erfc")
    class Erfc:
        @classmethod
        def version_9(cls, ctx: Any, node: Any, **kwargs: Any) -> None:
            (output,) = node.output
            kind, shape = ctx.get_dtype(output), ctx.get_shape(output)
            one = ctx.make_const(utils.make_name("one"), np.array(1, utils.map_onnx_to_numpy_type(kind)))
            ctx.remove_node(node.name)
            erf = ctx.make_node("Erf", node.input, shapes=[shape], dtypes=[kind])
            ctx.make_node(
                "Sub", [one.output[0], erf.output[0]], name=node.name, outputs=[output], shapes=[shape], dtypes=[kind]
            )
