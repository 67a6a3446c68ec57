"""What an accelerator does with the backbone, with encoding and with training, as shares of its own matrix rate.

    python -m keras_fvvae.benchmarks.long.gpu # TensorFlow; VGG19 pool5, 224x224, float32 and bfloat16
    KERAS_BACKEND=jax python -m keras_fvvae.benchmarks.long.gpu                 # or torch
    KERAS_BACKEND=jax python -m keras_fvvae.benchmarks.long.gpu --quick # tiny, to see that it runs: on the CPU too

In the same run and dtype a large matrix product is timed; the share of its rate that a job's own multiplications reach
says how much is left to gain. Multiplications are counted in convolutions, dense layers and Eq. 11, and in nothing
else, so shares are lower bounds of what the device does. Inputs are on the device already; a job ends when its sum, one
number, is back. `bfloat16` is Keras's policy `mixed_bfloat16`. In float32, TensorFlow and JAX let recent NVIDIA devices
round to TF32 in products, PyTorch does not: the measured product is rounded in the same way. Weights are random.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_fvvae.layers import FVVAELayer

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import ops

from keras_fvvae.backbones.all_layers import all_layers
from keras_fvvae.benchmarks.harness.rounds import time_rounds, time_rows
from keras_fvvae.builders.encoders import build_encoder
from keras_fvvae.builders.trainable import build_fvvae, build_recipe_backbone
from keras_fvvae.recipes import load_recipe

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
CLASSES = 101
MATMUL = "matrix product"
BACKBONE = "backbone alone"
QUICK = {"backbone": "MobileNetV2", "tap": "", "size": 64, "batch": 2, "training_batch": 4, "matrix": 256}


def main() -> None:
    """Prints a Markdown table, and writes it as JSON with --out."""
    arguments = _arguments()
    title = f"Keras {keras.__version__} on {keras.backend.backend()}, {_device()}, {datetime.date.today()}"
    print(f"{title}; {arguments.backbone} {arguments.tap} {arguments.size}x{arguments.size}, random weights\n")
    print("| dtype | job | ms (fastest - slowest) | items a second | TFLOP/s | share of the matrix rate | x backbone |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    rows = []
    for dtype in arguments.dtypes:
        keras.config.set_dtype_policy(POLICIES[dtype])
        for row in _measure(arguments, dtype):
            rows.append({"dtype": dtype, **row})
            print(_line(rows[-1]), flush=True)
    if arguments.out:
        report = {"machine": title, "arguments": vars(arguments), "rows": rows}
        Path(arguments.out).write_text(json.dumps(report, indent=2))


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="VGG19")
    parser.add_argument("--tap", default="pool5", help="empty for the last convolutional stage")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=64, help="images through the backbone at once")
    parser.add_argument("--training-batch", type=int, default=128, help="activation maps of a training step")
    parser.add_argument("--matrix", type=int, default=8192, help="side of the matrices of the product")
    parser.add_argument("--dtypes", nargs="+", default=list(POLICIES), choices=list(POLICIES))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help=f"tiny sizes: {QUICK}")
    parser.add_argument("--out", help="JSON file to write the result to")
    arguments = parser.parse_args()
    if arguments.quick:
        vars(arguments).update(QUICK)
    return arguments


def _measure(arguments, dtype):
    """Rows of one dtype: times, multiply-add operations and their share of the matrix product's rate."""
    recipe = load_recipe(
        "ucf101_pool5",
        backbone=arguments.backbone,
        tap=arguments.tap or None,
        resize_to=None,
        input_size=[arguments.size, arguments.size],
        descriptors="spp" if not arguments.quick else "dense",
        information="none",
    )
    backbone = build_recipe_backbone(recipe, None)
    shape = tuple(backbone.output.shape[1:])
    model = build_fvvae(recipe, None, CLASSES, activations_shape=shape)
    encoder = build_encoder(recipe, backbone, model)
    rng = np.random.default_rng(0)
    images = _on_device(rng.uniform(0, 255, (arguments.batch, arguments.size, arguments.size, 3)))
    maps = _on_device(np.maximum(rng.normal(size=(arguments.training_batch, *shape)), 0))
    labels = rng.integers(0, CLASSES, arguments.training_batch)
    matrix = ops.cast(_on_device(rng.normal(size=(arguments.matrix, arguments.matrix))), dtype)
    product, of_backbone, of_encoder = _compiled_product(), _compiled(backbone), _compiled(encoder)

    def training_step():
        return float(model.train_on_batch(maps, labels, return_dict=True)["loss"])

    jobs = {
        MATMUL: lambda: product(matrix),
        BACKBONE: lambda: of_backbone(images),
        "backbone, descriptors, FV-VAE, normalised Fisher vectors": lambda: of_encoder(images),
        "training step from activation maps": training_step,
    }
    descriptors = model.descriptors.compute_output_shape((None, *shape))[1]
    backbone_operations = arguments.batch * convolution_operations(backbone)
    operations = [
        2 * arguments.matrix**3,
        backbone_operations,
        backbone_operations + arguments.batch * head_operations(model.fvvae, descriptors),
        arguments.training_batch * training_operations(model.fvvae, descriptors),
    ]
    items = [1, arguments.batch, arguments.batch, arguments.training_batch]
    timings = time_rounds(jobs, arguments.rounds)
    rows = time_rows(timings, BACKBONE, "ms")
    rate = operations[0] / rows[0]["median"]
    return [
        {**row, "items": count, "operations": done, "share_of_matrix_rate": done / row["median"] / rate}
        for row, count, done in zip(rows, items, operations, strict=True)
    ]


