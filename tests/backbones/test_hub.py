"""Networks of KerasHub, small ones with random weights: no preset is downloaded."""

import importlib.util
import warnings

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras_fvvae.tools.main import cli

from keras_fvvae.backbones import build_backbone
from keras_fvvae.backbones.hub import custom_objects
from keras_fvvae.backbones.listing import list_taps
from keras_fvvae.backbones.own_names import own_identity, require_backbone
from keras_fvvae.backbones.several_taps import build_tapped_backbone, up_to_tap
from keras_fvvae.backbones.taps import TRUNK
from keras_fvvae.builders.encoders import build_classifier, build_encoder
from keras_fvvae.data import Views
from keras_fvvae.errors import RecipeError, RunError, WeightsError
from keras_fvvae.experiments.rows import Experiment
from keras_fvvae.experiments.sweep import validation_collection
from keras_fvvae.experiments.tuning import choose_tap, tappable
from keras_fvvae.export.agreement import run_fresh
from keras_fvvae.export.bundle import WRITERS
from keras_fvvae.export.formats import FORMATS, require_formats
from keras_fvvae.recipes import load_recipe
from keras_fvvae.training.inputs import activations
from keras_fvvae.utils.model_digests import architecture_digest
from keras_fvvae.utils.saved_files import foreign_classes
from tests.support.hub_networks import CHANNELS, NETWORKS, SIZE, TOKENS, hub, siglip
from tests.support.own_backbones import small_recipe, trained_and_served

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("keras_hub") is None, reason="needs KerasHub: pip install keras-fvvae[hub]"
)

PREFIXES = {"deit": 2, "clip": 1, "vit": 1, "dinov2": 3, "dinov3": 5}
CONVERTERS = {
    "vit": "ViTImageConverter",
    "dinov2": "DINOV2ImageConverter",
    "efficientnet": "EfficientNetImageConverter",
}
SCALE, OFFSET = [0.01, 0.02, 0.03], [-1.0, -0.5, 0.25]


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    """Folders and networks by name; all but DINOv3's have an image converter."""
    made = {}
    for name, build in NETWORKS.items():
        folder, model = tmp_path_factory.mktemp("presets") / name, build()
        model.save_to_preset(str(folder))
        if name in CONVERTERS:
            converter = getattr(hub().layers, CONVERTERS[name])
            converter(image_size=(SIZE, SIZE), scale=SCALE, offset=OFFSET).save_to_preset(str(folder))
        made[name] = (folder, model)
    return made


def _images(count=2, size=SIZE):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype("float32")


def _built(folder, tap=None, size=SIZE, **options):
    return build_backbone(f"hub:{folder}", tap, (size, size), options=options)


NORMALIZATIONS = {
    "vit": lambda model: model.layers[-1].layer_norm,
    "clip": lambda model: model.vision_encoder.layer_norm,
    "dinov2": lambda model: model.layernorm,
    "dinov3": lambda model: model.layernorm,
}


def _outputs(model, pixels):
    model = getattr(model, "vision_encoder", model)
    return np.array(model(dict.fromkeys(model.input, pixels) if isinstance(model.input, dict) else pixels))


@pytest.mark.parametrize("name", NETWORKS)
def test_preset_gives_its_patches_after_its_own_preprocessing(presets, name):
    folder, model = presets[name]
    pixels = _images()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        maps = np.array(_built(folder)(pixels))
    prepared = pixels * SCALE + OFFSET if name in CONVERTERS else pixels
    expected = _outputs(model, prepared.astype("float32"))
    if name in PREFIXES:
        expected = expected[:, PREFIXES[name] :].reshape(2, *TOKENS, CHANNELS)
    np.testing.assert_allclose(maps, expected, atol=1e-4)


