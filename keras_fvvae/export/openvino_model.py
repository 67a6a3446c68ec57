"""A classifier as OpenVINO's two files: operations in XML, weights beside them."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from keras_fvvae.export.labels import one_line
from keras_fvvae.export.portable import PixelModel, converting

if TYPE_CHECKING:
    from keras_fvvae.data.views import Views
    from keras_fvvae.models import Classifier


def write_openvino(
    classifier: Classifier, views: Views, kind: str, path: Path, explained: bool = False, half: bool = False
) -> None:
    """Writes `model.xml` and `model.bin`; the graph resizes pixels of any height and width.

    OpenVINO's own converter reads a SavedModel of the graph, which it has names and free dimensions from; that of an
    ONNX file has neither for outputs. Class names are in the model's information (`labels`, a JSON list).

    Args:
        classifier, views, kind, explained: as for `keras_fvvae.export.portable.PixelModel`.
        path: of the `.xml` file; the weights are in the `.bin` file of the same name.
        half: whether weights are kept in float16.

    Raises:
        RunError: for what cannot be converted.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # OpenVINO tells its maker of every use
    import openvino

    model = PixelModel(classifier, views, kind, any_size=True, explained=explained)
    with converting("openvino"), tempfile.TemporaryDirectory(prefix="keras_fvvae_openvino_") as folder:
        model.export(folder, format="tf_saved_model", verbose=False, input_signature=model.specs)
        content = openvino.convert_model(folder)
        content.set_rt_info(json.dumps(one_line(classifier.class_names)), ["labels"])
        openvino.save_model(content, str(path), compress_to_fp16=half)
