"""Trainings of what FV-VAE is compared with: the same run folder, prediction and export as for FV-VAE."""

import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.builders.encoders import load_encoder
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data import load_folder
from keras_fvvae.errors import DataError, RecipeError, WeightsError
from keras_fvvae.export import export_saved_model
from keras_fvvae.layers import NetVLAD
from keras_fvvae.ops.residuals import assignment_weights
from keras_fvvae.reporting.report import write_report
from keras_fvvae.tasks.predict import predict
from keras_fvvae.training import fit as task_fit
from keras_fvvae.training import train as task_train
from keras_fvvae.zoo import load_classifier

STAGES = [
    {"train": "classifier", "steps": 3, "learning_rate": 0.01, "epsilon": 1e-4, "decay_steps": 2, "clip_norm": 5.0},
    {"train": "all", "steps": 3, "learning_rate": 1e-4, "weight_decay": 4e-5},
]
# The activations of a training are cached in float16; those of a prediction are not.
HALF_PRECISION = 1e-2
CASES = {
    "VLAD": {"representation": "vlad", "representation_options": {"num_centroids": 3}},
    "NetVLAD": {
        "representation": "net_vlad", "representation_options": {"num_centroids": 3}, "stages": STAGES,
        "pca_components": 4,
    },
    "BP": {"representation": "bilinear", "trainable_from": "all", "steps": 2},
    "FV-VAE": {"pca_components": 4},
    # Of few numbers, single ones near zero would show the rounding of cached activations by their steep root.
    "FV-VAE, random Maclaurin": {"representation": "fv_vae_maclaurin", "representation_options": {"dimension": 256}},
    "Cross-layer pooling": {
        "representation": "cross_layer", "representation_options": {"components": 5}, "tap": "conv2+conv3",
    },
}  # fmt: skip


def train(*arguments, **options):
    """With random weights of the backbone."""
    return task_train.train(*arguments, backbone_weights=None, verbose=0, **options)


# FV-VAE is quick elsewhere: predictions in `test_train.py`, its export in `tests/export`, a PCA here after NetVLAD.
@pytest.mark.system
@pytest.mark.parametrize(
    "title", [pytest.param(title, marks=[pytest.mark.slow] * (title == "FV-VAE")) for title in CASES]
)
def test_train_predict_export(title, digits, finished, tmp_path):
    run = finished(**CASES[title])
    result, tested = run.results.metrics[title], run.scores()[title]
    assert 0 <= result["accuracy"] <= 1
    vectors = np.load(run.path / "vectors.npy").reshape(24, -1)
    assert vectors.shape[1] == result["dimension"]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-4)
    assert set(run.seconds) == {"fit", "encode", "classify"}
    assert not list(run.path.glob("checkpoints*"))

    names = run.vectors().names
    files = [str(digits / name) for name in names[-len(tested) :]]
    for scores, found in zip(tested, predict(run.path, files, top_k=3), strict=True):
        np.testing.assert_allclose(sorted(found["scores"]), sorted(scores), atol=HALF_PRECISION)

    classifier = load_classifier(run.path / "model.keras")
    exported = export_saved_model(classifier, tmp_path / "served", recipe_views(run.recipe))
    served = tf.saved_model.load(str(exported)).signatures["serving_default"]
    contents = [tf.constant(tf.io.read_file(file)) for file in files]
    np.testing.assert_allclose(served(image=tf.stack(contents))["scores"], tested, atol=HALF_PRECISION)


def test_report_of_another_representation(digits, finished, tmp_path):
    run = finished(**CASES["VLAD"])
    assert "VLAD" in write_report([run.path], tmp_path / "report.html", load_folder(digits)).read_text()


@pytest.fixture
def bags(video_recipe):
    return video_recipe.replace(
        representation="action_vlad", representation_options={"num_centroids": 2}, views_per_step=3, stages=STAGES,
        batch_size=4,
    )  # fmt: skip


@pytest.fixture
def two_stages(shared_runs, bags, videos):
    """A finished run of `bags`, to be read only."""
    return shared_runs.of(bags, videos)


@pytest.fixture
def tuned_and_one_stage(shared_runs, bags, videos):
    """A finished run whose backbone is fine-tuned and whose aggregation is left as it is, to be read only."""
    return shared_runs.of(bags.replace(fine_tune_steps=1, fine_tune_batch_size=4, stages=STAGES[:1]), videos)


def test_action_vlad_learns_from_bags_of_frames_in_two_stages(two_stages):
    assert len(two_stages.history["loss"]) == 6
    head = load_encoder(two_stages.path / "model.keras").head
    assert isinstance(head, NetVLAD)
    assert head.normalization is None
    assert two_stages.results.metrics["ActionVLAD"]["dimension"] == 2 * 4


def test_classifier_stage_leaves_the_aggregation_as_it_is(two_stages, tuned_and_one_stage):
    """Its weights are then those of k-means; a second stage changes them, centroids and assignment each for itself."""
    for run, unchanged in ((tuned_and_one_stage, True), (two_stages, False)):
        kernel, bias, centroids, _ = load_encoder(run.path / "model.keras").head.get_weights()
        expected = assignment_weights(centroids.astype("float64"), 1000.0)
        for values, of_centroids in zip((kernel, bias), expected, strict=True):
            assert np.allclose(values, of_centroids, rtol=1e-4, atol=0) == unchanged


