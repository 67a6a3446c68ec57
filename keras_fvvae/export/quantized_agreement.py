"""Whether a quantised file still answers as Keras does: by best labels and accuracy, as scores move by 0.1 and more."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_fvvae.errors import RunError
from keras_fvvae.export.agreement import BATCHES, Agreement, Reference, run_fresh, size_of
from keras_fvvae.export.formats import FORMATS
from keras_fvvae.export.quantization import MODES, Quantization

# Share of the pictures whose best label must stay: the quantised birds of docs/formats.md keep 86 % and more, without
# losing accuracy; where more change, it is another classifier.
LEAST_AGREEING = 0.75
# Pictures of a call.
_BLOCK = 16


def compare_quantized(
    reference: Reference, format: str, path: Path, quantization: Quantization, unquantized: Agreement
) -> Agreement:
    """Runs a quantised file in a fresh process, on the pictures that `quantization` names.

    Args:
        reference: of the classifier.
        format: of `keras_fvvae.export.quantization.QUANTIZED`.
        path: the file.
        quantization: what was asked for.
        unquantized: what was measured of the file in float32, for the text.

    Raises:
        RunError: if it does not run, or best labels are Keras's on less than `LEAST_AGREEING` of the pictures.
    """
    fitting = reference.cases["fitting"]
    cases = {"fitting": fitting}
    title = quantization.title if len(quantization.checked) else f"{len(reference.scores['fitting'])} sample inputs"
    if len(quantization.checked):
        blocks = range(0, len(quantization.checked), _BLOCK)
        cases |= {str(start): {"pixels": quantization.checked[start : start + _BLOCK]} for start in blocks}
    outputs = run_fresh(format, path, cases, BATCHES[reference.kind])
    if len(quantization.checked):
        del cases["fitting"]
    given = np.concatenate([outputs[f"{case}/scores"] for case in cases]).argmax(axis=1)
    wanted = np.concatenate([reference.answers(inputs)["scores"] for inputs in cases.values()]).argmax(axis=1)
    same = float(np.mean(given == wanted))
    if same < LEAST_AGREEING:
        raise RunError(
            f"{FORMATS[format].title} in {quantization.mode} gives another best label than Keras for {1 - same:.0%} of "
            f"{title}: nothing was written; choose another --quantize, or none."
        )
    text = (
        f"Quantised ({quantization.mode}): {MODES[quantization.mode]}. Checked when it was written, in a fresh process "
        f"without keras_fvvae and Keras: the best label is Keras's for {same:.1%} of {title}"
    )
    if quantization.labels is not None:
        before, after = (np.mean(best == quantization.labels) for best in (wanted, given))
        text += f", accuracy {after:.1%} instead of {before:.1%}"
    text += f". In float32: {unquantized.measured}. Now:"
    seconds = {count: float(outputs[f"seconds/{count}"]) for count in BATCHES[reference.kind]}
    return dataclasses.replace(
        unquantized, size=size_of(path), difference=_difference(outputs, reference), seconds=seconds, quantized=text
    )


def _difference(outputs: Mapping[str, np.ndarray], reference: Reference) -> float:
    return float(np.abs(outputs["fitting/scores"] - reference.scores["fitting"]).max())
