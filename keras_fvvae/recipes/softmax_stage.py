"""One stage of training a representation with a softmax, as validated data."""

from __future__ import annotations

import dataclasses

from keras_fvvae.recipes.keys import NOT_NEGATIVE, POSITIVE, POSITIVE_INTEGER, check_values, key, one_of


@dataclasses.dataclass(frozen=True)
class SoftmaxStage:
    """One stage of training a representation with a softmax: what learns, and how.

    Raises:
        RecipeError: for a value of the wrong type or range.

    Example:
        >>> SoftmaxStage(train="classifier", steps=100, optimizer="adam", learning_rate=0.01).decay_steps is None
        True

    Reference:
        Girdhar et al., CVPR 2017, Section 3.3: the classifier first, then all.
    """

    train: str = key("training", "all", one_of(("classifier", "all")), "the classifier alone, or all that is trainable")
    steps: int = key("training", 5000, POSITIVE_INTEGER, "training steps")
    optimizer: str = key("training", "adam", one_of(("adadelta", "adam", "sgd")), "optimizer")
    learning_rate: float = key("training", 1e-3, POSITIVE, "base learning rate")
    epsilon: float | None = key("training", None, POSITIVE, "of the optimizer; none: Keras's default")
    decay_steps: int | None = key(
        "training", None, POSITIVE_INTEGER, "steps after which the learning rate falls; none: never"
    )
    decay: float = key("training", 0.1, POSITIVE, "the factor by which it falls")
    clip_norm: float | None = key("training", None, POSITIVE, "largest norm of all gradients together; none: any")
    weight_decay: float = key("training", 0.0, NOT_NEGATIVE, "of all kernels but those of the representation")

    def __post_init__(self) -> None:
        check_values(self, "stage")
