"""Improved dense trajectories of a data set: vectors, scores, and what happens when it is stopped or files are bad."""

import csv
import json

import numpy as np
import pytest

from keras_fvvae.data import Collection, load_folder
from keras_fvvae.errors import DataError
from keras_fvvae.evaluation.score_tables import read_features, read_scores
from keras_fvvae.svm import OneVsRestSVM
from keras_fvvae.tasks import idt
from keras_fvvae.tasks.idt import encode_trajectories
from keras_fvvae.trajectories import DESCRIPTORS, TrajectorySettings
from keras_fvvae.trajectories.codebook import COLUMNS, load_codebook
from tests.support.synthetic_trajectories import make_video
from tests.support.video_files import write_video

SETTINGS = TrajectorySettings(scales=1)
MOTIONS = {"left": (-3, 0), "right": (3, 0)}
COMPONENTS = 2
DIMENSION = 2 * COMPONENTS * 213


@pytest.fixture(scope="session")
def _files(tmp_path_factory):
    """Two classes of three training videos and a test video; the textures differ, and the camera moves in some."""
    folder = tmp_path_factory.mktemp("idt")
    for name, motion in MOTIONS.items():
        for index in range(4):
            part = folder / ("train" if index < 3 else "test") / name
            part.mkdir(parents=True, exist_ok=True)
            video = make_video(motion, camera=(0, index % 2), count=17, seed=10 * index)
            write_video(part / f"{name}_{index}.avi", video)
    return folder


@pytest.fixture
def moving(_files):
    return load_folder(_files)


