"""Models that a program gives as a recipe's backbone: the recipe holds a text that stands for the model."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from keras_fvvae.errors import RecipeError, first_line
from keras_fvvae.utils.model_digests import architecture_digest, weights_digest

if TYPE_CHECKING:
    import keras

# How the text of such a backbone begins.
MODEL = "model:"
# Enough of a SHA-256 to tell the models of all runs of a user apart.
_DIGITS = 16
_models: dict[str, keras.Model] = {}


def named_model(backbone: Any) -> Any:
    """A text that stands for a `keras.Model` in this process, and for nothing else in any: its name and a digest.

    The model is kept as long as the process lives.

    Args:
        backbone: a built `keras.Model`; anything else is returned as it is.

    Raises:
        RecipeError: for a model that is not built, or has no configuration.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)], name="mine")
        >>> text = named_model(model)
        >>> text.rpartition("-")[0], model_of(text) is model, named_model("VGG19")
        ('model:mine', True, 'VGG19')
    """
    keras = sys.modules.get("keras")  # where nothing has imported it there are no models
    if keras is None or not isinstance(backbone, keras.Model):
        return backbone
    if not backbone.built:
        raise RecipeError(f"The backbone {backbone.name!r} is not built: call it once on a batch of images.")
    text = f"{MODEL}{re.sub('[^A-Za-z0-9_.]', '_', backbone.name)}-{_digest(backbone)}"
    _models[text] = backbone
    return text


def model_of(text: str) -> keras.Model:
    """The model that a text from `named_model` stands for.

    Raises:
        RecipeError: in another process, and if the model's weights are others by now.
    """
    if text not in _models:
        raise RecipeError(
            f"The backbone {text!r} was a keras.Model of another program: give the model itself, or save it with "
            f"`model.save('mine.keras')` and name the file. What a finished run holds needs neither."
        )
    if not text.endswith(_digest(_models[text])):
        raise RecipeError(
            f"The weights of the backbone {text!r} have changed since the recipe was made: give the model again."
        )
    return _models[text]


def _digest(model):
    try:
        parts = architecture_digest(model), weights_digest(model)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise RecipeError(
            f"The backbone {model.name!r} has no configuration (`get_config`) from which it could be built again: "
            f"{first_line(error)}"
        ) from error
    return "".join(part[: _DIGITS // 2] for part in parts)
