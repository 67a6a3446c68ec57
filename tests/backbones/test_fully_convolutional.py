import keras
import numpy as np
import pytest

from keras_fvvae.backbones.fully_convolutional import fully_convolutional


def _network(dtype=None):
    """A small VGG with its top: two blocks, a map that is not square, two dense layers, dropout, classes."""
    inputs = x = keras.Input((12, 8, 3))
    for block, filters in ((1, 4), (2, 5)):
        x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"block{block}_conv1")(x)
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(7, "relu", name="fc1")(x)
    x = keras.layers.Dropout(0.5, name="dropout")(x)
    x = keras.layers.Dense(6, "relu", name="fc2")(x)
    model = keras.Model(inputs, keras.layers.Dense(4, "softmax", name="predictions")(x))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(scale=0.3, size=weight.shape) for weight in model.get_weights()])
    return model


def _images(height, width, seed=1):
    return np.random.default_rng(seed).normal(size=(2, height, width, 3)).astype("float32")


@pytest.mark.parametrize("tap", ["fc1", "fc2", "predictions", None])
def test_gives_the_numbers_of_the_dense_layers_on_an_image_of_the_networks_size(tap):
    network, images = _network(), _images(12, 8)
    expected = keras.Model(network.input, network.get_layer(tap or "predictions").output)(images)
    assert np.array(expected).any()
    maps = fully_convolutional(network, tap)(images)
    assert maps.shape == (2, 1, 1, expected.shape[-1])
    np.testing.assert_allclose(maps[:, 0, 0], expected, rtol=1e-5, atol=1e-6)


def test_every_position_is_the_dense_layers_output_of_its_window():
    network, images = _network(), _images(24, 20)
    maps = np.array(fully_convolutional(network, "fc2")(images))
    pooled = np.array(keras.Sequential(network.layers[1:5])(images))  # (2, 6, 5, 5)
    top = keras.Sequential(network.layers[5:9])
    assert pooled.shape == (2, 6, 5, 5)
    assert maps.shape == (2, 4, 4, 6)
    for i, j in np.ndindex(4, 4):
        np.testing.assert_allclose(maps[:, i, j], top(pooled[:, i : i + 3, j : j + 2]), rtol=1e-4, atol=1e-5)


def test_shares_the_convolutions_and_survives_saving(tmp_path):
    network = _network()
    model = fully_convolutional(network, "fc2")
    assert model.get_layer("block1_conv1") is network.get_layer("block1_conv1")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(_images(16, 16)), model(_images(16, 16)), atol=1e-6)


def test_refuses_what_it_cannot_convert():
    inputs = keras.Input((8, 8, 3))
    flat = keras.layers.Flatten()(inputs)
    with pytest.raises(ValueError, match="must flatten its map once, before its dense layers. Received: 0 times"):
        fully_convolutional(keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)))
    with pytest.raises(ValueError, match=r"one of the model's dense layers, \['fc1', 'fc2', 'predictions'\]"):
        fully_convolutional(_network(), "fc8")
    with pytest.raises(ValueError, match="may hold dense layers and dropout .* Received: BatchNormalization"):
        fully_convolutional(keras.Model(inputs, keras.layers.BatchNormalization()(flat)))
    branch = keras.layers.Conv2D(3, 3, padding="same")(inputs)
    with pytest.raises(ValueError, match="`model` must be a chain of layers"):
        fully_convolutional(keras.Model(inputs, keras.layers.Flatten()(keras.layers.Add()([inputs, branch]))))


@pytest.mark.slow
def test_vgg16():
    network = keras.applications.VGG16(weights=None, classifier_activation=None)
    images = np.random.default_rng(0).normal(scale=50, size=(1, 224, 256, 3)).astype("float32")
    expected = keras.Model(network.input, network.get_layer("fc2").output)(images[:, :, :224])
    model = fully_convolutional(network, "fc2")
    one = np.array(model(images[:, :, :224]))
    np.testing.assert_allclose(one[:, 0, 0], expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())
    assert model(images).shape == (1, 1, 2, 4096)