@pytest.fixture(scope="session")
def finished(_files, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished")
    return out, encode(load_folder(_files), out)


def encode(collection, out, components=COMPONENTS, **options):
    return encode_trajectories(collection, out, SETTINGS, components, workers=2, verbose=0, **options)


def never(*arguments):
    raise AssertionError("this was done before")


def test_what_is_written(moving, finished):
    out, result = finished
    vectors, listing = np.load(out / "vectors.npy"), json.loads((out / "vectors.json").read_text())
    assert vectors.shape == (8, DIMENSION)
    assert vectors.dtype == "float32"
    assert listing["ids"] == moving.names
    assert listing["labels"] == moving.labels.tolist()
    assert listing["splits"] == moving.splits.tolist()
    assert listing["class_names"] == moving.class_names == ["left", "right"]
    assert min(listing["trajectories"]) > 50
    assert result["trajectories_per_video"] == np.mean(listing["trajectories"])
    # Each descriptor has its own unit length, and the whole too.
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(8), rel=1e-5)
    start = 0
    for length in DESCRIPTORS.values():
        stop = start + 2 * COMPONENTS * (length // 2)
        assert np.linalg.norm(vectors[:, start:stop], axis=1) == pytest.approx(np.full(8, 5**-0.5), rel=1e-5)
        start = stop
    assert start == DIMENSION
    assert not list(out.glob("**/.*partial*"))
    assert (out / "skipped.csv").read_text().splitlines() == ["file,reason"]
    assert json.loads((out / "metrics.json").read_text()) == {k: v for k, v in result.items() if k != "skipped"} | {
        "skipped": 0
    }


def test_scores(moving, finished):
    out, result = finished
    table, test = read_scores(out / "scores.csv"), moving.indices("test")
    assert (out / "scores.csv").read_text().startswith("id,left,right\n")
    assert table.class_names == ["left", "right"]
    assert table.ids == [moving.names[index] for index in test]
    scores = table.values
    vectors, train = np.load(out / "vectors.npy"), moving.indices("train")
    svm = OneVsRestSVM().fit(vectors[train], moving.labels[train])
    assert scores[:, 1] == pytest.approx(svm.decision_function(vectors[test]), rel=1e-3, abs=1e-4)
    assert (scores.argmax(axis=1) == moving.labels[test]).all()
    features = read_features(out / "vectors.npy")
    assert features.ids == moving.names
    assert np.array_equal(features.values, vectors)
    assert result["accuracy"] == 1.0
    assert result["examples"] == 2
    assert "6 training and 2 test videos of 2 classes" in result["protocol"]
    assert "no person detector" in result["protocol"]


def test_the_codebook_by_its_formula(finished):
    """PCA and the Fisher vector of one descriptor, in NumPy."""
    out, _ = finished
    with np.load(out / "codebook.npz") as file:
        arrays = dict(file)
    codebook = load_codebook(out / "codebook.npz", str(arrays["digest"]))
    rows = np.random.default_rng(0).random((40, 426)).astype("float32") / 5
    centre, axes, priors, means, variances = (
        arrays[f"hof/{part}"].astype(float) for part in ("centre", "axes", "priors", "means", "variances")
    )
    assert axes @ axes.T == pytest.approx(np.eye(54), abs=1e-5)
    y = (rows[:, COLUMNS["hof"]] - centre) @ axes.T
    deviations = (y[:, np.newaxis] - means) / np.sqrt(variances)  # (t, K, C)
    logs = np.log(priors) - np.log(variances).sum(axis=1) / 2 - np.square(deviations).sum(axis=2) / 2
    q = np.exp(logs - logs.max(axis=1, keepdims=True))
    q = (q / q.sum(axis=1, keepdims=True))[..., np.newaxis]
    u = (q * deviations).mean(axis=0) / np.sqrt(priors)[:, np.newaxis]
    v = (q * (np.square(deviations) - 1)).mean(axis=0) / np.sqrt(2 * priors)[:, np.newaxis]
    expected = np.concatenate([u, v]).ravel()
    expected = np.sign(expected) * np.sqrt(np.abs(expected))
    expected /= np.linalg.norm(expected) * np.sqrt(5)
    start = 2 * COMPONENTS * (15 + 48)
    assert codebook.encode(rows)[start : start + len(expected)] == pytest.approx(expected, abs=2e-4)
    assert not codebook.encode(rows[:0]).any()
    assert codebook.encode(rows[:0]).shape == (DIMENSION,)


def test_nothing_is_done_twice(moving, finished, monkeypatch):
    out, result = finished
    before = (out / "vectors.npy").read_bytes()
    for name in ("extract_trajectories", "fit_codebook"):
        monkeypatch.setattr(idt, name, never)
    assert encode(moving, out) == result
    assert (out / "vectors.npy").read_bytes() == before


def test_other_components_use_the_same_trajectories(moving, tmp_path, finished, monkeypatch):
    out, _ = finished
    (tmp_path / "trajectories").symlink_to(out / "trajectories")
    monkeypatch.setattr(idt, "extract_trajectories", never)
    assert encode(moving, tmp_path, components=3)["dimension"] == 6 * 213
    (tmp_path / "codebook.npz").write_bytes(b"PK damaged")
    assert encode(moving, tmp_path)["dimension"] == DIMENSION
    assert np.array_equal(np.load(tmp_path / "vectors.npy"), np.load(out / "vectors.npy"))


def test_resumed_after_an_interruption(moving, tmp_path, finished, monkeypatch):
    """What was extracted before is kept, and the result is that of a call that was not interrupted."""
    out, _ = finished
    extract, done = idt.extract_trajectories, []

    def interrupted(source, settings):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(source)
        return extract(source, settings)

    monkeypatch.setattr(idt, "extract_trajectories", interrupted)
    with pytest.raises(KeyboardInterrupt):
        encode_trajectories(moving, tmp_path, SETTINGS, COMPONENTS, workers=1, verbose=0)
    assert not (tmp_path / "vectors.npy").exists()
    again = []
    monkeypatch.setattr(idt, "extract_trajectories", lambda *a: (again.append(a[0]), extract(*a))[1])
    encode(moving, tmp_path)
    assert len(again) == 5
    assert not set(again) & set(done)
    assert np.array_equal(np.load(tmp_path / "vectors.npy"), np.load(out / "vectors.npy"))


def test_videos_that_cannot_be_used(moving, tmp_path, finished):
    out, whole = finished
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "trajectories").symlink_to(out / "trajectories")
    text = tmp_path / "text.avi"
    text.write_text("not a video")
    short = write_video(tmp_path / "short.avi", make_video((3, 0), count=15))
    still = write_video(tmp_path / "still.avi", make_video(None, count=17))
    sources = [*moving.sources, text, short, short, still, tmp_path / "absent.avi"]
    names = [*moving.names, "text", "short", "again", "still", "absent"]
    labels, splits = [*moving.labels, 0, 0, 1, 1, 1], [*moving.splits, "train", "train", "test", "train", "test"]
    collection = Collection(sources, names, labels, splits, moving.class_names, kind="video")
    result = encode(collection, tmp_path / "out")
    reasons = {
        "text": "not a video that FFmpeg reads: invalid data found when processing input",
        "short": "it has 15 frames; a trajectory takes 16: its vector is zero",
        "again": "it has 15 frames; a trajectory takes 16: its vector is zero",
        "still": "nothing moves in it but the camera: its vector is zero",
        "absent": "cannot be opened: No such file or directory",
    }
    assert result["skipped"] == reasons
    with open(tmp_path / "out" / "skipped.csv", newline="") as file:
        assert dict(list(csv.reader(file))[1:]) == reasons
    listing = json.loads((tmp_path / "out" / "vectors.json").read_text())
    assert listing["ids"] == [*moving.names, "short", "again", "still"]
    assert listing["trajectories"][-3:] == [0, 0, 0]
    vectors = np.load(tmp_path / "out" / "vectors.npy")
    assert not vectors[-3:].any()
    assert np.array_equal(vectors[:-3], np.load(out / "vectors.npy"))
    # The SVM is the same: it was not trained on empty vectors. The empty test video is scored by the intercepts.
    rows, before = ((folder / "scores.csv").read_text().splitlines() for folder in (tmp_path / "out", out))
    assert rows[:-1] == before
    assert rows[-1].startswith("again,")
    assert result["examples"] == whole["examples"] + 1


