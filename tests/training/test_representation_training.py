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
    "NetVLAD": {"representation": "net_vlad", "representation_options": {"num_centroids": 3}, "stages": STAGES},
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


@pytest.mark.parametrize("title", CASES)
def test_train_predict_export(title, folder, recipe, tmp_path):
    recipe = recipe.replace(**CASES[title])
    collection = load_folder(folder)
    run = train(recipe, collection, tmp_path / "run", cache=tmp_path / "cache")
    result, tested = run.results.metrics[title], run.scores()[title]
    assert 0 <= result["accuracy"] <= 1
    vectors = np.load(run.path / "vectors.npy").reshape(24, -1)
    assert vectors.shape[1] == result["dimension"]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-4)
    assert set(run.seconds) == {"fit", "encode", "classify"}
    assert not list(run.path.glob("checkpoints*"))

    names = run.vectors().names
    files = [str(folder / name) for name in names[-len(tested) :]]
    for scores, found in zip(tested, predict(run.path, files, top_k=3), strict=True):
        np.testing.assert_allclose(sorted(found["scores"]), sorted(scores), atol=HALF_PRECISION)

    classifier = load_classifier(run.path / "model.keras")
    exported = export_saved_model(classifier, tmp_path / "served", recipe_views(recipe))
    served = tf.saved_model.load(str(exported)).signatures["serving_default"]
    contents = [tf.constant(tf.io.read_file(file)) for file in files]
    np.testing.assert_allclose(served(image=tf.stack(contents))["scores"], tested, atol=HALF_PRECISION)
    assert write_report([run.path], tmp_path / "report.html", collection).is_file()


@pytest.fixture
def bags(video_recipe):
    return video_recipe.replace(
        representation="action_vlad", representation_options={"num_centroids": 2}, views_per_step=3, stages=STAGES,
        batch_size=4,
    )  # fmt: skip


def test_action_vlad_learns_from_bags_of_frames_in_two_stages(videos, bags, tmp_path, monkeypatch):
    shapes = []
    original = task_fit.position_stream
    monkeypatch.setattr(task_fit, "position_stream", lambda *a: shapes.append(a) or original(*a))
    run = train(bags, videos, tmp_path / "run", cache=tmp_path / "cache")
    assert len(shapes) == 2
    history = run.history
    assert len(history["loss"]) == 6
    head = load_encoder(run.path / "model.keras").head
    assert isinstance(head, NetVLAD)
    assert head.normalization is None
    assert run.results.metrics["ActionVLAD"]["dimension"] == 2 * 4


def test_classifier_stage_leaves_the_aggregation_as_it_is(videos, bags, tmp_path):
    """Its weights are then those of k-means; a second stage changes them."""
    weights = {}
    for name, stages in {"one": STAGES[:1], "both": STAGES}.items():
        recipe = bags.replace(stages=stages)
        run = train(recipe, videos, tmp_path / name, cache=tmp_path / "cache")
        weights[name] = load_encoder(run.path / "model.keras").head.get_weights()
    from keras_fvvae.ops.residuals import assignment_weights

    kernel, bias, centroids, _ = weights["one"]
    expected = assignment_weights(centroids.astype("float64"), 1000.0)
    np.testing.assert_allclose(kernel, expected[0], rtol=1e-4)
    np.testing.assert_allclose(bias, expected[1], rtol=1e-4)
    assert np.abs(weights["both"][2] - centroids).max() > 0


def test_interrupted_in_the_second_stage_it_ends_the_same(videos, bags, tmp_path, monkeypatch):
    whole = train(bags, videos, tmp_path / "whole", cache=tmp_path / "cache")
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
        *(load_encoder(run.path / "model.keras").get_weights() for run in (whole, continued)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_fine_tuning_sees_single_frames_before_bags(videos, bags, tmp_path):
    """As in ucf101_actionvlad_rgb."""
    recipe = bags.replace(fine_tune_steps=1, fine_tune_batch_size=4, stages=STAGES[:1])
    run = train(recipe, videos, tmp_path / "run", cache=tmp_path / "cache")
    assert len(run.read_json("fine_tuning.json")["loss"]) == 1
    assert len(run.history["loss"]) == 3


def test_pca_follows_a_softmax_training(folder, recipe, tmp_path):
    """It is fitted to trained vectors: nothing would be learnt through one that is not fitted yet."""
    recipe = recipe.replace(**CASES["NetVLAD"], pca_components=4)
    run = train(recipe, load_folder(folder), tmp_path / "run", cache=tmp_path / "cache")
    losses = run.history["loss"]
    assert len(set(np.round(losses, 4))) > 1
    assert run.results.metrics["NetVLAD"]["dimension"] == 4


def test_codebook_is_fitted_to_the_trained_backbone(folder, recipe, tmp_path):
    recipe = recipe.replace(**CASES["VLAD"], trainable_from="all", steps=3, stages=[{"steps": 3, "learning_rate": 0.1}])
    collection = load_folder(folder)
    run = train(recipe, collection, tmp_path / "run", cache=tmp_path / "cache")
    encoder = load_encoder(run.path / "model.keras")
    centroids = encoder.head.get_weights()[0]
    images = np.stack([collection_image(collection, i) for i in collection.indices("train")]).astype("float32")
    descriptors = np.array(encoder.compute_descriptors(images)).reshape(-1, centroids.shape[1])
    again = type(encoder.head)(3, seed=recipe.seed)
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
def test_errors(changes, error, message, folder, recipe, tmp_path):
    with pytest.raises(error, match=message):
        train(recipe.replace(**changes), load_folder(folder), tmp_path / "run", cache=tmp_path)


def test_report_of_two_runs_of_one_representation(folder, recipe, tmp_path):
    collection = load_folder(folder)
    runs = [
        train(recipe.replace(latent_dim=size), collection, tmp_path / f"latent{size}", cache=tmp_path)
        for size in (2, 3)
    ]
    page = write_report([run.path for run in runs], tmp_path / "report.html", collection).read_text()
    assert "FV-VAE, latent2" in page
    assert "FV-VAE, latent3" in page


def test_unlabelled_data_and_another_run_are_for_fv_vae(folder, recipe, tmp_path):
    unlabelled = load_folder(folder, unlabelled=True)
    for changes in ({"representation": "net_vlad"}, {"representation": "bilinear", "trainable_from": "all"}):
        with pytest.raises(DataError, match="Without labels only FV-VAE minus can be trained"):
            train(recipe.replace(**changes), unlabelled, tmp_path / "run", cache=tmp_path / "cache")
    first = train(recipe.replace(lambda3=0.0), unlabelled, tmp_path / "first", cache=tmp_path / "cache")
    vlad = train(recipe.replace(**CASES["VLAD"]), load_folder(folder), tmp_path / "vlad", cache=tmp_path / "cache")
    with pytest.raises(WeightsError, match="holds another representation than FV-VAE"):
        train(recipe, load_folder(folder), tmp_path / "run", cache=tmp_path / "c", init=vlad.path)
    with pytest.raises(WeightsError, match="VLAD cannot start from another run"):
        train(
            recipe.replace(representation="vlad"), load_folder(folder), tmp_path / "run",
            cache=tmp_path / "cache", init=first.path,
        )  # fmt: skip
