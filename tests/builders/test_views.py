"""Views from recipes."""

import pytest

from keras_fvvae.builders.views import recipe_views
from keras_fvvae.errors import RecipeError


def test_every_setting_of_the_recipe_reaches_the_views(video_recipe):
    changes = {"resize_to": [40, 48], "resize": "pad", "crops": "ten", "modality": "flow", "frames": 7, "frame_step": 3,
               "flow_method": "farneback", "flow_bound": 8.0, "decoder": "fast"}  # fmt: skip
    views = recipe_views(video_recipe.replace(**changes))
    assert (views.size, views.resize_to, views.resize, views.crops) == ((32, 32), (40, 48), "pad", "ten")
    assert views.decoder == "fast"
    assert (views.modality, views.frames, views.frame_step) == ("flow", 7, 3)
    assert (views.flow.method, views.flow.bound) == ("farneback", 8.0)
    with pytest.raises(RecipeError, match=r"`modality` 'flow', optical flow, but the data are images"):
        recipe_views(video_recipe.replace(modality="flow"), "image")
