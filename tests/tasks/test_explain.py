"""Pictures of where scores come from, of a run on images."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_fvvae import zoo
from keras_fvvae.data import Views, load_folder
from keras_fvvae.errors import DataError, RunError
from keras_fvvae.explanations import score_split
from keras_fvvae.explanations.encoded_item import EncodedItem
from keras_fvvae.explanations.file_explanation import explain_frames
from keras_fvvae.recipes import Recipe
from keras_fvvae.reporting import explanation_figures, figures, similarity_figures
from keras_fvvae.tasks.explain import explain
from keras_fvvae.tasks.explain_match import explain_match, explain_pair
from keras_fvvae.tasks.pictures import picture_names
from keras_fvvae.tasks.predict import predict
from keras_fvvae.training import train as task_train
from tests.support.small_data import write_digits


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits") / "data")


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    recipe = Recipe(
        name="tiny", backbone="DigitsConvNet", backbone_options={"filters": 8}, input_size=[8, 8], spp_levels=[3, 1],
        latent_dim=3, batch_size=8, steps=6,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("run")
    task_train.train(
        recipe, load_folder(files), folder / "run", backbone_weights=None, cache=folder / "cache", verbose=0
    )
    return folder / "run"


@pytest.fixture(scope="module")
def classifier(run):
    return zoo.load_classifier(run / "model.keras")


def test_pictures_and_numbers(run, files, tmp_path):
    images = sorted(files.glob("7/*.png"))[:2]
    results = list(explain(run, images, tmp_path / "out"))
    for image, result, predicted in zip(images, results, predict(run, images), strict=True):
        assert (result["file"], result["label"]) == (str(image), predicted["labels"][0])
        assert result["score"] == pytest.approx(predicted["scores"][0], abs=1e-5)
        numbers = json.loads((tmp_path / "out" / "7" / f"{image.stem}.json").read_text())
        assert np.shape(numbers["maps"]) == (1, 8, 8)
        assert np.sum(numbers["maps"]) + numbers["bias"] == pytest.approx(result["score"], abs=1e-5)
        picture = cv2.imread(result["picture"])
        assert (picture.astype(int).max(axis=2) - picture.min(axis=2) > 50).mean() > 0.005  # the heat has a colour
        assert (tmp_path / "out" / "7" / f"{image.stem}.svg").read_text().rstrip().endswith("</svg>")


def test_another_class_and_files_that_cannot_be_read(run, files, tmp_path):
    image = min(files.glob("7/*.png"))
    (tmp_path / "broken.png").write_bytes(image.read_bytes()[:50])
    results = list(explain(run, [image, tmp_path / "broken.png", "/nowhere.png", image], tmp_path / "out", "1"))
    assert results[0]["label"] == "1"
    assert results[1]["error"] == "truncated or damaged"
    assert results[2]["error"] == "No such file or directory"
    assert results[3]["picture"] == str(tmp_path / "out" / "7" / f"{image.stem}_2.png")
    with pytest.raises(DataError, match="Unknown class 'seven'"):
        list(explain(run, [image], tmp_path / "out", "seven"))
    with pytest.raises(RunError, match="cannot be written"):
        list(explain(run, [image], image / "out"))


def test_files_of_one_name_in_folders_of_classes(run, files, tmp_path):
    """Neither is lost, and both keep their folder: `out/a/1.png` and `out/b/1.png`."""
    for name, digit in (("a", 1), ("b", 7)):
        (tmp_path / name).mkdir()
        shutil.copy(min(files.glob(f"{digit}/*.png")), tmp_path / name / "1.png")
    paths = [tmp_path / name / "1.png" for name in "ab"]
    for answers in (explain(run, paths, tmp_path / "out"), explain_match(run, paths, paths[0], tmp_path / "out")):
        pictures = [result["picture"] for result in answers]
        assert [str(Path(picture).parent) for picture in pictures] == [str(tmp_path / "out" / name) for name in "ab"]
    for name in "ab":
        assert sorted(path.name for path in (tmp_path / "out" / name).iterdir()) == [
            f"{stem}.{extension}" for stem in ("1-1", "1") for extension in ("json", "png", "svg")
        ]
        assert json.loads((tmp_path / "out" / name / "1.json").read_text())["file"] == str(tmp_path / name / "1.png")


def test_names_of_pictures():
    """Unlike any other's, with the fewest folders; whatever comes before, a file alone keeps its own."""
    files = ["x/train/a/1.jpg", "x/test/a/1.jpg", "x/test/b/1.jpg", "x/test/b/1.png", "/1.jpg", "x/test/b/1.jpg"]
    assert [name.as_posix() for name in picture_names(files)] == ["train/a/1", "test/a/1", "b/1", "b/1_2", "1", "b/1_3"]
    assert picture_names(["/data/photos/cat/1.jpg"]) == [Path("cat/1")]


