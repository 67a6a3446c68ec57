"""Trained encoders and classifiers by name, path and URL; files and pictures through them."""

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_fvvae import zoo
from keras_fvvae.data import Views, load_digits
from keras_fvvae.data.collection import Collection
from keras_fvvae.data.views import read_resized
from keras_fvvae.errors import DataError, RunError, WeightsError
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.zoo.publishing import publish_run
from keras_fvvae.zoo.release import import_release
from tests.encoding.conftest import SIZE, images, videos, write_run  # noqa: F401  (fixtures)


@pytest.fixture(scope="module")
def image_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "tiny", kind="image")


@pytest.fixture(scope="module")
def video_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "tiny", kind="video")


def _digits(count):
    digits = load_digits()
    return [digits.read(number) for number in range(count)], digits.labels[:count]


def test_an_entry_by_name():
    pictures, labels = _digits(30)
    encoder, classifier = zoo.load_encoder("digits_conv"), zoo.load_classifier("digits_conv")
    vectors = encoder.encode(pictures)
    assert vectors.shape == (30, encoder.output_dim)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(encoder.predict(np.stack(pictures), verbose=0), vectors, atol=1e-5)
    best, scores = classifier.classify(pictures)
    assert [classifier.class_names.index(name) for name in best] == scores.argmax(axis=1).tolist()
    assert np.mean(scores.argmax(axis=1) == labels) > 0.9
    np.testing.assert_allclose(classifier.predict(np.stack(pictures), verbose=0), scores, atol=1e-4)


def test_loading_and_encoding_many_times_does_not_warn_of_retracing(capfd):
    pictures, _ = _digits(3)
    for _ in range(8):
        assert zoo.load_classifier("digits_conv").classify(pictures)[0] == ["0", "1", "2"]
    assert "retracing" not in capfd.readouterr().err


def test_a_run_a_pack_and_a_name_are_one_model(image_run, images, tmp_path, server, monkeypatch):  # noqa: F811
    file = images / "part1" / "001.png"
    expected = zoo.load_encoder(image_run).encode(file)
    pixels = tf.image.resize(tf.io.decode_png(file.read_bytes()), (SIZE, SIZE), antialias=True)
    np.testing.assert_allclose(zoo.load_encoder(image_run).predict(pixels[None], verbose=0), expected, atol=1e-5)
    pack = publish_run(RunFolder.open(image_run), server.folder)
    monkeypatch.setenv("KERAS_FVVAE_ZOO", str(server.folder))
    for source in (pack, pack.parent, f"{server.url}/tiny", f"{server.url}/tiny/1/", "tiny"):
        np.testing.assert_array_equal(zoo.load_encoder(source).encode(file), expected)
        assert zoo.load_classifier(source).class_names == ["a", "b"]


def test_any_size_and_form_of_a_picture(image_run, images):  # noqa: F811
    """What is resized is the same, whoever opened the file."""
    files = sorted(images.glob("part1/*.png"))[:3]
    encoder = zoo.load_encoder(image_run)
    expected = encoder.encode(files)
    np.testing.assert_allclose(encoder.encode([Image.open(file) for file in files]), expected, atol=1e-6)
    arrays = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    np.testing.assert_allclose(encoder.encode(arrays), expected, atol=1e-6)


def test_videos(video_run, videos):  # noqa: F811
    """A video's vector is that of the mean over its frames, three of them here."""
    files = [videos / f"{number}.avi" for number in (1, 4)]
    classifier = zoo.load_classifier(video_run)
    vectors = classifier.encoder.encode(files)
    collection = Collection(files, files, [-1, -1], ["test"] * 2, [], kind="video")
    frames = np.stack([read_resized(collection, number, [Views((SIZE, SIZE), frames=3)])[0] for number in (0, 1)])
    np.testing.assert_allclose(classifier.encoder.predict(frames.astype("float32"), verbose=0), vectors, atol=1e-5)
    assert classifier.classify(files)[1].shape == (2, 2)


def test_what_cannot_be_read_is_named(image_run, images):  # noqa: F811
    with pytest.raises(DataError, match="part0/broken.png cannot be used: not a JPEG"):
        zoo.load_classifier(image_run).classify(images)


def test_a_file_alone_does_not_know_how_files_are_read(image_run, tmp_path):
    shutil.copyfile(image_run / "model.keras", tmp_path / "model.keras")
    encoder = zoo.load_encoder(tmp_path / "model.keras")
    assert encoder.predict(np.zeros((1, SIZE, SIZE, 3)), verbose=0).shape == (1, encoder.output_dim)
    with pytest.raises(ValueError, match="does not know how its training read files: load its run"):
        encoder.encode(np.zeros((1, SIZE, SIZE, 3), "uint8"))


def test_a_loaded_model_is_saved_as_it_was(image_run, tmp_path):
    encoder = zoo.load_encoder(image_run)
    encoder.save(tmp_path / "encoder.keras")
    noise = np.random.default_rng(0).uniform(0, 255, (2, SIZE, SIZE, 3))
    saved = keras.models.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(saved(noise), encoder(noise))


def test_names_without_weights(tmp_path):
    with pytest.raises(
        WeightsError, match="no trained weights for 'cub200_conv5_4'. Train them with `keras-fvvae train"
    ):
        zoo.load_encoder("cub200_conv5_4")
    with pytest.raises(WeightsError, match="Unknown zoo entry 'digit_conv'; did you mean 'digits_conv'?"):
        zoo.load_classifier("digit_conv")
    with pytest.raises(RunError, match="is not a run of keras_fvvae"):
        zoo.load_encoder(tmp_path)
    with pytest.raises(WeightsError, match="There is no model at"):
        zoo.load_encoder(tmp_path / "model.keras")


def test_the_authors_weights_alone_encode_no_images(shared, tmp_path):
    import_release([shared / "weights" / "fv_vae_release"], tmp_path)
    with pytest.raises(WeightsError, match="is an FV-VAE on activation maps"):
        zoo.load_encoder(tmp_path / "ucf101_pool5")
