"""One trained model for several runtimes at once, each compared with Keras before it has its name."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_fvvae.builders.views import recipe_views
from keras_fvvae.errors import RunError
from keras_fvvae.export import export_saved_model, triton
from keras_fvvae.export.agreement import Agreement, Reference
from keras_fvvae.export.bundle import write_bundle
from keras_fvvae.export.formats import FORMATS, require_formats
from keras_fvvae.export.places import next_version, version_folder
from keras_fvvae.export.quantization import require_quantization
from keras_fvvae.export.quantized_agreement import with_best_labels
from keras_fvvae.serving.version_folders import require_export_folder
from keras_fvvae.tasks.export_runs import digest_option, half_note, prepared
from keras_fvvae.tasks.quantization_images import quantization_of
from keras_fvvae.zoo.sources import open_reading


@dataclasses.dataclass(frozen=True)
class Written:
    """One format of an export.

    Attributes:
        path: of the version's folder.
        agreement: what was measured.
    """

    path: Path
    agreement: Agreement


def export_formats(
    source: str | os.PathLike,
    out: str | os.PathLike,
    formats: Sequence[str] = tuple(FORMATS),
    version: int | None = None,
    pca_components: int | str | None = None,
    half_svm: bool = False,
    quantize: str | None = None,
    calibration: str | os.PathLike | None = None,
    **options: Any,
) -> list[Written]:
    """Writes `out/VERSION`, a SavedModel, and `out/onnx/VERSION`, `out/litert/VERSION` and so on.

    All take pixels, a SavedModel encoded images as well, and hold the preprocessing of the training. Each is run in a
    fresh process without this library on sample pixels, and compared with Keras: scores, size and seconds stand in its
    card. Either all are written, or none.

    Args:
        source: a finished run, a pack or an entry with trained weights, on RGB images or videos.
        out: folder of the export.
        formats: of `keras_fvvae.export.formats.FORMATS`.
        version: the number of all. Default: one above the highest there, in whatever format.
        pca_components: as for `keras_fvvae.tasks.export_runs.export_runs`.
        quantize: of `keras_fvvae.export.quantization.MODES`: how files are made smaller; formats that are not are
            refused with it. `None`: they are not.
        calibration: what they are quantised and checked with, see `keras_fvvae.tasks.quantization_images`.
        half_svm, **options: of the SavedModel alone, as for `export_runs`: `top_k`, `valid_output`, `coverage`.

    Returns:
        One `Written` for each of the formats, in their order.

    Raises:
        RunError: if a package is missing, for optical flow, and for what cannot be converted or answers otherwise than
            Keras; and as `export_runs`.
        WeightsError, ValueError: as `export_runs`.
    """
    require_export_folder(out)
    formats = list(dict.fromkeys(formats))
    require_formats(formats)
    if quantize is not None:
        require_quantization(quantize, formats)
    model = open_reading(source)
    views = recipe_views(model.recipe, model.kind)
    if views.is_flow:
        raise RunError(
            f"{source} is of optical flow, which only a SavedModel takes, as encoded flow frames: export it with "
            f"--format savedmodel alone."
        )
    quantization = None if quantize is None else quantization_of(quantize, model, calibration)
    ready = prepared(model, pca_components)
    classifier, notes = ready.classifier, ready.notes
    reference = Reference(classifier, views, model.kind)
    if quantization is not None:
        quantization = with_best_labels(quantization, reference)
    version = next_version(out) if version is None else version
    written: dict[str, Written] = {}
    with contextlib.ExitStack() as stack:
        for format in formats:
            if format == "savedmodel":
                continue
            partial, target = stack.enter_context(version_folder(out, version, format))
            saved = model.model if pca_components is None else None
            agreement = write_bundle(format, partial, classifier, reference, model.recipe, notes, saved, quantization)
            written[format] = Written(target, agreement)
        if "savedmodel" in formats:
            agreements = []

            def check(path):
                agreements.append(reference.compare("savedmodel", path, half_svm))
                return agreements[-1].text

            half = [half_note(model, classifier, pca_components is not None)] if half_svm else []
            options |= {"recipe": model.recipe, "notes": [*notes, *half], "half_svm": half_svm, "check": check}
            options |= digest_option(model, pca_components)
            target = export_saved_model(classifier, out, views, model.kind, version, **options)
            written["savedmodel"] = Written(target, agreements[0])
    if "onnx" in written:
        triton.write_config(written["onnx"].path)
    return [written[format] for format in formats]
