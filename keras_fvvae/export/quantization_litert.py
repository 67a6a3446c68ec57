"""A LiteRT file with 8-bit weights, and 8-bit activations in the network."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection
from pathlib import Path

from keras_fvvae.backbones.taps import TRUNK
from keras_fvvae.export.quantization import Quantization, quantizing
from keras_fvvae.utils.cores import usable_cores

# Names of operations hold those of the Keras layers they are in, perhaps numbered.
_NETWORK = rf"/{TRUNK}(_\d+)?/"
# What is neither the network's nor the encoding's.
_SVM = rf"^(?!.*/({TRUNK}|head)(_\d+)?/).*$"
# What is quantised.
PARTS = ("network", "encoding", "svm")


def quantize_litert(path: Path, quantization: Quantization, parts: Collection[str] = PARTS) -> None:
    """Rewrites a float32 file in place, `int8` or `dynamic`.

    The network is quantised up to the tap, with one scale a channel for weights; activations have scales for a tensor
    (`int8`: from the calibration pictures). The encoding computes in float32, with 8-bit matrices that are brought to
    float32 as the file is loaded: Fisher vectors divide by variances and norms, and take roots, of numbers of all
    magnitudes. The SVM's matrix is 8-bit. What each part changes was measured on validation images
    (`keras_fvvae.benchmarks.long.quantized_parts`, docs/formats.md): of scores up to 2.6 the encoding's matrices moved
    one by 0.10, the SVM's by 0.02, the network by 0.99.

    Args:
        path: of the file.
        quantization: what was asked for, `int8` or `dynamic`.
        parts: of `PARTS`, all by default: fewer to measure what each changes.

    Raises:
        RunError: if the quantizer refuses it.
    """
    from ai_edge_quantizer import qtyping, quantizer

    operations = qtyping.TFLOperationName
    with quantizing("litert", quantization.mode, path), warnings.catch_warnings(action="ignore"):
        work = quantizer.Quantizer(str(path))
        ranges = None
        if "network" in parts and quantization.mode == "int8":
            work.add_static_config(_NETWORK, operations.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
        elif "network" in parts:
            for operation in (operations.CONV_2D, operations.DEPTHWISE_CONV_2D, operations.FULLY_CONNECTED):
                work.add_dynamic_config(_NETWORK, operation, num_bits=8)
        if "encoding" in parts:
            work.add_weight_only_config(r"/head(_\d+)?/", operations.FULLY_CONNECTED, num_bits=8)
        if "svm" in parts:
            work.add_dynamic_config(_SVM, operations.FULLY_CONNECTED, num_bits=8)
        if work.need_calibration:
            pictures = [{"pixels": one[None]} for one in quantization.calibration]
            ranges = work.calibrate({"serving_default": pictures}, num_threads=usable_cores())
        result = work.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
        if not re.search(_NETWORK.encode(), path.read_bytes()):
            raise ValueError(f"it holds no network named {TRUNK!r}")
        path.write_bytes(bytes(result.quantized_model))
