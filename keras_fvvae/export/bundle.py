"""A model of another runtime with all that its users need beside it: one folder a version."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_fvvae.export.agreement import Agreement, Reference
from keras_fvvae.export.formats import FORMATS
from keras_fvvae.export.labels import LABELS_FILE, one_line, write_labels
from keras_fvvae.export.openvino_model import write_openvino
from keras_fvvae.export.portable import PixelModel, write_litert, write_onnx
from keras_fvvae.export.quantization import Quantization
from keras_fvvae.export.quantization_litert import quantize_litert
from keras_fvvae.export.quantization_onnx import quantize_onnx
from keras_fvvae.export.quantized_agreement import compare_quantized
from keras_fvvae.recipes.cards import recipe_card
from keras_fvvae.utils.files import write_json
from keras_fvvae.utils.text import to_bytes

if TYPE_CHECKING:
    from keras_fvvae.models import Classifier
    from keras_fvvae.recipes import Recipe

SIGNATURE_FILE = "signature.json"
WRITERS = {"onnx": write_onnx, "litert": write_litert, "openvino": write_openvino}
_ABOUT = {
    "pixels": "RGB, 0 to 255, as decoded; what the network expects of them is computed inside",
    "num_frames": "how many of an example's frames count; those after them may hold anything",
    "scores": "decision values of the SVM, not probabilities; the largest one names the class",
    "probabilities": "calibrated on training items that the classifier had not seen",
    "vector": "the representation, of unit length",
    "contributions": "parts of the largest score on a map of the resized picture; they and `bias` add up to it",
    "bias": "what of the largest score lies nowhere in the picture",
}


def write_bundle(
    format: str,
    folder: Path,
    classifier: Classifier,
    reference: Reference,
    recipe: Recipe,
    notes: Sequence[str] = (),
    file: Path | None = None,
    quantization: Quantization | None = None,
) -> Agreement:
    """Writes a model's file with labels.txt, signature.json, card.md and recipe.yaml.

    Args:
        format: of `FORMATS`, other than `"savedmodel"`.
        folder: that is there and empty.
        classifier: a built `keras_fvvae.models.Classifier` of RGB.
        reference: of that classifier: what is written is compared with it.
        recipe: the `Recipe` of the training.
        notes: further paragraphs of the card.
        file: the classifier as it was saved, which is copied for `"keras"`. `None`: it is saved.
        quantization: of `keras_fvvae.export.quantization.QUANTIZED`: the file is written and checked in float32 first,
            then made smaller. It has no parts of the score: they are for looking at, not for phones.

    Returns:
        What was measured.

    Raises:
        RunError: for what cannot be converted, or answers otherwise than Keras.
    """
    views, kind = reference.model.source.views, reference.kind
    path = folder / FORMATS[format].file
    if format == "keras":
        if file is None:
            classifier.save(path)
        else:
            shutil.copyfile(file, path)
        agreement = reference.measure_keras(path)
    else:
        WRITERS[format](classifier, views, kind, path, explained=quantization is None)
        agreement = reference.compare(format, path)
        if quantization is not None:
            _quantize(format, path, classifier, reference, quantization)
            agreement = compare_quantized(reference, format, path, quantization, agreement)
    signature = _signature(format, reference, classifier, quantization is None)
    write_labels(folder, classifier.class_names)
    write_json(folder / SIGNATURE_FILE, signature, indent=2)
    (folder / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    (folder / "card.md").write_bytes(to_bytes(_card(format, signature, agreement, recipe, notes)))
    return agreement


def _quantize(format, path, classifier, reference, quantization):
    if format == "onnx":
        quantize_onnx(path, quantization)
    elif quantization.mode == "float16":  # the converters do that
        write = write_litert if format == "litert" else write_openvino
        write(classifier, reference.model.source.views, reference.kind, path, half=True)
    else:
        quantize_litert(path, quantization)


def _signature(format, reference, classifier, explained):
    """What goes in and out, as plain data."""
    if format == "keras":
        # The model as it was trained: floats of its own size, without resizing and probabilities.
        shape = [*(["N"] if reference.kind == "image" else ["N", "T"]), *reference.model.source.views.size, 3]
        inputs, outputs = (
            [_entry("images", "float32", shape)],
            [_entry("scores", "float32", ["N", len(classifier.class_names)])],
        )
    else:
        views, any_size = reference.model.source.views, format != "litert"
        model = PixelModel(classifier, views, reference.kind, any_size, explained)
        frames = ["T"] if reference.kind == "video" else []
        names = ["N", *frames, "height", "width"]
        inputs = [
            _entry(
                spec.name, spec.dtype.name, [side or name for side, name in zip(spec.shape, [*names, ""], strict=False)]
            )
            for spec in model.specs
        ]
        count = len(classifier.class_names)
        sides = {"scores": [count]}
        if classifier.calibration is not None:
            sides["probabilities"] = [count]
        sides["vector"] = [classifier.encoder.output_dim]
        if model.explained:
            sides |= {"contributions": [*frames, "rows", "columns"], "bias": []}
        outputs = [_entry(name, "float32", ["N", *side]) for name, side in sides.items()]
    return {
        "format": format,
        "file": FORMATS[format].file,
        **({"weights_file": FORMATS[format].weights} if FORMATS[format].weights else {}),
        "kind": reference.kind,
        "inputs": inputs,
        "outputs": outputs,
        "labels_file": LABELS_FILE,
        "labels": one_line(classifier.class_names),
    }


def _entry(name, dtype, shape):
    return {"name": name, "dtype": dtype, "shape": shape, "about": _ABOUT.get(name, "RGB, 0 to 255")}


def _card(format, signature, agreement, recipe, notes):
    rows = ["| | name | type | what it is |", "| --- | --- | --- | --- |"]
    for title, entries in (("in", signature["inputs"]), ("out", signature["outputs"])):
        for one in entries:
            shape = ", ".join(map(str, one["shape"]))
            rows.append(f"| {title} | `{one['name']}` | `{one['dtype']}[{shape}]` | {one['about']} |")
    views = "Pixels are resized as in the training where the graph can (height and width by name), else by the caller."
    parts = [
        f"# {signature['file']}",
        "\n".join(rows),
        f"The names of the classes are in `{LABELS_FILE}`, in the order of the scores. {views}",
        agreement.text,
        *notes,
        recipe_card(recipe, f"They are part of `{signature['file']}`.").rstrip(),
    ]
    return "\n\n".join(parts) + "\n"
