import keras
import numpy as np
import pytest

from keras_fvvae import recipes, zoo
from keras_fvvae.builders.encoders import build_encoder
from keras_fvvae.builders.representations import FVVAE_TRAINING, REPRESENTATIONS, build_head
from keras_fvvae.builders.trainable import build_fvvae
from keras_fvvae.errors import RecipeError
from keras_fvvae.zoo import load

# Small versions of the options that are sizes.
OPTIONS = {
    "vlad": {"num_centroids": 3},
    "gmm_fisher_vector": {"num_components": 3},
    "net_vlad": {"num_centroids": 3},
    "action_vlad": {"num_centroids": 3},
    "random_maclaurin": {"output_dim": 20},
    "tensor_sketch": {"dimension": 20},
    "fv_vae_maclaurin": {"dimension": 20},
    "cross_layer": {"components": 5},
    "cross_layer_learnt": {"guidance_channels": 3},
}
SHAPE = (6, 5, 4)


def _recipe(name, **changes):
    changes = {"representation": name, "representation_options": OPTIONS.get(name, {}), "latent_dim": 3, **changes}
    return recipes.load_recipe("digits_conv", **changes)


def _shape(name):
    return (1, 1, 4) if name == "global_activations" else SHAPE


def _maps(count, shape, seed=0):
    return np.random.default_rng(seed).random((count, *shape)).astype("float32")


def _encoder(name, **changes):
    recipe, shape = _recipe(name, **changes), _shape(name)
    fvvae = build_fvvae(recipe, None, 2, shape) if REPRESENTATIONS[name].training == FVVAE_TRAINING else None
    encoder = build_encoder(recipe, None, fvvae, shape)
    encoder.adapt([_maps(20, shape)])
    return encoder


SPECTRAL = [name for name, info in REPRESENTATIONS.items() if info.rows]


@pytest.mark.parametrize(
    ("name", "normalization"),
    [*((name, "usual") for name in REPRESENTATIONS), *((name, "spectral") for name in SPECTRAL)],
)
def test_encoder_of_images_and_videos(name, normalization, tmp_path):
    """Unit length, saved and loaded the same, and a video is one bag: its raw vector is the mean of its frames'."""
    encoder, maps = _encoder(name, vector_normalization=normalization), _maps(6, _shape(name), seed=1)
    vectors = np.array(encoder(maps))
    assert vectors.shape == (6, encoder.output_dim)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-4)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3

    videos = maps.reshape(2, 3, *maps.shape[1:]).copy()
    raw = np.array(encoder.encode_raw(maps))
    expected = np.array(encoder.normalize(raw.reshape(2, 3, *raw.shape[1:]).mean(axis=1)))
    np.testing.assert_allclose(encoder(videos), expected, rtol=0, atol=1e-5)
    mask = np.array([[True, True, False], [True, True, True]])
    expected = np.array(encoder(videos[:1, :2]))
    videos[~mask] = np.nan
    np.testing.assert_allclose(encoder(videos, mask=mask)[:1], expected, rtol=0, atol=1e-5)

    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(maps), vectors, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_zero_maps_give_finite_vectors(name):
    assert np.isfinite(_encoder(name)(np.zeros((2, *_shape(name)), "float32"))).all()


def test_action_vlad_encodes_as_its_layer():
    """The encoder sums frame by frame; the layer takes all frames' descriptors as one bag."""
    from keras_fvvae.layers import ActionVLAD

    encoder, maps = _encoder("action_vlad", normalization="none"), _maps(6, SHAPE, seed=1)
    layer = ActionVLAD(num_centroids=3)
    frames = maps.reshape(2, 3, -1, 4)
    layer(frames)
    layer.set_weights(encoder.head.get_weights())
    np.testing.assert_allclose(encoder(maps.reshape(2, 3, *SHAPE)), layer(frames), rtol=0, atol=1e-5)


# Not `global_activations`: digits_conv has no layer that sees the whole image; the zoo's tests have one that has.
@pytest.mark.parametrize("name", [name for name in REPRESENTATIONS if name != "global_activations"])
def test_zoo_loads_it_in_one_line_and_it_fits(name, tmp_path):
    """`keras_fvvae.zoo.load(entry, representation=...)`: two steps, saved, loaded the same."""
    options = {"representation": name, "representation_options": OPTIONS.get(name, {})}
    tap = "conv2+conv3" if name == "cross_layer" else None
    settings = {"tap": tap, "weights": None, "latent_dim": 3, "backbone_options": {"filters": 4}, "batch_size": 4}
    model = load("digits_conv", num_classes=3, **settings, **options)
    images = np.random.default_rng(0).uniform(0, 255, (8, 8, 8, 3)).astype("float32")
    if hasattr(model, "encoder") and hasattr(model.encoder.head, "adapt"):
        model.encoder.adapt([images])
    model.run_eagerly = True  # graphs of each layer: tests/layers; of trainings: tests/training
    history = model.fit(images, np.arange(8) % 3, epochs=1, batch_size=4, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert "accuracy" in history
    expected = model(images)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)(images)
    keras.tree.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), again, expected)


