"""The whole way on videos: continued, with broken files, unlabelled items, lists, and a disk that fills up."""

import csv
import dataclasses
import os
import signal

import numpy as np
import pytest

from keras_fvvae import zoo
from keras_fvvae.data import Collection, FlowSettings, load_folder, load_list
from keras_fvvae.errors import DataError, RecipeError, RunError
from keras_fvvae.reporting.report import write_report
from keras_fvvae.runs.datasets import recipe_collection
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.svm import OneVsRestSVM
from keras_fvvae.tasks.flow import compute_flow
from keras_fvvae.tasks.predict import predict
from keras_fvvae.training import stages
from keras_fvvae.training import train as task_train
from keras_fvvae.training.inputs.activations import ActivationInputs
from keras_fvvae.training.inputs.pixels import PixelInputs
from keras_fvvae.training.inputs.sampled import SampledInputs
from tests.support.trained_runs import same, weights
from tests.support.video_files import broken_videos, numbered_frames, write_video

UNREADABLE = {
    "truncated.mp4": "not a video that FFmpeg reads: invalid data found when processing input",
    "zero.avi": "the file is empty",
    "text.mp4": "not a video that FFmpeg reads: invalid data found when processing input",
    "audio_only.mp4": "it has no video stream, only audio",
}


@pytest.fixture
def train(tmp_path, video_recipe):
    """`train` with random backbone weights and a cache of its own; keywords change the recipe."""

    def run(collection, out="run", max_unreadable=0.1, cache="cache", **changes):
        return task_train.train(
            video_recipe.replace(**changes),
            collection,
            tmp_path / out,
            backbone_weights=None,
            cache=tmp_path / cache,
            max_unreadable=max_unreadable,
            verbose=0,
        )

    return run


def skipped_in(run, name="skipped.csv"):
    with (run.path / name).open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "reason"]
    return dict(rows[1:])


