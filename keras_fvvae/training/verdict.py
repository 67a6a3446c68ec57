"""Whether a representation helped: one sentence where it did not."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_fvvae.evaluation.bootstrap import mcnemar
from keras_fvvae.recipes import Recipe

# Of McNemar's test: a difference as large would come up by chance in one of twenty trainings.
SIGNIFICANCE = 0.05
# Vectors that are looked at to see whether there is anything in them.
LOOKED_AT = 64


def compare(margins: np.ndarray, average_margins: np.ndarray) -> dict[str, Any]:
    """A representation and average pooling on the same items, from the margins by which each is right.

    Returns:
        Dictionary, as `validation.json` keeps it: `accuracy`, `average_accuracy`, and `p_value` of McNemar's test.

    Example:
        >>> compare(np.array([1.0, -1.0]), np.array([1.0, 0.5]))
        {'accuracy': 0.5, 'average_accuracy': 1.0, 'p_value': 1.0}
    """
    right, average_right = margins > 0, average_margins > 0
    return {
        "accuracy": float(right.mean()),
        "average_accuracy": float(average_right.mean()),
        "p_value": mcnemar(average_right, right)["p_value"],
    }


def margins_of(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The right class's score less the best other one's, of scores `(items, classes)`.

    Example:
        >>> margins_of(np.array([[3.0, 1.0], [3.0, 1.0]]), np.array([0, 1])).tolist()
        [2.0, -2.0]
    """
    right = labels[:, None] == np.arange(scores.shape[1])
    return np.where(right, scores, -np.inf).max(axis=1) - np.where(right, -np.inf, scores).max(axis=1)


def warning(name: str, comparison: dict[str, Any], recipe: Recipe, items: str) -> str:
    """What to say where a representation is significantly worse than average pooling of the same activations.

    Args:
        name: of the representation.
        comparison: from `compare`.
        recipe: of the training, whose settings the advice is about.
        items: what they were compared on, such as `"test images"`.

    Returns:
        A sentence with what to try; empty where it is as good or better, or the difference may be chance.

    Example:
        >>> wrong, right = np.repeat([-1.0, 1.0], 10), np.ones(20)
        >>> warning("FV-VAE", compare(wrong, right), Recipe(vector_normalization="spectral"), "test images")[:73]
        'FV-VAE is worse than average pooling (AVE) on the test images: 50.0 again'
        >>> warning("FV-VAE", compare(right, wrong), Recipe(), "test images")
        ''
    """
    own, average, p_value = comparison["accuracy"], comparison["average_accuracy"], comparison["p_value"]
    if own >= average or p_value >= SIGNIFICANCE:
        return ""
    return (
        f"{name} is worse than average pooling (AVE) on the {items}: {100 * own:.1f} against "
        f"{100 * average:.1f} % (McNemar's p = {p_value:.2g}). Use AVE here ({_average(recipe)}), "
        f"or try {_advice(recipe)}."
    )


def nothing_encoded(name: str, vectors: np.ndarray, recipe: Recipe) -> str:
    """What to say where most vectors are zero: a decoder whose outputs stay at zero has no gradient (Eq. 11).

    Args:
        name: of the representation.
        vectors: array `(items, dimension)`, perhaps a memory map; `LOOKED_AT` rows of it are read.
        recipe: of the training, whose settings the advice is about.

    Example:
        >>> nothing_encoded("FV-VAE", np.zeros((9, 4)), Recipe(normalization="descriptor"))
        'FV-VAE encodes nothing: 9 of 9 vectors looked at are zero. Try `--set normalization=map`.'
        >>> nothing_encoded("FV-VAE", np.ones((9, 4)), Recipe())
        ''
    """
    rows = np.linspace(0, len(vectors) - 1, min(len(vectors), LOOKED_AT)).round().astype(int)
    zero = sum(not np.any(vectors[row]) for row in rows)
    if 2 * zero <= len(rows):
        return ""
    remedy = "`--set normalization=map`" if recipe.normalization == "descriptor" else "another tap (`--tap`)"
    return f"{name} encodes nothing: {zero} of {len(rows)} vectors looked at are zero. Try {remedy}."


def selection_note(name: str, outcome: dict[str, Any], kind: str, refit: bool = False) -> str:
    """What a validation part chose, in a sentence.

    Args:
        name: of the representation.
        outcome: what `validation.json` holds.
        kind: of the items, `"image"` or `"video"`.
        refit: whether the training was then repeated on all of them.
    """
    last, planned, held_out = max(map(int, outcome["scores"])), outcome["planned_steps"], outcome["held_out"]
    begin = f"Of {planned} steps," if last == planned else f"The training stopped at step {last} of {planned};"
    scored = f", {outcome['scored']} of them scored" if outcome["scored"] < held_out else ""
    return (
        f"{begin} the weights after step {outcome['best_step']} are kept, chosen on the validation part "
        f"({held_out} of the {outcome['learnt'] + held_out} training {kind}s{scored}: {name} "
        f"{100 * outcome['accuracy']:.1f} %, AVE {100 * outcome['average_accuracy']:.1f} %)."
        + (f" It was trained anew on all {kind}s for as many steps." if refit else "")
    )


def overfitting(name: str, outcome: dict[str, Any], recipe: Recipe) -> str:
    """What to say where a validation part was classified significantly worse later than at its best step.

    Args:
        name: of the representation.
        outcome: what `validation.json` holds.
        recipe: of the training, whose settings the advice is about.

    Example:
        >>> scores = {"75": {"accuracy": 0.9}, "150": {"accuracy": 0.7}, "300": {"accuracy": 0.6}}
        >>> overfitting("FV-VAE", {"best_step": 75, "scores": scores}, Recipe())[:68]
        'FV-VAE overfits: the validation part is 90.0 % right after step 75, '
        >>> overfitting("FV-VAE", {"best_step": 300, "scores": scores}, Recipe())
        ''
    """
    steps = {int(step): score["accuracy"] for step, score in outcome["scores"].items()}
    kept, last = outcome["best_step"], max(steps)
    if kept == last:  # otherwise the last is significantly worse: `keras_fvvae.training.selection.best_step`
        return ""
    best = max(steps, key=lambda step: steps[step])
    of_fv_vae = recipe.representation == "fv_vae"
    advice = "fewer latent variables (`--set latent_dim=63`) or more items of each class" if of_fv_vae else "more items"
    return (
        f"{name} overfits: the validation part is {100 * steps[best]:.1f} % right after step {best}, and significantly "
        f"less, {100 * steps[last]:.1f} %, after step {last}. The weights after step {kept} are kept. Try {advice}."
    )


def _average(recipe):
    return "its run is in branches/" if recipe.branches else "`--set representation=ave`"


def _advice(recipe):
    if recipe.branches:
        return "other taps"
    parts = ["an earlier tap (`--tap`)"]
    if recipe.representation == "fv_vae":
        if recipe.vector_normalization != "spectral" and recipe.decoder_layers == "last":
            parts.append("`--set vector_normalization=spectral`")
        parts.append(f"fewer steps than {recipe.steps} (`--set steps={max(1, recipe.steps // 4)}`)")
        if recipe.lambda3 and recipe.loss_reduction == "mean":
            parts.append("`--set loss_reduction=sum`")
    return ", ".join(parts[:-1]) + " or " + parts[-1] if len(parts) > 1 else parts[0]