def test_frames_in_pieces(classifier, monkeypatch):
    """A video's parts do not depend on how many frames are explained at a time, and ten crops are averaged."""
    frames = np.random.default_rng(0).integers(0, 256, (5, 10, 12, 3)).astype("uint8")
    views = Views((8, 8), resize_to=(10, 12), crops="ten")
    whole = explain_frames(classifier, frames, views)
    monkeypatch.setattr("keras_fvvae.explanations.encoded_item.MAX_VIEWS", 7)
    pieces = explain_frames(classifier, frames, views)
    assert whole.maps.shape == (5, 10, 12)
    np.testing.assert_allclose(whole.maps, pieces.maps, atol=1e-3 * np.abs(whole.maps).max())
    assert whole.curve.sum() + whole.bias == pytest.approx(whole.score, abs=1e-5)
    crops = views.crop(frames).numpy()
    assert whole.score == pytest.approx(classifier(crops[np.newaxis]).numpy().max(), abs=1e-5)


def test_the_vector_is_the_sum_of_its_own_parts(classifier):
    """Not that of the compiled encoder, which rounds otherwise: where parts cancel, little else is left."""
    encoder, views = classifier.encoder, Views((8, 8))
    frames = np.random.default_rng(0).uniform(0, 255, (40, 8, 8, 3)).astype("float32")
    raw = [EncodedItem(encoder, one[np.newaxis], views)._raw for one in frames]
    own = [score_split(encoder, one[np.newaxis]).raw for one in frames]
    np.testing.assert_array_equal(np.array(raw), np.array(own))


def test_what_makes_two_images_similar(run, classifier, files, tmp_path):
    images = sorted(files.glob("7/*.png"))[:2]
    (tmp_path / "broken.png").write_bytes(b"no image")
    results = list(explain_match(run, [images[0], tmp_path / "broken.png", images[1]], images[1], tmp_path / "out"))
    vectors = zoo.load_encoder(run).encode(images)
    assert results[0]["similarity"] == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-5)
    assert results[2]["similarity"] == pytest.approx(1, abs=1e-5)
    assert results[1]["error"]
    numbers = json.loads((tmp_path / "out" / "7" / f"{images[0].stem}-{images[1].stem}.json").read_text())
    for side in ("query", "match"):
        total = np.sum(numbers[f"{side}_maps"]) + numbers[f"{side}_constant"]
        assert total == pytest.approx(results[0]["similarity"], abs=1e-5)
    picture = cv2.imread(results[0]["picture"])
    assert (picture.astype(int).max(axis=2) - picture.min(axis=2) > 50).mean() > 0.005  # the heat has a colour
    with pytest.raises(DataError, match="broken.png cannot be used"):
        list(explain_match(run, images, tmp_path / "broken.png", tmp_path / "out"))


def test_what_makes_two_videos_similar(classifier):
    one, other = (np.random.default_rng(seed).integers(0, 256, (5 + seed, 8, 8, 3)).astype("uint8") for seed in (0, 1))
    explanation = explain_pair(classifier.encoder, one, other, Views((8, 8)))
    for side in (explanation.query, explanation.match):
        assert side.maps.sum() == pytest.approx(explanation.similarity, abs=1e-5)
    figure = similarity_figures.similar_videos(explanation, ("one.avi", "other.avi"))
    bars = [[patch.get_height() for patch in part.axes[0].patches] for part in figure.subfigs]
    for heights, side in zip(bars, (explanation.query, explanation.match), strict=True):
        np.testing.assert_allclose(heights, side.maps.sum(axis=(1, 2)))
    assert sorted(figures.rendered(figure)) == [".png", ".svg"]


def test_a_video_is_drawn(classifier):
    frames = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3)).astype("uint8")
    explanation = explain_frames(classifier, frames, Views((8, 8)))
    figure = explanation_figures.video_curve(explanation, "video.avi")
    bars = [patch.get_height() for patch in figure.axes[0].patches]
    np.testing.assert_allclose(bars, explanation.curve)
    keys = explanation_figures.key_frames(explanation.curve)
    assert int(explanation.curve.argmax()) in keys
    assert int(explanation.curve.argmin()) in keys
    assert [axis.get_title().split(":")[0] for axis in figure.axes[1:6]] == [f"frame {key + 1}" for key in keys]
    assert sorted(figures.rendered(figure)) == [".png", ".svg"]