@pytest.fixture
def class_folders(tmp_path):
    """`data/{left,right}/<number>.avi`: six short videos a class."""
    rng = np.random.default_rng(0)
    for name in ("left", "right"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(6):
            frames = numbered_frames(4 + number)
            frames[..., 2] = 200 if name == "left" else 20
            frames[:, 20:, ::3] = rng.integers(0, 256, frames[:, 20:, ::3].shape)
            write_video(tmp_path / "data" / name / f"{number}.avi", frames)
    return tmp_path / "data"


def _slow(changes):
    return pytest.param(changes, marks=pytest.mark.slow)


# Together the quick ones have every kind of modality, view and training; `make test-slow` has the other combinations.
@pytest.mark.parametrize(
    "changes",
    [
        {"frame_step": 2},
        {"resize_to": [36, 40], "crops": "ten"},
        {"modality": "flow_stack"},
        {"modality": "flow", "trainable_from": "all", "resize_to": [36, 40], "crops": "ten", "random_mirror": True},
        _slow({}),
        _slow({"trainable_from": "all"}),
        _slow({"trainable_from": "all", "resize_to": [36, 40], "random_mirror": True}),
        _slow({"modality": "flow"}),
        _slow({"modality": "flow_stack", "trainable_from": "all"}),
    ],
    ids=str,
)
def test_recipes_train(videos, train, changes):
    run = RunFolder.open(train(videos, **changes).path)
    assert run.kind == "video"
    results = run.results
    assert results.own["examples"] == 8
    vectors = np.load(run.path / "vectors.npy")
    assert vectors.shape == (24, 4, 3)
    norms = np.linalg.norm(vectors.reshape(24, -1), axis=1)
    # Hardly any motion can leave all activations of a random network of four channels at zero.
    assert np.all((norms == 0) | (np.abs(norms - 1) < 1e-5))
    assert norms.mean() > 0.7
    assert len(run.history["loss"]) == 4
    what = {"flow": "optical flow (dis, +-20 pixels), ", "flow_stack": "stacked optical flow (dis, +-20 pixels), "}
    what = what.get(changes.get("modality"), "RGB, ") + ("every 2. frame" if "frame_step" in changes else "3 frames")
    assert results.protocol.startswith(f"16 training and 8 test videos of 8 classes; {what} a video; DigitsConvNet")
    assert ("ten crops" in results.protocol) == (changes.get("crops") == "ten")

    classifier = zoo.load_classifier(run.path / "model.keras")
    assert classifier.encoder.backbone.input.shape[-1] == (20 if changes.get("modality") == "flow_stack" else 3)
    # The files again, through the saved model: the same scores as in the evaluation.
    test = videos.indices("test")
    names = run.class_names
    predicted = list(predict(run.path, [videos.sources[i] for i in test], top_k=8))
    for row, result in zip(run.scores()["FV-VAE"], predicted, strict=True):
        found = dict(zip(result["labels"], result["scores"], strict=True))
        # Cached activations are float16.
        assert np.allclose([found[name] for name in names], row, atol=1e-4 if "trainable_from" in changes else 2e-2)
    report = write_report([run.path], run.path / "report.html", videos).read_text()
    assert report.count("data:image/png;base64,") == 6


def test_predict_names_what_cannot_be_read(videos, train, tmp_path):
    run = train(videos, frames=25)
    names = list(broken_videos(tmp_path / "data"))
    results = {
        r["file"]: r for r in predict(run.path, [tmp_path / "data" / name for name in names] + [tmp_path / "no"])
    }
    errors = {os.path.relpath(file, tmp_path): r["error"] for file, r in results.items() if "error" in r}
    assert errors == {
        **{f"data/{name}": reason for name, reason in UNREADABLE.items()},
        "data/flow1": "the folder holds no numbered frames such as img_00001.jpg",
        "no": "cannot be opened: No such file or directory",
    }
    good = [r for r in results.values() if "labels" in r]
    assert len(good) == 12 - 1
    assert all(len(r["labels"]) == 5 and r["scores"] == sorted(r["scores"], reverse=True) for r in good)
    # Batches are of several videos: what is broken beside a file does not change it.
    one = tmp_path / "data" / "odd.avi"
    assert np.allclose(next(predict(run.path, [one]))["scores"], results[str(one)]["scores"], atol=1e-5)


@pytest.mark.parametrize(
    "changes", [{}, {"trainable_from": "all", "resize_to": [36, 40], "random_mirror": True}], ids=str
)
def test_interrupted_and_continued(videos, train, changes, monkeypatch):
    whole = train(videos, out="whole", **changes)
    kind = PixelInputs if changes else SampledInputs
    original = kind.training_batches

    def interrupting(self, *arguments):
        for number, batch in enumerate(original(self, *arguments)):
            if number == 2:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

    monkeypatch.setattr(kind, "training_batches", interrupting)
    with pytest.raises(KeyboardInterrupt):
        train(videos, **changes)
    monkeypatch.undo()
    (checkpoint,) = (whole.path.parent / "run" / "checkpoints").glob("*.h5")
    assert checkpoint.name == "step-00000003.weights.h5"
    run = train(videos, **changes)
    assert run.history == whole.history
    assert same(weights(run), weights(whole))
    assert not same(weights(run), weights(train(videos, out="other", seed=1, **changes)))


@pytest.mark.parametrize("changes", [{}, _slow({"trainable_from": "all"})], ids=str)
def test_broken_videos_change_nothing(class_folders, train, tmp_path, changes):
    """In a class folder, beside good ones; those that decode in part are used, and are in both trainings."""
    names = list(broken_videos(class_folders / "left"))
    (class_folders / "left" / "loop").symlink_to(class_folders / "left")
    (class_folders / "left" / "dangling.avi").symlink_to(tmp_path / "nowhere.avi")
    everything = load_folder(class_folders)
    assert set(names) <= {name.removeprefix("left/") for name in everything.names}
    assert len(everything) == 12 + len(names) + 1, "the loop is entered once"
    run = train(everything, max_unreadable=0.5, **changes)
    expected = {f"left/{name}": reason for name, reason in UNREADABLE.items()}
    expected["left/flow1"] = "the folder holds no numbered frames such as img_00001.jpg"
    expected["left/dangling.avi"] = "cannot be opened: No such file or directory"
    assert skipped_in(run) == expected
    assert run.results.skipped == 6
    damaged = skipped_in(run, "damaged.csv")
    assert damaged["left/truncated.avi"].startswith("truncated: its header promises 30 frames, ")
    # Every frame of a file is decoded, of a folder those that are wanted.
    assert set(damaged) - {"left/frames_corrupt"} == {"left/truncated.avi", "left/corrupt_middle.avi"}
    assert run.results.notes[-1] == f"{len(damaged)} damaged videos are used as far as they decode; see damaged.csv."
    again = train(everything, out="again", max_unreadable=0.5, **changes)  # from the cache, where there is one
    assert skipped_in(again, "damaged.csv") == damaged

    without = everything.subset([i for i, name in enumerate(everything.names) if name not in expected])
    clean = train(without, out="clean", cache="clean_cache", **changes)
    assert clean.read_json("vectors.json") == run.read_json("vectors.json")
    assert np.array_equal(np.load(clean.path / "vectors.npy"), np.load(run.path / "vectors.npy"))
    assert same(weights(clean), weights(run))
    assert dataclasses.replace(clean.results, skipped=6) == run.results
    assert np.array_equal(clean.scores()["FV-VAE"], run.scores()["FV-VAE"])
    with pytest.raises(DataError, match=r"6 of 29 videos cannot be used \(21%, allowed are 10%\)"):
        train(everything, out="refused", **changes)
    assert skipped_in(RunFolder(tmp_path / "refused")) == expected, "listed also where the training is refused"


def test_report_shows_a_video_whose_middle_frame_is_damaged_or_that_is_gone(class_folders, train):
    broken = broken_videos(class_folders / "right") and class_folders / "right" / "frames_corrupt"
    (class_folders / "right" / "frames_corrupt" / "img_00006.jpg").write_bytes(b"")
    collection = load_folder(class_folders)
    good = [i for i, name in enumerate(collection.names) if name.count(".avi") and name[-5].isdigit()]
    index = collection.names.index("right/frames_corrupt")
    collection.splits[index] = "test"
    collection = collection.subset([*good, index])
    run = train(collection)
    assert "right/frames_corrupt" in run.vectors().names
    assert write_report([run.path], run.path / "report.html", collection).is_file()
    for path in broken.iterdir():
        path.unlink()
    assert write_report([run.path], run.path / "report.html", collection).is_file()


def test_names_with_blanks_and_unicode(class_folders, train):
    odd = [
        "a b.avi",
        "Ünïcode 视频.avi",
        'quote".avi',
        "comma, and;semicolon.avi",
        "colon:name.avi",
        "[%05d]*.avi",
    ]
    for number, name in enumerate(odd):
        (class_folders / "right" / f"{number}.avi").rename(class_folders / "right" / name)
    (class_folders / "right" / "line\nbreak.avi").write_bytes(b"")
    (class_folders / "left" / os.fsdecode(b"caf\xe9.avi")).write_bytes((class_folders / "left" / "1.avi").read_bytes())
    run = train(load_folder(class_folders))
    assert skipped_in(run) == {"right/line\nbreak.avi": "the file is empty"}
    assert {f"right/{name}" for name in odd} <= set(run.vectors().names)
    results = list(predict(run.path, [class_folders / "right" / name for name in odd]))
    assert all("labels" in result for result in results)


def test_a_list_with_absent_and_duplicated_names(class_folders, train, tmp_path):
    rows = [f"{c}/{n}.avi,{c},{'test' if n > 3 else 'train'}" for c in ("left", "right") for n in range(6)]
    clean = train(load_list(_written(class_folders / "clean.csv", rows)), out="clean")
    rows[3:3] = ["left/absent.avi,left,train", "left/0.avi,left,test", rows[1], "../outside.avi,right,test"]
    collection = load_list(_written(class_folders / "list.csv", rows))
    assert collection.missing == ["left/absent.avi", "../outside.avi"]
    run = train(collection)
    assert skipped_in(run) == {}
    assert same(weights(run), weights(clean))
    notes = " ".join(run.results.notes)
    assert "12 of 14 listed files of list.csv" in notes
    assert "2 lines of list.csv repeat a file; its first line counts" in notes
    assert "1 of them say another split than the first, such as line 6" in notes


def _written(path, rows):
    path.write_text("\n".join(["file,label,split", *rows]), encoding="utf-8")
    return path


def test_unlabelled_items(videos, train, monkeypatch):
    """Without label, training videos train the FV-VAE and not the SVM; test videos are not scored."""
    fitted, original = [], OneVsRestSVM.fit
    monkeypatch.setattr(OneVsRestSVM, "fit", lambda self, x, y: fitted.append((len(x), set(y))) or original(self, x, y))
    labels = videos.labels.copy()
    train_items, test_items = videos.indices("train"), videos.indices("test")
    labels[train_items[::4]] = labels[test_items[:3]] = -1
    mixed = videos.subset(range(len(videos)))
    mixed.labels = labels
    run = train(mixed)
    assert fitted == [(12, set(range(8)))] * 2, "of the FV-VAE's vectors and of the averages"
    items = run.read_json("vectors.json")
    assert items["labels"] == [*labels[train_items][labels[train_items] >= 0], *[-1] * 4, *labels[test_items[3:]]]
    metrics = run.results.metrics
    assert metrics["FV-VAE"]["examples"] == metrics["AVE"]["examples"] == 5
    assert run.results.notes == ["3 test videos have no label and are not scored."]
    assert write_report([run.path], run.path / "report.html", mixed).is_file()

    # They are learned from: without them it is another FV-VAE. Unlabelled test videos change nothing.
    labelled = mixed.subset(np.flatnonzero(labels >= 0))
    assert not same(weights(run), weights(train(labelled, out="labelled")))
    scored = mixed.subset([i for i in range(len(mixed)) if labels[i] >= 0 or mixed.splits[i] == "train"])
    assert same(weights(run), weights(train(scored, out="scored")))


def test_all_but_one_class_unlabelled(videos, train):
    few = videos.subset(range(len(videos)))
    few.labels = np.where(few.labels == 0, 0, -1)
    with pytest.raises(DataError, match="Fewer than two classes have readable training videos"):
        train(few)


def test_flow_computed_beforehand(videos, train, tmp_path):
    """The folder in the place of the videos gives nearly the vectors of flow on the fly: up to JPEG."""
    compute_flow(videos, tmp_path / "flow", FlowSettings(), (32, 32), verbose=0)
    stored = load_folder(tmp_path / "flow")
    position = {name: i for i, name in enumerate(stored.names)}
    ordered = stored.subset([position[name.rsplit(".", 1)[0]] for name in videos.names])
    ordered.class_names, ordered.labels = videos.class_names, videos.labels
    runs = [train(c, out=n, modality="flow", information="none") for n, c in (("direct", videos), ("stored", ordered))]
    direct, read = (np.load(run.path / "vectors.npy").reshape(24, -1) for run in runs)
    assert (direct * read).sum(axis=1).mean() > 0.9
    assert (direct * read).sum(axis=1).mean() > (direct @ read.T).mean() + 0.02  # than with others' vectors
    with pytest.raises(DataError, match="24 of 24 videos cannot be used .* holds no numbered frames"):
        train(ordered, out="rgb")


def test_flow_of_images_is_refused(folder, train, tmp_path):
    with pytest.raises(RecipeError, match="optical flow, but the data are images"):
        train(load_folder(folder), modality="flow")
    assert not (tmp_path / "cache").exists()


def test_arrays_in_memory(train):
    arrays = list(np.random.default_rng(0).integers(0, 256, (8, 5, 32, 32, 3), "uint8"))
    collection = Collection(
        arrays, list("abcdefgh"), [0, 1] * 4, ["train"] * 4 + ["test"] * 4, ["x", "y"], kind="video"
    )
    assert train(collection).results.metrics["FV-VAE"]["examples"] == 4


@pytest.mark.parametrize("stage", ["activations", "training"])
def test_full_disk(videos, train, small_disk, tmp_path, stage, monkeypatch):
    """Ends in one sentence; with more space the same call continues to the result of one that was not stopped."""
    whole = train(videos, out="whole", cache="whole_cache")
    disk = small_disk(30 if stage == "activations" else 60)
    places = {"cache": disk / "cache"} if stage == "activations" else {"out": disk / "run"}
    with pytest.raises((DataError, RunError)) as caught:
        train(videos, **places)
    message = str(caught.value)
    assert "\n" not in message
    assert (
        "cannot be written: No space left on device" in message
        or "failed: No space left on device. What was computed is kept" in message
    )
    small_disk(20000)
    if stage == "training":
        assert (disk / "run" / "recipe.yaml").is_file()
        monkeypatch.setattr(ActivationInputs, "compute", lambda *a: pytest.fail("computed again"))
    run = train(videos, **places)
    assert same(weights(run), weights(whole))
    assert run.results == whole.results
    assert np.array_equal(run.scores()["FV-VAE"], whole.scores()["FV-VAE"])


def test_full_disk_after_training(videos, train, small_disk, monkeypatch):
    """The steps done are kept in a checkpoint."""
    whole = train(videos, out="whole")
    disk = small_disk(20000)

    def fill(*arguments):
        free = os.statvfs(disk)
        (disk / "filler").write_bytes(b"x" * (free.f_bavail * free.f_frsize - 4096))
        return original(*arguments)

    original = stages.encode_vectors
    monkeypatch.setattr(stages, "encode_vectors", fill)
    with pytest.raises(RunError, match=r"Writing to .*run failed: No space left on device\. What was computed is kept"):
        train(videos, out=disk / "run", latent_dim=2)
    assert (disk / "run" / "checkpoints" / "step-00000004.weights.h5").is_file()
    monkeypatch.undo()
    (disk / "filler").unlink()
    monkeypatch.setattr("keras_fvvae.models.FVVAE.train_on_batch", lambda *a, **k: pytest.fail("trained again"))
    assert same(weights(train(videos, out=disk / "run")), weights(whole))


def test_places_that_cannot_be_written(videos, train, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"The output folder .*file/run cannot be written: Not a directory\."):
        train(videos, out="file/run")
    with pytest.raises(DataError, match=r"The feature store .* cannot be written: Not a directory\."):
        train(videos, cache="file/cache")


def test_report_that_cannot_be_written(videos, train, tmp_path):
    """The run stays finished, and says so."""
    run = train(videos)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"The report .*report.html cannot be written: Not a directory\."):
        write_report([run.path], tmp_path / "file" / "report.html", videos)
    assert RunFolder.open(run.path).is_finished()


def test_stored_flow_of_other_settings_is_refused(videos, video_recipe, tmp_path):
    """The protocol of a run states the recipe's method and bound: they must be those of the flow."""
    compute_flow(videos, tmp_path / "flow", FlowSettings("farneback", 6.0), size=(32, 32), verbose=0)
    recipe = video_recipe.replace(dataset="folder", modality="flow")
    with pytest.raises(DataError, match=r"--set flow_method=farneback --set flow_bound=6, or compute it anew"):
        recipe_collection(recipe, tmp_path / "flow")
    agreed = recipe.replace(flow_method="farneback", flow_bound=6.0)
    assert len(recipe_collection(agreed, tmp_path / "flow")) == len(videos)
