"""One loaded version of a model."""

import re
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from keras_fvvae.errors import RunError
from keras_fvvae.serving.engine.signatures import Signature, read_signatures
from keras_fvvae.serving.errors import ServingError, without_paths
from keras_fvvae.serving.sampling import PRIVATE
from keras_fvvae.serving.searching.encoders import ENCODER, read_encoder
from keras_fvvae.serving.version_folders import why_not_loadable
from keras_fvvae.utils import prediction_logs

# TensorFlow Serving's limit.
MAX_WARMUP_RECORDS = 1000
# Lines of an error that tell about the graph, not about the request.
_NOISE = ("Graph execution error", "Detected at node", "<stack traces", "[[", "File ")
_CODES = {value: name for name, value in vars(tf.errors).items() if name.isupper() and isinstance(value, int)}


class Servable:
    """A SavedModel in memory.

    It is loaded and warmed up here, so that a folder that cannot serve raises before anything is replaced by it.

    Args:
        name: of the model.
        version: its number.
        path: the version folder.

    Raises:
        Exception: whatever TensorFlow raises for a folder that it cannot load or run.
    """

    def __init__(self, name: str, version: int, path: str | Path):
        if why := why_not_loadable(path):
            raise RunError(f"{path} cannot be loaded: {why}; move it")
        self.name = name
        self.version = version
        self.definitions = read_signatures(path)
        told = self.definitions.get(ENCODER)
        self.encoder = None if told is None else read_encoder(told.method_name)
        callable_ = {key: one for key, one in self.definitions.items() if not key.startswith(PRIVATE)}
        self.signatures = {key: Signature(key, one) for key, one in callable_.items()}
        self._model = tf.saved_model.load(str(path))
        self._warm_up(Path(path) / prediction_logs.WARMUP_FILE)

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            signature: its name.
            inputs: dictionary from input name to array that fits it (`Signature.check`); strings are objects of bytes.

        Returns:
            Dictionary from output name to array.

        Raises:
            ServingError: what TensorFlow says, in one line, with its code.
        """
        specs = self.signatures[signature].inputs
        try:
            tensors = {name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()}
            outputs = self._model.signatures[signature](**tensors)
            return {name: value.numpy() for name, value in outputs.items()}
        except tf.errors.OpError as error:
            raise ServingError(_CODES.get(error.error_code, "UNKNOWN"), without_paths(_first_line(error))) from error

    def _warm_up(self, path):
        if not path.is_file():
            return
        for record in tf.data.TFRecordDataset(str(path)).take(MAX_WARMUP_RECORDS).as_numpy_iterator():
            if (request := prediction_logs.from_bytes(record)) is None:
                continue
            name = request[0] or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
            tensors = {key: tensor_pb2.TensorProto.FromString(value) for key, value in request[1].items()}
            inputs = {key: np.asarray(tf.make_ndarray(value)) for key, value in tensors.items()}
            self.signatures[name].check(inputs)
            self.run(name, inputs)


def _first_line(error):
    """TensorFlow's reason without the names of its nodes and functions and without its stack."""
    text = re.sub(r"\{\{.*?\}\}|\s*\[Op:.*?\]", "", error.message)
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if line and not line.startswith(_NOISE)), type(error).__name__)
