"""Triton's configuration of an exported ONNX model, whose folder is then a model of a Triton repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keras_fvvae.export.bundle import SIGNATURE_FILE
from keras_fvvae.export.labels import LABELS_FILE
from keras_fvvae.utils.files import write_atomically

CONFIG_FILE = "config.pbtxt"
# As `keras-fvvae serve` batches (docs/benchmarks/serving.md).
MAX_BATCH_SIZE, QUEUE_MICROSECONDS = 32, 2000
_TYPES = {"uint8": "TYPE_UINT8", "int32": "TYPE_INT32", "float32": "TYPE_FP32"}


def write_config(folder: Path) -> None:
    """Writes config.pbtxt, and the class names that it refers to, beside the versions of a model.

    Args:
        folder: of a version that holds `signature.json`; its parent is the model's.

    Example:
        ```python
        write_config(Path("served/photos/onnx/1"))  # served/photos/onnx/config.pbtxt
        ```
    """
    signature = json.loads((folder / SIGNATURE_FILE).read_bytes())
    write_atomically(folder.parent / LABELS_FILE, (folder / LABELS_FILE).read_bytes())
    write_atomically(folder.parent / CONFIG_FILE, config(signature).encode())


def config(signature: dict[str, Any]) -> str:
    """The `inference.ModelConfig` of what `signature.json` holds, as text. The folder's name is the model's.

    Requests are batched where their pictures have the same height and width; the batch is the first dimension, which
    Triton leaves out of shapes.

    Example:
        >>> entry = {"name": "scores", "dtype": "float32", "shape": ["N", 10]}
        >>> "dims: [10]" in config({"file": "model.onnx", "inputs": [], "outputs": [entry]})
        True
    """
    parts = [
        'backend: "onnxruntime"',
        f'default_model_filename: "{signature["file"]}"',
        f"max_batch_size: {MAX_BATCH_SIZE}",
        *(_tensor("input", entry) for entry in signature["inputs"]),
        *(_tensor("output", entry) for entry in signature["outputs"]),
        f"dynamic_batching {{\n  max_queue_delay_microseconds: {QUEUE_MICROSECONDS}\n}}",
    ]
    return "\n".join(parts) + "\n"


def _tensor(direction, entry):
    sides = [side if isinstance(side, int) else -1 for side in entry["shape"][1:]]
    lines = [f'name: "{entry["name"]}"', f"data_type: {_TYPES[entry['dtype']]}", f"dims: {sides or [1]}"]
    if not sides:  # a number an example, not a list of one
        lines.append("reshape { shape: [ ] }")
    if direction == "output" and entry["name"] != "vector":
        lines.append(f'label_filename: "{LABELS_FILE}"')
    return f"{direction} {{\n" + "".join(f"  {line}\n" for line in lines) + "}"
