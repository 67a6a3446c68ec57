import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.applications import convnext

from keras_fvvae import zoo
from keras_fvvae.backbones import build_backbone
from keras_fvvae.backbones.own_names import own_identity, require_backbone
from keras_fvvae.backbones.taps import TRUNK
from keras_fvvae.backbones.tokens import has_places
from keras_fvvae.builders.encoders import build_classifier, build_encoder
from keras_fvvae.errors import RecipeError, WeightsError
from keras_fvvae.export import export_saved_model
from keras_fvvae.recipes import Recipe, recipe_from_yaml
from keras_fvvae.training.inputs.activations import ActivationInputs
from keras_fvvae.training.train import train, weights_source
from tests.support.own_backbones import SIZE, few_digits, small_recipe, trained_and_served

CHANNELS = 6


def _network(output="map", inputs=None, activation="relu", name="mine"):
    """A small network; `output`: a map, tokens, tokens after a class token, classes, or tokens that are no grid."""
    x = keras.Input((SIZE, SIZE, 3), name="pixels") if inputs is None else inputs
    images = x
    x = keras.layers.Rescaling(1 / 127.5, -1, name="scaled")(x)
    x = keras.layers.Conv2D(4, 3, 2, padding="same", activation=activation, name="block_1")(x)
    x = keras.layers.Conv2D(CHANNELS, 4, 4, activation=activation, name="block_2")(x)
    if output == "classes":
        x = keras.layers.Dense(10, name="classes")(keras.layers.GlobalAveragePooling2D(name="mean")(x))
    elif output != "map":
        x = keras.layers.Reshape((16, CHANNELS), name="tokens")(x)
    if output == "prefixed":
        first = keras.layers.Lambda(lambda tokens: 7 * tokens[:, :1], name="class_token")(x)
        x = keras.layers.Concatenate(axis=1, name="all_tokens")([first, x])
    if output == "few":
        x = x[:, :7]
    return keras.Model(images, x, name=name)


@pytest.fixture(scope="module")
def network():
    """One with a map as its output; the others have its weights."""
    return _network()


def _like(network, output, **arguments):
    other = _network(output, **arguments)
    other.set_weights([*network.get_weights(), *other.get_weights()[len(network.get_weights()) :]])
    return other


def _images(count=2, size=(SIZE, SIZE)):
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3)).astype("float32")


def _built(model, tap=None, **options):
    return build_backbone(model, tap, (SIZE, SIZE), options=options)


@pytest.mark.parametrize("file", [True, False])
def test_model_or_file_is_used_as_it_is(network, file, tmp_path):
    whole = _like(network, "classes")
    whole.save(tmp_path / "mine.keras")
    backbone = _built(str(tmp_path / "mine.keras") if file else whole)
    expected = network(_images())  # the last map before the classes
    np.testing.assert_allclose(backbone(_images()), expected, atol=1e-5)
    assert backbone.output.shape == (None, 4, 4, CHANNELS)
    scaled = _built(whole, preprocessing="tf")
    np.testing.assert_allclose(scaled(_images()), network(_images() / 127.5 - 1), atol=1e-5)


def test_taps_are_layers_before_or_after_their_activation_or_two(network):
    first, second = (np.array(network.get_layer(name).output.shape[1:]) for name in ("block_1", "block_2"))
    assert _built(network, "block_1").output.shape[1:] == tuple(first)
    assert _built(network, "block_2+block_2").output.shape[1:] == (*second[:2], 2 * CHANNELS)
    linear = np.array(_built(network, "block_2/linear")(_images()))
    np.testing.assert_allclose(np.maximum(linear, 0), network(_images()), atol=1e-5)
    assert linear.min() < 0
    assert network.get_layer("block_2").activation is keras.activations.relu  # a copy was changed


@keras.saving.register_keras_serializable("tests.backbones")
class _Scaled(keras.layers.Layer):
    """A layer whose activation is not the last that it does."""

    def __init__(self, activation="tanh", **kwargs):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)

    def call(self, x):
        return 2 * self.activation(x)


def test_a_linear_tap_leaves_the_other_as_it_is():
    images = keras.Input((SIZE, SIZE, 3), name="pixels")
    twice = keras.layers.Conv2D(3, 3, padding="same", activation="tanh", name="twice")
    x = keras.layers.Conv2D(3, 3, padding="same", activation="relu", name="last")(twice(twice(images)))
    model = keras.Model(images, _Scaled(name="scaled")(x), name="mine")
    for first, second in (("twice/linear", "last"), ("last", "last/linear"), ("twice", "twice/linear")):
        expected = np.concatenate([np.array(_built(model, tap)(_images())) for tap in (first, second)], axis=-1)
        np.testing.assert_allclose(_built(model, f"{first}+{second}")(_images()), expected, atol=1e-5)
    # A layer that is called twice keeps its activation in the first call.
    linear = twice.__class__.from_config({**twice.get_config(), "activation": "linear", "name": "linear"})
    expected = keras.Sequential([keras.Input((SIZE, SIZE, 3)), twice, linear])
    linear.set_weights(twice.get_weights())
    np.testing.assert_allclose(_built(model, "twice/linear")(_images()), expected(_images()), atol=1e-4)
    assert _built(model, "scaled/linear").output.shape == (None, SIZE, SIZE, 3)
    with pytest.raises(RecipeError, match="not known without the activation inside of a _Scaled. Tap 'scaled/linear'"):
        _built(model, "scaled/linear+last")


