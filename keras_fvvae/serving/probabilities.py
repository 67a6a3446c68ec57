"""How a served model's probabilities were made, as its export tells whoever asks for its metadata.

As the sampling of frames (`keras_fvvae.serving.sampling`) it stands in the map of signatures, which TensorFlow Serving
passes on, as one that nobody can call, whose `method_name` is a text in JSON:

    {"method": "temperature", "coverage": 0.95, "threshold": 0.41}

`coverage` and `threshold` are null where the model answers every item with a label.
"""

from __future__ import annotations

import json

CALIBRATION = "__calibration__"


def calibration_text(method: str, coverage: float | None = None, threshold: float | None = None) -> str:
    """The text of a calibration.

    Args:
        method: of `keras_fvvae.svm.calibration.METHODS`.
        coverage: wanted share of items of the known classes that get an answer.
        threshold: probability of the best label below which the answer is "none of these".

    Example:
        >>> calibration_text("temperature", 0.9, 0.5)
        '{"method": "temperature", "coverage": 0.9, "threshold": 0.5}'
    """
    return json.dumps({"method": method, "coverage": coverage, "threshold": threshold})
