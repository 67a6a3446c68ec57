"""Every entry of the zoo loads, learns, and survives being saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae import zoo
from keras_fvvae.builders.trainable import STACK_CHANNELS
from keras_fvvae.errors import RecipeError
from keras_fvvae.recipes import DATASETS, list_recipes, load_recipe

# One of the entries with the same network stands for its sisters; `make test-slow` has all.
SISTERS = {"cub200_conv5_4_ft", "cub200_conv5_4_box", "cub200_conv5_4_box_ft", "image_folder", "ucf101_pool5_ft",
           "ucf101_pool5_flow", "activitynet_pool5", "activitynet_res5c", "video_folder",
           "ucf101_actionvlad_flow"}  # fmt: skip
# ResNet50 has ResNet152's blocks, taps and channels; all of its 152 layers are built in `test_minus_by_an_override`.
SMALLER = {"ucf101_res5c": "ResNet50"}
ENTRIES = [
    pytest.param(name, None, marks=pytest.mark.slow) if name in SISTERS | SMALLER.keys() else (name, None)
    for name in list_recipes()
    if not load_recipe(name).branches
]


@pytest.mark.system
@pytest.mark.parametrize(("name", "backbone"), [*ENTRIES, *SMALLER.items()])
def test_loads_fits_and_survives_saving(name, backbone, tmp_path):
    recipe = load_recipe(name)
    known = DATASETS[recipe.dataset].num_classes
    classes = None if known else 3
    smaller: dict = {"backbone": backbone} if backbone else {}
    if recipe.backbone == "VGG19" and recipe.descriptors != "spp":  # a quarter of the pixels; taps and channels stay
        smaller["input_size"] = [size // 2 for size in recipe.input_size]
    model = zoo.load(name, weights=None, backbone_weights=None, num_classes=classes, **smaller)
    model.run_eagerly = True  # two steps of a large network take less time than tracing it; small ones: the demo's test
    bags = recipe.representation == "action_vlad"
    part = model.classes if bags else model.fvvae
    assert (model if bags else part).num_classes == (classes or known)
    generator = np.random.default_rng(0)
    channels = STACK_CHANNELS if recipe.modality == "flow_stack" else 3
    frames = (2,) if bags else ()  # of a video; the entry takes 25, and any number
    size = smaller.get("input_size", recipe.input_size)
    images = generator.uniform(0, 255, (2, *frames, *size, channels)).astype("float32")
    dataset = tf.data.Dataset.from_tensor_slices((images, [0, -1])).batch(1)
    before = [np.copy(keras.ops.convert_to_numpy(weight)) for weight in part.trainable_weights]
    history = model.fit(dataset, epochs=1, verbose=0).history  # two steps
    terms = set() if bags else {"reconstruction", "regularization", "classification"}
    assert {"loss", "accuracy", *terms} <= set(history)
    assert np.isfinite(history["loss"]).all()
    after = [keras.ops.convert_to_numpy(weight) for weight in part.trainable_weights]
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    expected = model(images[:1])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    keras.tree.map_structure(np.testing.assert_array_equal, loaded(images[:1]), expected)


@pytest.mark.parametrize("name", ["ucf101_res5c", "cub200_conv5_4"])
def test_minus_by_an_override(name):
    assert load_recipe(name, lambda3=0.0).loss_weights == (1.0, 1.0, 0.0)
    model = zoo.load(name, weights=None, backbone_weights=None, lambda3=0.0)
    assert model.fvvae.num_classes is None
    assert model.backbone.name == load_recipe(name).backbone
    assert model.backbone.output.shape[1:] == ((7, 7, 2048) if name == "ucf101_res5c" else (28, 28, 512))


def test_an_entry_with_branches_is_no_single_model():
    with pytest.raises(RecipeError, match="'photos_lite2' has `branches`, which no single model trains: use `keras-fv"):
        zoo.load("photos_lite2", weights=None)


def test_settings_of_the_paper():
    """Section 5.2: Adadelta 1.0, 128 images, 5,000 batches, dropout 0.5, two-layer encoder to 255, C = 100."""
    for name in zoo.list_entries("*_*5*"):
        recipe = load_recipe(name)
        assert (recipe.optimizer, recipe.learning_rate, recipe.batch_size, recipe.steps) == ("adadelta", 1.0, 128, 5000)
        assert (recipe.dropout, recipe.hidden_units, recipe.latent_dim, recipe.svm_c) == (0.5, None, 255, 100.0)
        assert (recipe.descriptors, recipe.frames) == ("dense" if name.startswith("cub") else "spp", 25)
        assert recipe.paper["figures"]["FV-VAE top-1" if name.startswith("activitynet") else "FV-VAE"] > 70