@pytest.mark.parametrize("output", ["tokens", "prefixed"])
@pytest.mark.parametrize("keys", [{"descriptors": "dense"}, {"spp_levels": [3, 1]}])
def test_tokens_are_encoded_as_the_map_they_are_made_of(network, output, keys):
    recipe = Recipe(representation="bilinear", input_size=[SIZE, SIZE], **keys)
    tokens = _like(network, output)
    if output == "prefixed":
        keras.config.enable_unsafe_deserialization()  # this process wrote the Lambda
        tokens = _built(tokens, prefix_tokens=1)
    else:
        tokens = _built(tokens)
    assert tokens.output.shape == (None, 4, 4, CHANNELS)
    vectors = [np.array(build_encoder(recipe, one)(_images(4))) for one in (tokens, _built(network))]
    np.testing.assert_allclose(vectors[0], vectors[1], rtol=0, atol=1e-6)


def test_networks_in_a_network_are_layers_of_it(network):
    images = keras.Input((SIZE, SIZE, 3), name="images")
    x = network(images, training=False)
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="mean")(x)
    whole = keras.Model(images, keras.layers.Flatten(name="flat")(x), name="whole")
    chain = keras.Sequential([keras.Input((SIZE, SIZE, 3)), network, keras.layers.Flatten(name="flat")])
    for model, tap in ((whole, None), (whole, "mine"), (chain, None)):
        np.testing.assert_allclose(_built(model, tap)(_images()), network(_images()), atol=1e-5)


def test_tokens_that_are_no_grid(network):
    tokens = _like(network, "few")
    with pytest.raises(RecipeError, match="The 7 tokens of .* but those after the first 3 are one of 2x2: set"):
        _built(tokens)
    with pytest.raises(RecipeError, match="`prefix_tokens` 7 of .* leaves nothing"):
        _built(tokens, prefix_tokens=7)
    backbone = _built(tokens, prefix_tokens=0)
    assert backbone.output.shape == (None, 1, 7, CHANNELS)
    np.testing.assert_allclose(backbone(_images())[:, 0], tokens(_images()), atol=1e-6)
    assert not has_places(backbone)
    assert has_places(_built(network))


@pytest.mark.parametrize(("output", "explained"), [("few", False), ("tokens", True)])
def test_tokens_without_places_have_no_heat_maps(network, output, explained, tmp_path):
    recipe = Recipe(representation="ave", input_size=[SIZE, SIZE], descriptors="dense")
    backbone = _built(_like(network, output), prefix_tokens=0)
    classifier = build_classifier(build_encoder(recipe, backbone), ["a", "b"])
    signatures = tf.saved_model.load(str(export_saved_model(classifier, tmp_path))).signatures
    assert ("explain" in signatures) == explained
    assert "encode" in signatures


def test_entry_of_the_zoo_on_a_model(network):
    keys = {"backbone_options": {}, "input_size": [SIZE, SIZE]}
    model = zoo.load("digits_conv", weights=None, backbone=network, **keys)
    np.testing.assert_allclose(model.backbone(_images()), network(_images()), atol=1e-5)
    with pytest.warns(UserWarning, match="`backbone` = DigitsConvNet, not model:mine-"):
        zoo.load("digits_conv", backbone=network, **keys)


def test_dictionaries_of_one_input_work_without_warnings(network):
    images = keras.Input((SIZE, SIZE, 3), name="images")
    graph = _like(network, "map", inputs=images)
    model = keras.Model({"images": images}, graph.output, name="of_a_dictionary")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        maps = _built(model)(_images())
    np.testing.assert_allclose(maps, network(_images()), atol=1e-5)
    two = keras.Model([images, keras.Input((3,), name="text")], graph.output)
    with pytest.raises(RecipeError, match="must take images alone; it takes 2 inputs: images, text"):
        _built(two)