def convolution_operations(backbone: keras.Model) -> int:
    """Multiplications and additions of one image in a backbone's convolutions (but separable ones) and dense layers."""
    total = 0
    for layer in all_layers(backbone):
        kernel = getattr(layer, "kernel", None)
        if kernel is None:
            continue
        positions = np.prod(layer.output.shape[1:-1], dtype="int64")
        # A depthwise kernel (h, w, C, multiplier) meets every channel once, any other one all of its inputs.
        total += 2 * int(np.prod(kernel.shape, dtype="int64")) * int(positions)
    return total


def head_operations(layer: FVVAELayer, descriptors: int) -> int:
    """Of one image's encoder, decoder and Eq. 11."""
    coder = sum(2 * int(np.prod(dense.kernel.shape)) for dense in layer.coder_layers)
    inputs, channels = layer.decoder.kernel.shape
    return descriptors * (coder + 2 * channels * (inputs + 1))


def training_operations(layer: FVVAELayer, descriptors: int) -> int:
    """Of one image's forward pass, its gradients by kernels, and by what goes into all layers but the first."""
    dense = [*layer.coder_layers, layer.classifier]
    products = [2 * descriptors * int(np.prod(one.kernel.shape)) for one in dense]
    return 3 * sum(products) - products[0]


def _on_device(array):
    return ops.convert_to_tensor(array.astype("float32"))


def _compiled(model):
    """A function from a batch to the sum of the model's outputs, as a number, compiled as the backend does it."""
    if keras.backend.backend() == "jax":
        import jax

        @jax.jit
        def call(trained, others, inputs):
            # Weights are arguments: as constants they would be compiled in.
            return _sum(model.stateless_call(trained, others, inputs, training=False)[0])

        def run(inputs):
            # Read anew: training gives the buffers away.
            trained = [variable.value for variable in model.trainable_variables]
            return float(call(trained, [variable.value for variable in model.non_trainable_variables], inputs))

        return run
    return _as_number(lambda inputs: _sum(model(inputs, training=False)))


def _compiled_product():
    if keras.backend.backend() == "jax":
        import jax

        product = jax.jit(lambda matrix: _sum(ops.matmul(matrix, matrix)))
        return lambda matrix: float(product(matrix))
    return _as_number(lambda matrix: _sum(ops.matmul(matrix, matrix)))


def _as_number(function):
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        function = tf.function(function, autograph=False)
    elif keras.backend.backend() == "torch":
        import torch

        function = torch.inference_mode()(function)
    return lambda inputs: float(ops.convert_to_numpy(function(inputs)))


def _sum(outputs):
    return ops.sum(ops.cast(outputs, "float32"))


def _device():
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return f"JAX {jax.__version__}, {jax.devices()[0].device_kind}"
    if backend == "torch":
        import torch

        name = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
        return f"PyTorch {torch.__version__}, {name}"
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(devices[0]) if devices else {}
    return f"TensorFlow {tf.__version__}, {details.get('device_name', f'{platform.machine()} CPU')}"


def _line(row):
    low, middle, high = (row[key] for key in ("fastest", "median", "slowest"))
    rate = row["operations"] / middle / 1e9
    ratio = "" if row["what"] == MATMUL else f"{row['ratio']:.3f}"
    return (
        f"| {row['dtype']} | {row['what']} | {middle:.2f} ({low:.2f} - {high:.2f}) | "
        f"{1000 * row['items'] / middle:,.1f} | {rate:.3f} | {row['share_of_matrix_rate']:.1%} | {ratio} |"
    )


if __name__ == "__main__":
    main()