def test_preprocessing_by_name_goes_before_the_converter(presets):
    folder, model = presets["vit"]
    expected = _outputs(model, _images() / 127.5 - 1)[:, 1:].reshape(2, *TOKENS, CHANNELS)
    np.testing.assert_allclose(_built(folder, preprocessing="tf")(_images()), expected, atol=1e-4)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_blocks_are_taps(presets, name, tmp_path):
    folder, model = presets[name]
    backbone = _built(folder, "block:3")
    normalization = NORMALIZATIONS[name](model)
    np.testing.assert_allclose(normalization(backbone(_images())), _built(folder)(_images()), atol=1e-4)
    second = _built(folder, "block:2")
    assert np.abs(np.array(second(_images()) - backbone(_images()))).max() > 1e-3
    assert _built(folder, "block:2+block:3").output.shape == (None, *TOKENS, 2 * CHANNELS)
    with pytest.raises(RecipeError, match="The tap 'block:4' of .* is none: it has block:1 to block:3"):
        _built(folder, "block:4")
    second.save(tmp_path / "second.keras")
    assert foreign_classes(tmp_path / "second.keras") == []
    loaded = keras.saving.load_model(tmp_path / "second.keras", custom_objects())
    np.testing.assert_allclose(loaded(_images()), second(_images()), atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_listed_taps_are_taps_and_all_come_from_one_pass(presets, name):
    backbone = f"hub:{presets[name][0]}"
    listed = list_taps(backbone, (SIZE, SIZE))
    assert [tap.is_default for tap in listed] == [False] * (len(listed) - 1) + [True]
    if name in NORMALIZATIONS:
        found = {tap.name: tap.shape for tap in listed if tap.name.startswith("block:")}
        assert found == dict.fromkeys(("block:1", "block:2", "block:3"), (*TOKENS, CHANNELS))
    whole = build_tapped_backbone(backbone, [tap.name for tap in listed], (SIZE, SIZE))
    for number, (tap, maps) in enumerate(zip(listed, whole(_images()), strict=True)):
        alone = build_backbone(backbone, tap.name, (SIZE, SIZE))
        assert alone.output.shape[1:] == tap.shape
        np.testing.assert_allclose(maps, alone(_images()), atol=1e-5)
        # By it its cached activations are found, however many networks this process has built.
        assert architecture_digest(up_to_tap(whole, number)) == architecture_digest(alone)


def test_blocks_that_are_layers_have_two_names(presets):
    backbone = f"hub:{presets['clip'][0]}"
    (block,) = [tap for tap in list_taps(backbone, (SIZE, SIZE)) if tap.name == "block:2"]
    (layer,) = block.short_names
    one, other = (build_backbone(backbone, tap, (SIZE, SIZE))(_images()) for tap in ("block:2", layer))
    np.testing.assert_array_equal(one, other)


def test_an_end_without_a_name_is_listed_too(presets):
    result = CliRunner().invoke(cli, ["taps", f"hub:{presets['deit'][0]}", "--input-size", str(SIZE)])
    assert result.output.splitlines()[-1].split() == ["(no", "tap)", "*", "4x4x16", "?"]


def test_size_of_the_images(presets):
    assert _built(presets["dinov2"][0], size=48).output.shape == (None, 6, 6, CHANNELS)
    assert _built(presets["efficientnet"][0], size=48).output.shape == (None, 12, 12, 1280)
    with pytest.raises(RecipeError, match="takes images of 32x32, not 48x48"):
        _built(presets["vit"][0], size=48)


def test_a_model_of_kerashub_knows_its_tokens_too(presets):
    folder, model = presets["dinov2"]
    maps = build_backbone(model, "block:1", (SIZE, SIZE))(_images() * SCALE + OFFSET)
    np.testing.assert_allclose(maps, _built(folder, "block:1")(_images()), atol=1e-4)


def test_what_is_not_there_is_one_sentence(presets, tmp_path, monkeypatch):
    with pytest.raises(WeightsError, match="hub:vit_bse cannot be opened: KerasHub knows no preset of this name"):
        build_backbone("hub:vit_bse")
    with pytest.raises(RecipeError, match="tells of 17 tokens of model:.*, whose 4x4 patches and 0 others are 16"):
        build_backbone(siglip(), input_size=(SIZE, SIZE))
    with pytest.raises(RecipeError, match="The blocks of .* are not known: tap a layer"):
        _built(presets["deit"][0], "block:1")
    with pytest.raises(RecipeError, match="is not a preset's folder: .* has no config.json"):
        build_backbone(f"hub:{tmp_path}")
    one, other = (own_identity(f"hub:{presets[name][0]}") for name in ("vit", "dinov2"))
    assert one != other
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r'hub:dinov2_small needs KerasHub: pip install "keras_fvvae\[hub\]"'):
        require_backbone("hub:dinov2_small")


@pytest.mark.parametrize(
    ("name", "tap"), [("vit", None), ("deit", None), ("dinov2", "block:2"), ("efficientnet", None)]
)
def test_training_is_served(presets, name, tap, tmp_path):
    run = trained_and_served(small_recipe(f"hub:{presets[name][0]}", tap=tap), tmp_path)
    assert run.classifier().encoder.backbone.get_layer(TRUNK)


def test_a_tap_of_a_transformer_is_chosen_from_one_pass(presets, tmp_path, monkeypatch):
    recipe = small_recipe(f"hub:{presets['vit'][0]}", representation="ave")
    end = list_taps(recipe.backbone, (SIZE, SIZE))[-1].name
    assert tappable(recipe) == [end, "block:3", "block:2", "block:1"]
    assert tappable(recipe.replace(tap="block:2")) == ["block:2", end, "block:3", "block:1"]
    passes: list[int] = []
    maps_of = activations._maps
    monkeypatch.setattr(activations, "_maps", lambda *given: passes.append(len(given[0])) or maps_of(*given))

    def part(collection):
        return validation_collection(collection.subset(np.arange(0, len(collection), 60)))

    experiment = Experiment(tmp_path / "runs", cache=tmp_path / "cache", verbose=0, part=part)
    chosen, outcomes = choose_tap(recipe, experiment)
    assert [outcome.reason for outcome in outcomes] == [""] * 4
    assert chosen.tap in tappable(recipe)
    assert set(passes) == {4}  # all taps at once, and the rows found them


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize("name", ["vit", "dinov2"])
def test_transformers_run_elsewhere(presets, name, format, tmp_path):
    """Exact GELU and position embeddings are made of what ONNX has."""
    try:
        require_formats([format])
    except RunError as error:
        pytest.skip(str(error))
    recipe = load_recipe("digits_conv", representation="bilinear")
    classifier = build_classifier(build_encoder(recipe, _built(presets[name][0])), ["a", "b"])
    path = tmp_path / FORMATS[format].file
    WRITERS[format](classifier, Views((SIZE, SIZE)), "image", path, explained=True)
    pixels = _images(3).astype("uint8")
    outputs = run_fresh(format, path, {"a": {"pixels": pixels}})
    np.testing.assert_allclose(outputs["a/vector"], classifier.encoder(pixels.astype("float32")), atol=1e-5)
    assert outputs["a/contributions"].shape == (3, *TOKENS)
