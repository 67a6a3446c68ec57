"""Descriptors that are sampled before they are read are those that the model would have sampled."""

import itertools

import keras
import numpy as np
import pytest

from keras_fvvae.builders.representations import descriptor_plan
from keras_fvvae.builders.trainable import build_fvvae
from keras_fvvae.data import load_digits
from keras_fvvae.recipes import load_recipe
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training.fit import fit, position_stream, step_seed
from keras_fvvae.training.inputs.activations import ActivationInputs
from keras_fvvae.training.inputs.pixels import PixelInputs
from keras_fvvae.training.inputs.sampled import SampledInputs, trained_on

SHAPE = (4, 5, 6)
ITEMS = 7


@pytest.fixture
def make(tmp_path):
    """A recipe and `ActivationInputs` of random maps, three views an item, the first item's all zero."""

    def build(**changes):
        settings = {"sampled_descriptors": 3, "batch_size": 4, "steps": 6, "latent_dim": 2, "seed": 9}
        recipe = load_recipe("image_folder", **{**settings, **changes})
        maps = keras.Input(SHAPE)
        inputs = ActivationInputs(load_digits().subset(np.arange(ITEMS)), recipe, keras.Model(maps, maps), tmp_path)
        rng = np.random.default_rng(1)
        for number, key in enumerate(inputs.keys):
            inputs.store.add(key, rng.random((3, *SHAPE)) * (number > 0))
        inputs.store.flush()
        return recipe, inputs

    return build


def _model(recipe):
    return build_fvvae(recipe, None, 10, SHAPE)


@pytest.mark.parametrize(
    "changes",
    [{}, {"normalization_scale": 2.5}, {"normalization": "descriptor"}, {"normalization": "none"}],
)
def test_batches_are_what_the_model_makes_of_whole_maps(make, changes):
    recipe, inputs = make(**changes)
    model = _model(recipe)
    _, sampled = trained_on(inputs, model, recipe)
    assert isinstance(sampled, SampledInputs)
    start = 3 * recipe.batch_size  # as of a training that is continued
    stream = position_stream(range(ITEMS), recipe.seed, start)
    whole, few = (one.training_batches(iter(s), recipe.batch_size, start) for one, s in
                  zip((inputs, sampled), itertools.tee(stream), strict=True))  # fmt: skip
    for step, (maps, labels), (descriptors, other) in zip(range(3, 6), whole, few, strict=False):
        model.descriptors.layers[-1].seed_generator.state.assign(step_seed(recipe.seed, 0, step))
        expected = model.descriptors(np.float32(maps), training=True)
        assert descriptors.shape == (4, 3, SHAPE[-1])
        np.testing.assert_allclose(descriptors, expected, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(labels, other)
    assert np.any([np.all(np.equal(maps, 0), axis=(1, 2, 3)) for maps, _ in whole.take(2)])  # the zero map was seen


def test_trains_as_on_whole_maps(make, tmp_path):
    recipe, inputs = make()
    trained = []
    for number, arrange in enumerate([lambda model: (model, inputs), lambda model: trained_on(inputs, model, recipe)]):
        keras.utils.set_random_seed(2)
        model = _model(recipe)
        run = RunFolder(tmp_path / f"run{number}")
        run.path.mkdir()
        history = fit(*arrange(model), np.arange(ITEMS), recipe, run, verbose=0)
        trained.append((history, model.fvvae.get_weights()))
    (history, weights), (expected, others) = trained
    assert len(history["loss"]) == recipe.steps
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-5, err_msg=name)
    for weight, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-5, atol=1e-6)


def test_draws_by_the_number_of_its_generator_in_the_model(make):
    """Were it not the model's first, both would still draw the same."""
    recipe, inputs = make(normalization="none")
    sampled = SampledInputs(inputs, descriptor_plan(recipe), number=2)
    ((found, _),) = sampled.training_batches(itertools.repeat(1), 4).take(1)
    layer = descriptor_plan(recipe).sampling()
    layer.seed_generator.state.assign(step_seed(recipe.seed, 2, 0))
    drawn = layer.draw(4, SHAPE[0] * SHAPE[1], 3).numpy()
    views = [inputs.random_view(1, i) for i in range(4)]
    expected = [maps[view].reshape(-1, SHAPE[-1])[rows] for (maps, view), rows in zip(views, drawn, strict=True)]
    np.testing.assert_array_equal(found, np.float32(expected))


def test_a_map_is_read_whole_for_its_norm_only_once(make, monkeypatch):
    recipe, inputs = make()
    _, sampled = trained_on(inputs, _model(recipe), recipe)
    for _ in sampled.training_batches(itertools.cycle([1, 2]), 2).take(30):
        pass
    assert len(sampled._norms) == 6  # three views of each
    maps = np.asarray(inputs.store[inputs.keys[2]])
    assert sampled._norms[2, 1] == pytest.approx(np.linalg.norm(np.float32(maps[1])))


@pytest.mark.parametrize(
    "changes",
    [
        {"sampled_descriptors": None},
        {"sampled_descriptors": 20},  # all that there are
        {"descriptors": "spp", "spp_levels": [2, 1]},
        {"views_per_step": 2},
    ],
)
def test_what_needs_whole_maps_gets_them(make, changes):
    recipe, inputs = make(**changes)
    model = _model(recipe)
    assert trained_on(inputs, model, recipe) == (model, inputs)


def test_pixels_are_left_alone(make):
    recipe, inputs = make()
    pixels = PixelInputs(inputs.collection, recipe)
    model = _model(recipe)
    assert trained_on(pixels, model, recipe) == (model, pixels)
