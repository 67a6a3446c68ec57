"""An ONNX file with float16 or 8-bit weights, and 8-bit activations in the network."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.backbones.taps import TRUNK
from keras_fvvae.export.quantization import Quantization, quantizing

# Of a network, what is quantised.
_OPERATIONS = ("Add", "AveragePool", "Clip", "Concat", "Conv", "Gemm", "GlobalAveragePool", "MatMul", "MaxPool", "Relu")
# Smaller ones are not worth an operation.
_LEAST_WEIGHTS = 1024


def quantize_onnx(path: Path, quantization: Quantization) -> None:
    """Rewrites a float32 file in place, `float16` or `int8`.

    `float16`: a `Cast` follows every matrix and kernel; the runtime does it once, as it loads the file. `int8`: the
    network up to the tap has QuantizeLinear and DequantizeLinear around its operations, which ONNX Runtime computes in
    integers; other matrices are 8-bit with a scale a column, and are brought to float32 as the file is loaded: see
    `keras_fvvae.export.quantization_litert` for what that changes.

    Raises:
        RunError: if the quantizer refuses it.
    """
    import onnx

    with quantizing("onnx", quantization.mode, path):
        model = onnx.load(str(path))
        if quantization.mode == "float16":
            _halve(model.graph)
        else:
            metadata = list(model.metadata_props)
            model = _integers(path, quantization.calibration)
            _shorten(model.graph)
            del model.metadata_props[:]
            model.metadata_props.extend(metadata)
        onnx.save(model, str(path))


def _integers(path, calibration):
    """The network in integers; first what follows a convolution is made part of it, by the runtime's own rules."""
    import onnx
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Pictures(CalibrationDataReader):
        def __init__(self):
            self.rest = iter(calibration)

        def get_next(self):
            one = next(self.rest, None)
            return None if one is None else {"pixels": one[np.newaxis]}

    simpler, result = path.with_name("simpler.onnx"), path.with_name("integers.onnx")
    logger = logging.getLogger()
    level = logger.level
    try:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(simpler)
        options.log_severity_level = 3
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [node.name for node in onnx.load(str(simpler)).graph.node if _of_network(node)]
        if not names:
            raise ValueError(f"it holds no network named {TRUNK!r}")
        logger.setLevel(logging.ERROR)  # it advises to do what was done just now
        quantize_static(
            str(simpler),
            str(result),
            Pictures(),
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=names,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(str(result))
    finally:
        logger.setLevel(level)
        simpler.unlink(missing_ok=True)
        result.unlink(missing_ok=True)


def _of_network(node: Any) -> bool:
    """Whether a node is one that is quantised: names hold those of the Keras layers, its own or of what it takes."""
    names = (node.name, *node.input, *node.output)
    return node.op_type in _OPERATIONS and any(f"/{TRUNK}" in name for name in names)


def _weights(graph, network):
    """Matrices and kernels that operations take as they are; with those of the network, or only others."""
    import onnx

    wanted = {
        node.input[1]
        for node in graph.node
        if node.op_type in ("Conv", "Gemm", "MatMul") and (network or not _of_network(node))
    }
    for tensor in list(graph.initializer):
        if tensor.name in wanted and tensor.data_type == onnx.TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(tensor)
            if values.size >= _LEAST_WEIGHTS:
                yield tensor, values


def _halve(graph):
    import onnx

    for tensor, values in _weights(graph, network=True):
        limit = np.finfo("float16").max  # saturated, not infinite
        half = onnx.numpy_helper.from_array(values.clip(-limit, limit).astype("float16"), f"{tensor.name}/half")
        cast = onnx.helper.make_node("Cast", [half.name], [tensor.name], f"{tensor.name}/cast", to=1)
        _replace(graph, tensor, [half], cast)


def _shorten(graph):
    """8-bit weights, a scale a column, of the encoding's matrices and the SVM's; they are brought to float32 again."""
    import onnx

    for tensor, values in list(_weights(graph, network=False)):
        if values.ndim != 2:
            continue
        scale = np.maximum(np.abs(values).max(axis=0), np.finfo("float32").tiny) / 127
        parts = {"short": np.round(values / scale).astype("int8"), "scale": scale.astype("float32")}
        parts["zero"] = np.zeros(len(scale), "int8")
        stored = [onnx.numpy_helper.from_array(value, f"{tensor.name}/{name}") for name, value in parts.items()]
        names = [one.name for one in stored]
        node = onnx.helper.make_node("DequantizeLinear", names, [tensor.name], f"{tensor.name}/dequantize", axis=1)
        _replace(graph, tensor, stored, node)


def _replace(graph, tensor, stored, node):
    """What makes an initializer of others stands before all that takes it."""
    graph.initializer.remove(tensor)
    graph.initializer.extend(stored)
    graph.node.insert(0, node)