def test_unlabelled_examples_take_no_part_in_the_softmax():
    model = load("digits_conv", None, num_classes=2, representation="bilinear", backbone_options={"filters": 4})
    images = np.random.default_rng(0).uniform(0, 255, (6, 8, 8, 3)).astype("float32")
    some = model.evaluate(images[:4], np.array([0, 1, 1, 0]), verbose=0, return_dict=True)
    all_ = model.evaluate(images, np.array([0, 1, 1, 0, -1, -1]), verbose=0, return_dict=True)
    assert some["loss"] == pytest.approx(all_["loss"], rel=1e-5)
    assert some["accuracy"] == all_["accuracy"]


def test_saved_run_of_another_representation_is_continued(tmp_path):
    model = load(
        "digits_conv", None, num_classes=2, representation="net_vlad", representation_options={"num_centroids": 2}
    )
    images = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3)).astype("float32")
    model.encoder.adapt([images])
    model.encoder.save(tmp_path / "model.keras")
    again = zoo.load("digits_conv", tmp_path / "model.keras", num_classes=5)
    np.testing.assert_allclose(again.encoder(images), model.encoder(images), atol=1e-6)
    assert again.num_classes == 5
    with pytest.raises(ValueError, match="pass `num_classes`."):
        zoo.load("image_folder", tmp_path / "model.keras", representation="net_vlad")


def test_vectors_are_compressed_by_pca(tmp_path):
    maps = _maps(20, SHAPE)
    encoder = build_encoder(_recipe("bilinear", pca_components=6), None, None, SHAPE)
    encoder.adapt([maps[:12], maps[12:]])
    vectors = np.array(encoder(maps))
    assert vectors.shape == (20, encoder.output_dim) == (20, 6)
    full = np.array(build_encoder(_recipe("bilinear"), None, None, SHAPE)(maps))
    expected = np.linalg.svd(full - full.mean(axis=0))[2][:6] @ (full - full.mean(axis=0)).T
    expected = (expected / np.linalg.norm(expected, axis=0)).T
    np.testing.assert_allclose(np.abs(vectors), np.abs(expected), rtol=0, atol=1e-3)  # up to the sign of a direction
    encoder.save(tmp_path / "encoder.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "encoder.keras")(maps), vectors, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"representation": "vlat"}, "`representation` must be one of"),
        ({"representation": "vlad", "representation_options": {"num_centroid": 3}}, "did you mean 'num_centroids'"),
        ({"representation": "vlad", "representation_options": {"num_centroids": 0}}, "must be a positive integer"),
        ({"representation": "vlad", "representation_options": {"normalization": "l2"}}, "option of the representation"),
        ({"representation": "global_activations"}, "expects vectors .* or maps of one position"),
    ],
)
def test_errors(changes, message):
    with pytest.raises(RecipeError, match=message):
        build_encoder(recipes.load_recipe("digits_conv", **changes), None, None, SHAPE)


def test_spectral_normalization_of_plain_residuals():
    """No statistics, and no division by sigma_x^2."""
    encoder = _encoder("fv_vae", vector_normalization="spectral")
    fvvae = encoder.head.fvvae
    before = np.array(encoder(_maps(2, SHAPE)))
    fvvae.x_log_variance.assign(np.linspace(-1, 1, SHAPE[-1]))
    np.testing.assert_array_equal(encoder(_maps(2, SHAPE)), before)


@pytest.mark.parametrize(
    ("name", "changes"), [("ave", {}), ("fv_vae", {"decoder_layers": "all", "decoder_units": [3]})]
)
def test_representations_that_are_no_matrix_keep_their_own_normalization(name, changes):
    """A recipe's key can then stand for all the rows of a comparison."""
    encoders = [_encoder(name, vector_normalization=value, **changes) for value in ("usual", "spectral")]
    assert type(encoders[0].normalization) is type(encoders[1].normalization)
    assert encoders[0].head.get_config() == encoders[1].head.get_config()


def test_the_decoder_is_asked_for_where_there_is_one():
    encoder = _encoder("bilinear", vector_normalization="spectral", decoder_layers="all")
    assert np.all(np.isfinite(encoder(_maps(2, SHAPE))))


def test_options_may_have_their_names_of_version_0_1():
    old, new = ({"dimension": 20}, {"output_dim": 20})
    heads = [build_head(_recipe("tensor_sketch", representation_options=options)) for options in (old, new)]
    assert [head.output_dim for head in heads] == [20, 20]
    with pytest.raises(RecipeError, match="`dimension` is the former name of `output_dim`: give one of them"):
        build_head(_recipe("tensor_sketch", representation_options=old | new))