def test_what_cannot_be_built_is_one_sentence(network, tmp_path):
    for tap, message in (
        ("block2", "Unknown tap of .* 'block2'; did you mean 'block_2'"),
        ("block_1+block_2", r"must be one map, tokens, or two of one shape: \[\(16, 16, 4\), \(4, 4, 6\)\]"),
        ("block:1", "The blocks of .* are not known: tap a layer by its name, one of 'scaled'"),
    ):
        with pytest.raises(RecipeError, match=message):
            _built(network, tap)
    with pytest.raises(RecipeError, match=r"takes images of 32x32, not 64x64: set `input_size: \[32, 32\]`"):
        build_backbone(network, input_size=(64, 64))
    with pytest.raises(RecipeError, match="must take images of 20 channels; its input is"):
        build_backbone(network, input_size=(SIZE, SIZE), channels=20)
    with pytest.raises(RecipeError, match="'prefix'; did you mean 'prefix_tokens'"):
        _built(network, prefix=1)
    with pytest.raises(RecipeError, match="`prefix_tokens` must be an integer from 0 on"):
        _built(network, prefix_tokens="one")
    with pytest.raises(RecipeError, match="`preprocessing` is a scheme: .* must be one of"):
        _built(network, preprocessing="imagenet")
    with pytest.raises(RecipeError, match="mine.keras is not a file. A finished run holds it"):
        build_backbone(str(tmp_path / "mine.keras"))
    with pytest.raises(RecipeError, match="'VGG18'; did you mean 'VGG19'.* Or give a .keras file, or hub:PRESET"):
        require_backbone("VGG18")
    (tmp_path / "broken.keras").write_bytes(b"no archive")
    with pytest.raises(WeightsError, match="broken.keras is damaged or of another version"):
        build_backbone(str(tmp_path / "broken.keras"))
    with pytest.raises(RecipeError, match="was a keras.Model of another program: give the model itself"):
        build_backbone("model:mine-0123456789abcdef")


def test_file_with_code_is_refused(network, tmp_path):
    _like(network, "prefixed").save(tmp_path / "mine.keras")
    with pytest.raises(WeightsError, match="it names Lambda, which runs code of the file"):
        build_backbone(str(tmp_path / "mine.keras"), input_size=(SIZE, SIZE))


def test_recipe_names_a_model_by_what_it_is(network):
    recipe = Recipe(backbone=network)
    assert recipe.backbone.startswith("model:mine-")
    assert recipe.replace(backbone=_like(network, "map")) == recipe
    assert recipe_from_yaml(recipe.to_yaml(), "here") == recipe
    assert Recipe(backbone=_like(network, "map", activation="tanh")).backbone != recipe.backbone
    changed = _network()
    text = Recipe(backbone=changed).backbone
    assert text != recipe.backbone
    changed.set_weights(network.get_weights())
    with pytest.raises(RecipeError, match="have changed since the recipe was made"):
        build_backbone(text, input_size=(SIZE, SIZE))


def test_identity_is_in_the_cache_and_the_run(network, tmp_path):
    path, digits = tmp_path / "mine.keras", few_digits(300)
    keys, sources = set(), set()
    for activation in ("relu", "tanh"):  # the same weights
        _like(network, "map", activation=activation).save(path)
        recipe = small_recipe(str(path))
        stores = [ActivationInputs(digits, recipe, _built(str(path)), tmp_path / "cache").store for _ in range(2)]
        assert stores[0].path == stores[1].path
        keys.add(stores[0].path)
        sources.add(weights_source(str(path), "imagenet"))
    assert len(keys) == len(sources) == 2
    assert own_identity(str(path)) in sources


def _convnext():
    # KerasHub has none. The public functions build nothing so small.
    return convnext.ConvNeXt(
        depths=(1, 1, 1, 1), projection_dims=(4, CHANNELS, 6, 4), input_shape=(SIZE, SIZE, 3), weights=None, classes=5
    )


@pytest.mark.system
@pytest.mark.parametrize(
    ("build", "tap"),
    [(lambda: _network("classes"), None), (_convnext, "convnext_downsampling_block_0")],  # layers in a layer
    ids=["own", "convnext"],
)
def test_training_of_a_file_is_served_when_the_file_is_gone(build, tap, tmp_path):
    path = tmp_path / "mine.keras"
    build().save(path)
    digest = own_identity(str(path))
    run = trained_and_served(small_recipe(str(path), tap=tap), tmp_path, path.unlink)
    assert digest.startswith("sha256 ")
    assert any(digest in file.read_text() for file in run.path.glob("*.json"))
    with pytest.raises(RecipeError, match="is not a file"):
        train(run.recipe, few_digits(), tmp_path / "other", cache=tmp_path / "cache", verbose=0)


def test_training_of_a_model_that_is_fine_tuned_leaves_the_model_alone(network, tmp_path):
    before = network.get_weights()
    recipe = small_recipe("VGG19", fine_tune_steps=1, fine_tune_batch_size=8, representation="ave")
    run = train(recipe, few_digits(), tmp_path / "run", cache=tmp_path / "cache", verbose=0, backbone=network)
    assert run.recipe.backbone == Recipe(backbone=network).backbone
    trunk = run.classifier().encoder.backbone.get_layer(TRUNK)
    assert all(np.array_equal(*pair) for pair in zip(before, network.get_weights(), strict=True))
    assert not np.array_equal(trunk.get_layer("block_2").get_weights()[0], before[2])
