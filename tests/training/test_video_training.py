"""The whole way on videos: every kind of recipe, continued trainings, unlabelled items, and stored flow."""

import numpy as np
import pytest

from keras_fvvae import zoo
from keras_fvvae.data import Collection, FlowSettings, load_folder
from keras_fvvae.errors import DataError, RecipeError
from keras_fvvae.reporting.report import write_report
from keras_fvvae.runs.datasets import recipe_collection
from keras_fvvae.svm import OneVsRestSVM
from keras_fvvae.tasks.flow import compute_flow
from keras_fvvae.tasks.predict import predict
from keras_fvvae.training import fit
from keras_fvvae.training.inputs.pixels import PixelInputs
from keras_fvvae.training.inputs.sampled import SampledInputs
from tests.support.trained_runs import interrupted, same, weights


def _slow(changes):
    return pytest.param(changes, marks=pytest.mark.slow)


_OF_FLOW = {"modality": "flow", "resize_to": [36, 40], "crops": "ten", "random_mirror": True}


# Together the quick ones have every kind of modality, view and training; `make test-slow` has the other combinations.
@pytest.mark.parametrize(
    "changes",
    [
        {"resize_to": [36, 40], "crops": "ten"},
        {"modality": "flow_stack"},
        {**_OF_FLOW, "trainable_from": "all", "frame_step": 2},
        _slow({}),
        _slow({"frame_step": 2}),
        _slow({"trainable_from": "all"}),
        _slow({"trainable_from": "all", "resize_to": [36, 40], "random_mirror": True}),
        _slow({"modality": "flow"}),
        _slow({"modality": "flow_stack", "trainable_from": "all"}),
    ],
    ids=str,
)
def test_recipes_train(videos, finished_videos, changes):
    run = finished_videos(**changes)
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
        # Cached activations are float16: it moves scores of flow, up to 7, by up to 0.036 (float32: 5e-6).
        assert np.allclose([found[name] for name in names], row, atol=1e-4 if "trainable_from" in changes else 5e-2)


# What flow on the fly and stored flow are compared on.
FLOW = {"modality": "flow", "information": "none"}


# Of frames as they are: below, with unlabelled items.
@pytest.mark.system
@pytest.mark.parametrize("changes", [{"modality": "flow_stack"}, FLOW], ids=str)
def test_report_shows_flow(videos, finished_videos, tmp_path, changes):
    report = write_report([finished_videos(**changes).path], tmp_path / "report.html", videos).read_text()
    assert report.count("data:image/png;base64,") == 7
    assert "Shown is the frame that speaks most for the answer." in report


@pytest.mark.system
@pytest.mark.parametrize(
    "changes", [{}, {"trainable_from": "all", "resize_to": [36, 40], "random_mirror": True}], ids=str
)
def test_interrupted_and_continued(videos, train_videos, finished_videos, changes, tmp_path):
    whole = finished_videos(**changes)
    with interrupted(PixelInputs if changes else SampledInputs, 2):
        train_videos(videos, **changes)
    (checkpoint,) = (tmp_path / "run" / "checkpoints").glob("*.h5")
    assert checkpoint.name == "step-00000003.weights.h5"
    run = train_videos(videos, **changes)
    assert run.history == whole.history
    assert same(weights(run), weights(whole))