def test_no_video_can_be_used(tmp_path):
    (tmp_path / "a.avi").write_text("not a video")
    collection = Collection([tmp_path / "a.avi"], ["a"], [0], ["train"], ["x"], kind="video")
    with pytest.raises(DataError, match="None of the 1 videos can be used; the reasons are in .*skipped.csv"):
        encode(collection, tmp_path / "out")
    assert "FFmpeg" in (tmp_path / "out" / "skipped.csv").read_text()


def test_too_few_trajectories(tmp_path):
    video = make_video((3, 0), count=17)
    collection = Collection([video], ["a"], [0], ["train"], ["x"], kind="video")
    with pytest.raises(DataError, match="gave [0-9]+ trajectories; 5000 components need at least 5000. Give more"):
        encode(collection, tmp_path, components=5000)


def test_without_a_test_part_there_are_vectors_and_no_scores(moving, tmp_path, finished):
    (tmp_path / "trajectories").symlink_to(finished[0] / "trajectories")
    (tmp_path / "scores.csv").write_text("of another call")
    result = encode(moving.subset(moving.indices("train")), tmp_path)
    assert np.load(tmp_path / "vectors.npy").shape == (6, DIMENSION)
    assert not (tmp_path / "scores.csv").exists()
    assert "accuracy" not in result
    assert result["scores"].startswith("none: ")


def test_images_are_refused(tmp_path):
    collection = Collection([np.zeros((8, 8, 3), "uint8")], ["a"], [0], ["train"], ["x"])
    with pytest.raises(DataError, match="Trajectories need videos; this data set holds images"):
        encode(collection, tmp_path)


def test_a_folder_that_cannot_be_written(moving, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        encode(moving, tmp_path / "file" / "out")
