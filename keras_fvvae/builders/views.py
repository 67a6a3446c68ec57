"""What a recipe takes from an image or a video, as data that pipelines, encoding and exports share."""

from __future__ import annotations

from keras_fvvae.data.readers.flow import FlowSettings
from keras_fvvae.data.views import Views
from keras_fvvae.errors import RecipeError
from keras_fvvae.recipes import Recipe


def recipe_views(recipe: Recipe, kind: str = "video") -> Views:
    """What a recipe takes from an image or a video, as `Views`.

    Raises:
        RecipeError: if it asks for the optical flow of images.
    """
    if kind == "image" and recipe.modality != "rgb":
        raise RecipeError(f"The recipe asks for `modality` {recipe.modality!r}, optical flow, but the data are images.")
    return Views(
        size=recipe.input_size,  # type: ignore[arg-type]  # a list, from YAML
        resize_to=recipe.resize_to,  # type: ignore[arg-type]
        resize=recipe.resize,
        crops=recipe.crops,
        modality=recipe.modality,
        frames=recipe.frames,
        frame_step=recipe.frame_step,
        flow=FlowSettings(recipe.flow_method, recipe.flow_bound),
        decoder=recipe.decoder,
    )