def test_unlabelled_items(videos, train_videos, tmp_path, monkeypatch):
    """Without label, training videos train the FV-VAE and not the SVM; test videos are not scored."""
    fitted, original = [], OneVsRestSVM.fit
    monkeypatch.setattr(OneVsRestSVM, "fit", lambda self, x, y: fitted.append((len(x), set(y))) or original(self, x, y))
    learnt, stream = [], fit.position_stream
    monkeypatch.setattr(fit, "position_stream", lambda items, *a: learnt.extend(items) or stream(items, *a))
    labels = videos.labels.copy()
    train_items, test_items = videos.indices("train"), videos.indices("test")
    labels[train_items[::4]] = labels[test_items[:3]] = -1
    mixed = videos.subset(range(len(videos)))
    mixed.labels = labels
    run = train_videos(mixed)
    assert fitted == [(12, set(range(8)))] * 2, "of the FV-VAE's vectors and of the averages"
    items = run.read_json("vectors.json")
    assert items["labels"] == [*labels[train_items][labels[train_items] >= 0], *[-1] * 4, *labels[test_items[3:]]]
    metrics = run.results.metrics
    assert metrics["FV-VAE"]["examples"] == metrics["AVE"]["examples"] == 5
    assert run.results.notes == ["3 test videos have no label and are not scored."]
    assert write_report([run.path], tmp_path / "report.html", mixed).read_text().count("data:image/png;base64,") == 7

    assert sorted(learnt) == sorted(train_items)
    # Unlabelled test videos change nothing.
    scored = mixed.subset([i for i in range(len(mixed)) if labels[i] >= 0 or mixed.splits[i] == "train"])
    assert same(weights(run), weights(train_videos(scored, out="scored")))


def test_all_but_one_class_unlabelled(videos, train_videos):
    few = videos.subset(range(len(videos)))
    few.labels = np.where(few.labels == 0, 0, -1)
    with pytest.raises(DataError, match="Fewer than two classes have readable training videos"):
        train_videos(few)


def test_flow_computed_beforehand(videos, train_videos, finished_videos, tmp_path):
    """The folder in the place of the videos gives nearly the vectors of flow on the fly: up to JPEG."""
    compute_flow(videos, tmp_path / "flow", FlowSettings(), (32, 32), verbose=0)
    stored = load_folder(tmp_path / "flow")
    position = {name: i for i, name in enumerate(stored.names)}
    ordered = stored.subset([position[name.rsplit(".", 1)[0]] for name in videos.names])
    ordered.class_names, ordered.labels = videos.class_names, videos.labels
    runs = finished_videos(**FLOW), train_videos(ordered, out="stored", **FLOW)
    direct, read = (np.load(run.path / "vectors.npy").reshape(24, -1) for run in runs)
    assert (direct * read).sum(axis=1).mean() > 0.9
    assert (direct * read).sum(axis=1).mean() > (direct @ read.T).mean() + 0.02  # than with others' vectors
    with pytest.raises(DataError, match="24 of 24 videos cannot be used .* holds no numbered frames"):
        train_videos(ordered, out="rgb")


def test_flow_of_images_is_refused(folder, train_videos, tmp_path):
    with pytest.raises(RecipeError, match="optical flow, but the data are images"):
        train_videos(load_folder(folder), modality="flow")
    assert not (tmp_path / "cache").exists()


def test_arrays_in_memory(train_videos):
    arrays = list(np.random.default_rng(0).integers(0, 256, (8, 5, 32, 32, 3), "uint8"))
    collection = Collection(
        arrays, list("abcdefgh"), [0, 1] * 4, ["train"] * 4 + ["test"] * 4, ["x", "y"], kind="video"
    )
    assert train_videos(collection).results.metrics["FV-VAE"]["examples"] == 4


def test_stored_flow_of_other_settings_is_refused(videos, video_recipe, tmp_path):
    """The protocol of a run states the recipe's method and bound: they must be those of the flow."""
    compute_flow(videos, tmp_path / "flow", FlowSettings("farneback", 6.0), size=(32, 32), verbose=0)
    recipe = video_recipe.replace(dataset="folder", modality="flow")
    with pytest.raises(DataError, match=r"--set flow_method=farneback --set flow_bound=6, or compute it anew"):
        recipe_collection(recipe, tmp_path / "flow")
    agreed = recipe.replace(flow_method="farneback", flow_bound=6.0)
    assert len(recipe_collection(agreed, tmp_path / "flow")) == len(videos)