def test_interrupted_in_the_second_stage_it_ends_the_same(videos, bags, two_stages, tmp_path, monkeypatch):
    original, calls = task_fit._seed_step, []

    def stop(model, seed, step):
        calls.append(step)
        if len(calls) == 5:  # the second step of the second stage
            raise KeyboardInterrupt
        original(model, seed, step)

    monkeypatch.setattr(task_fit, "_seed_step", stop)
    with pytest.raises(KeyboardInterrupt):
        train(bags, videos, tmp_path / "run", cache=tmp_path / "cache")
    assert (tmp_path / "run" / "checkpoints-2").is_dir()
    monkeypatch.setattr(task_fit, "_seed_step", original)
    continued = train(bags, videos, tmp_path / "run", cache=tmp_path / "cache")
    for one, other in zip(
        *(load_encoder(run.path / "model.keras").get_weights() for run in (two_stages, continued)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_fine_tuning_sees_single_frames_before_bags(tuned_and_one_stage):
    """As in ucf101_actionvlad_rgb."""
    assert len(tuned_and_one_stage.read_json("fine_tuning.json")["loss"]) == 1
    assert len(tuned_and_one_stage.history["loss"]) == 3


def test_pca_follows_a_softmax_training(finished):
    """It is fitted to trained vectors: nothing would be learnt through one that is not fitted yet."""
    run = finished(**CASES["NetVLAD"])
    losses = run.history["loss"]
    assert len(set(np.round(losses, 4))) > 1
    assert run.results.metrics["NetVLAD"]["dimension"] == 4


def test_codebook_is_fitted_to_the_trained_backbone(digits, finished):
    run = finished(**CASES["VLAD"], trainable_from="all", steps=3, stages=[{"steps": 3, "learning_rate": 0.1}])
    collection = load_folder(digits)
    encoder = load_encoder(run.path / "model.keras")
    centroids = encoder.head.get_weights()[0]
    images = np.stack([collection_image(collection, i) for i in collection.indices("train")]).astype("float32")
    descriptors = np.array(encoder.compute_descriptors(images)).reshape(-1, centroids.shape[1])
    again = type(encoder.head)(3, seed=run.recipe.seed)
    again.adapt(descriptors[None])
    np.testing.assert_allclose(
        np.sort(again.get_weights()[0], axis=0), np.sort(centroids, axis=0), rtol=0.05, atol=0.05
    )


def collection_image(collection, index):
    return tf.io.decode_image(collection.read(index), 3).numpy()


def test_end_to_end_training_on_bags_of_frames(videos, bags, tmp_path):
    recipe = bags.replace(trainable_from="conv3", stages=[{"steps": 1}])
    run = train(recipe, videos, tmp_path / "run", cache=tmp_path / "cache")
    assert len(run.history["loss"]) == 1


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"representation": "vlad", "representation_options": {"num_centroids": 10**6}}, ValueError, "needs at least"),
        ({"representation": "global_activations"}, RecipeError, "`representation` 'global_activations' on maps"),
        ({"representation": "net_vlad", "stages": [{"optimizer": "sgd", "epsilon": 0.1}]}, RecipeError, "`epsilon`"),
        ({"pca_components": 18}, RecipeError, "must be below the number of labelled training images, 18"),
        ({"stages": [{"step": 3}]}, RecipeError, "did you mean 'steps'"),
        ({"stages": [{"train": "head"}]}, RecipeError, "The stage key `train` must be one of"),
    ],
)
def test_errors(changes, error, message, digits, recipe, tmp_path):
    with pytest.raises(error, match=message):
        train(recipe.replace(**changes), load_folder(digits), tmp_path / "run", cache=tmp_path)


def test_report_of_two_runs_of_one_representation(digits, finished, finished_copy, tmp_path):
    """They are told apart by the names of their folders."""
    runs = [finished(), finished_copy]
    page = write_report([run.path for run in runs], tmp_path / "report.html", load_folder(digits)).read_text()
    for run in runs:
        assert f"FV-VAE, {run.path.name}" in page


def test_unlabelled_data_and_another_run_are_for_fv_vae(digits, recipe, finished, tmp_path):
    unlabelled = load_folder(digits, unlabelled=True)
    for changes in ({"representation": "net_vlad"}, {"representation": "bilinear", "trainable_from": "all"}):
        with pytest.raises(DataError, match="Without labels only FV-VAE minus can be trained"):
            train(recipe.replace(**changes), unlabelled, tmp_path / "run", cache=tmp_path / "cache")
    vlad = finished(**CASES["VLAD"])
    with pytest.raises(WeightsError, match="holds another representation than FV-VAE"):
        train(recipe, load_folder(digits), tmp_path / "run", cache=tmp_path / "c", init=vlad.path)
    with pytest.raises(WeightsError, match="VLAD cannot start from another run"):
        train(
            recipe.replace(representation="vlad"), load_folder(digits), tmp_path / "run",
            cache=tmp_path / "cache", init=finished().path,
        )  # fmt: skip
