"""Whether a representation helped: one sentence where it did not."""

from __future__ import annotations

import numpy as np

from keras_fvvae.evaluation.bootstrap import mcnemar
from keras_fvvae.recipes import Recipe

# Of McNemar's test: a difference as large would come up by chance in one of twenty trainings.
SIGNIFICANCE = 0.05


def warning(
    name: str, scores: np.ndarray, average_scores: np.ndarray, labels: np.ndarray, recipe: Recipe, kind: str
) -> str:
    """What to say where a representation is significantly worse than average pooling of the same activations.

    Args:
        name: of the representation.
        scores, average_scores: of it and of average pooling, `(test items, classes)`.
        labels: integers of the test items.
        recipe: of the training, whose settings the advice is about.
        kind: of the items, `"image"` or `"video"`.

    Returns:
        A sentence with what to try; empty where it is as good or better, or the difference may be chance.

    Example:
        >>> labels, right, wrong = np.zeros(20, int), np.eye(2)[[0] * 20], np.eye(2)[[1] * 10 + [0] * 10]
        >>> warning("FV-VAE", wrong, right, labels, Recipe(vector_normalization="spectral"), "image")[:73]
        'FV-VAE is worse than average pooling (AVE) on the test images: 50.0 again'
        >>> warning("FV-VAE", right, wrong, labels, Recipe(), "image")
        ''
    """
    right, average_right = (each.argmax(axis=1) == labels for each in (scores, average_scores))
    test = mcnemar(average_right, right)
    if test["only_first"] <= test["only_second"] or test["p_value"] >= SIGNIFICANCE:
        return ""
    return (
        f"{name} is worse than average pooling (AVE) on the test {kind}s: {100 * right.mean():.1f} against "
        f"{100 * average_right.mean():.1f} % (McNemar's p = {test['p_value']:.2g}). Use AVE here (`--set "
        f"representation=ave`), or try {_advice(recipe)}."
    )


def _advice(recipe):
    parts = ["an earlier tap (`--tap`)"]
    if recipe.representation == "fv_vae":
        if recipe.vector_normalization != "spectral" and recipe.decoder_layers == "last":
            parts.append("`--set vector_normalization=spectral`")
        parts.append(f"fewer steps than {recipe.steps} (`--set steps={max(1, recipe.steps // 4)}`)")
        if recipe.lambda3 and recipe.loss_reduction == "mean":
            parts.append("`--set loss_reduction=sum`")
    return ", ".join(parts[:-1]) + " or " + parts[-1] if len(parts) > 1 else parts[0]
