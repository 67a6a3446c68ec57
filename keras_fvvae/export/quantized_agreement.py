"""Whether a quantised file still answers as Keras does: by best labels and accuracy, as scores move by 0.1 and more."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from keras_fvvae.errors import RunError
from keras_fvvae.export.agreement import BATCHES, Agreement, Reference, run_fresh, size_of
from keras_fvvae.export.formats import FORMATS
from keras_fvvae.export.quantization import MODES, Quantization

# Share of the pictures whose best label must stay: the quantised birds of docs/formats.md keep 87 % and more, and
# their accuracy; where more change, it is another classifier.
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
    cases = {"fitting": reference.cases["fitting"], **_blocks(quantization.checked)}
    outputs = run_fresh(format, path, cases, BATCHES[reference.kind])
    best = {case: outputs[f"{case}/scores"].argmax(axis=1) for case in cases}
    if quantization.best is None:
        title = f"{len(best['fitting'])} sample inputs"
        given, wanted = best["fitting"], reference.scores["fitting"].argmax(axis=1)
    else:
        title, wanted = quantization.title, quantization.best
        given = np.concatenate([best[case] for case in cases if case != "fitting"])
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
        before, after = (np.mean(labels == quantization.labels) for labels in (wanted, given))
        text += f", accuracy {after:.1%} instead of {before:.1%}"
    text += f". In float32: {unquantized.measured}. Now:"
    seconds = {count: float(outputs[f"seconds/{count}"]) for count in BATCHES[reference.kind]}
    difference = float(np.abs(outputs["fitting/scores"] - reference.scores["fitting"]).max())
    return dataclasses.replace(unquantized, size=size_of(path), difference=difference, seconds=seconds, quantized=text)


def with_best_labels(quantization: Quantization, reference: Reference) -> Quantization:
    """The same with Keras's best labels of the pictures that are to be compared, computed once for all formats."""
    blocks = _blocks(quantization.checked).values()
    if not blocks:
        return quantization
    best = np.concatenate([reference.answers(inputs)["scores"].numpy().argmax(axis=1) for inputs in blocks])
    return dataclasses.replace(quantization, best=best)


def _blocks(pictures):
    starts = range(0, len(pictures), _BLOCK)
    return {str(start): {"pixels": pictures[start : start + _BLOCK]} for start in starts}
