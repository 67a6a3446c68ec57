"""Activations of videos: computed once, for several streams together, and drawn from as a function of the seed."""

import itertools
import json

import keras
import numpy as np
import pytest

from keras_fvvae.builders.trainable import build_recipe_backbone
from keras_fvvae.data import Collection, batch_sizes
from keras_fvvae.data import views as data_views
from keras_fvvae.data.views import read_resized
from keras_fvvae.errors import DataError
from keras_fvvae.features import SHARD_BYTES
from keras_fvvae.training.inputs import activations as inputs_module
from keras_fvvae.training.inputs.activations import ActivationInputs, prepare_together
from tests.support.small_data import VIDEO_FRAMES, videos_in_memory
from tests.support.video_files import broken_videos

MAP = (8, 8, 4)


@pytest.fixture
def activations(videos, video_recipe, tmp_path):
    """`ActivationInputs` of the moving digits; keywords change the recipe."""

    def build(collection=videos, folder="cache", shard_bytes=SHARD_BYTES, **changes):
        recipe = video_recipe.replace(**changes)
        keras.utils.set_random_seed(recipe.seed)
        backbone = build_recipe_backbone(recipe, None)
        return ActivationInputs(collection, recipe, backbone, tmp_path / folder, shard_bytes)

    return build


@pytest.fixture
def decoded(monkeypatch):
    """The sources that were decoded, in order."""
    sources, original = [], data_views.read_video
    monkeypatch.setattr(
        data_views, "read_video", lambda source, *a, **k: sources.append(source) or original(source, *a, **k)
    )
    return sources


def stored(inputs):
    return [np.array(inputs.store[key]) for key in inputs.keys]


def same(left, right):
    return len(left) == len(right) and all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize(
    ("changes", "views"),
    [
        ({}, 3),
        ({"frames": 25}, VIDEO_FRAMES),
        ({"frame_step": 2}, 3),
        ({"frame_step": 4}, 2),
        ({"resize_to": [36, 40], "crops": "ten"}, 30),
        ({"modality": "flow", "frames": 25}, VIDEO_FRAMES - 1),
        ({"modality": "flow_stack"}, 1),
        ({"modality": "flow", "resize_to": [36, 40], "crops": "ten"}, 30),
    ],
    ids=str,
)
def test_maps_of_every_view_are_kept(videos, activations, changes, views):
    collection = videos.subset([0, 1, 9])
    inputs = activations(collection, **changes)
    assert inputs.prepare(verbose=0) == {}
    for index, found in enumerate(stored(inputs)):
        images = inputs.views.crop(read_resized(collection, index, [inputs.views])[0]).numpy()
        expected = inputs.backbone.predict_on_batch(images)
        assert found.dtype == np.float16
        assert found.shape == (views, *MAP)
        assert np.allclose(found, expected, rtol=2e-3, atol=1e-4)


def test_computed_once(activations, decoded, monkeypatch):
    inputs = activations()
    inputs.prepare(verbose=0)
    assert len(decoded) == len(set(decoded)) == 24
    monkeypatch.setattr(keras.Model, "predict_on_batch", lambda *a: pytest.fail("the backbone ran again"))
    again = activations()
    assert again.prepare(verbose=0) == {}
    assert len(decoded) == 24
    assert same(stored(again), stored(inputs))


def test_only_what_changes_the_activations_keeps_them_apart(activations, videos):
    activations().prepare(verbose=0)
    assert activations(latent_dim=9, flow_bound=3.0, learning_rate=0.1, random_mirror=True).missing() == []
    others = [{"frames": 2}, {"frame_step": 2}, {"modality": "flow"}, {"crops": "ten"}, {"resize_to": [40, 40]},
              {"seed": 1}, {"backbone_options": {"filters": 4, "strides": [2, 1, 2]}}]  # fmt: skip
    for changes in others:
        assert len(activations(**changes).missing()) == len(videos), changes
    # Of the same weights: activations in bfloat16 differ by a percent.
    keras.config.set_dtype_policy("mixed_bfloat16")
    inputs = activations()
    assert inputs.backbone.weights[0].dtype == "float32"
    assert len(inputs.missing()) == len(videos)


@pytest.mark.parametrize(
    ("changes", "further"),
    [
        ({"backbone_options": {}}, {}),
        ({"backbone_options": {"filters": 4}}, {}),  # the weights tell
        ({"backbone_options": {"strides": [2, 2, 1], "filters": 4}}, {"backbone_options": {"strides": [2, 2, 1]}}),
        ({"tap": "conv3/linear", "backbone_options": {}}, {}),
        ({"tap": "conv2+conv3", "backbone_options": {}}, {}),
        # Earlier versions wrote other maps under the key of this tap and these weights.
        ({"tap": "conv2/linear+conv3", "backbone_options": {}}, {"activation": "of one half"}),
    ],
)
def test_stores_that_were_right_keep_their_keys(activations, changes, further):
    """The settings of 0.1, and only where networks of the same weights must be told apart more."""
    inputs = activations(**changes)
    settings = json.loads((inputs.store.path / "settings.json").read_text())
    of_0_1 = {"backbone", "tap", "weights", "dtype", *inputs.views.settings(inputs.collection.kind)}
    assert {key: settings[key] for key in settings.keys() - of_0_1} == further


def test_given_models_of_the_same_weights_have_stores_of_their_own(videos, video_recipe, tmp_path):
    """Of them the recipe need not tell all."""
    paths = []
    for strides in ([2, 2, 1], [2, 1, 2]):
        keras.utils.set_random_seed(0)
        backbone = build_recipe_backbone(
            video_recipe.replace(backbone_options={"filters": 4, "strides": strides}), None
        )
        paths.append(ActivationInputs(videos, video_recipe, backbone, tmp_path, is_given=True).store.path)
    assert paths[0] != paths[1]


@pytest.mark.parametrize("limit", [1, 4, 7, 1000])
def test_batches_are_in_order_and_bounded(activations, monkeypatch, limit):
    monkeypatch.setattr(inputs_module, "MAX_READ", limit)
    collection = videos_in_memory([5, 1, 3, 2, 6])
    inputs = activations(collection, frames=4)
    inputs.prepare(verbose=0)
    maps, counts = zip(*inputs.batches([4, 0, 1, 2, 3]), strict=True)
    assert np.concatenate(counts).tolist() == [4, 4, 1, 3, 2]
    assert all(len(m) == sum(c) for m, c in zip(maps, counts, strict=True))
    assert all(len(m) <= limit or len(c) == 1 for m, c in zip(maps, counts, strict=True))
    assert np.array_equal(np.concatenate(maps), np.concatenate([inputs.store[inputs.keys[i]] for i in (4, 0, 1, 2, 3)]))


def draws(inputs, start, count, batch_size=4):
    """What training sees from a position of the stream on: pairs of maps and label."""
    stream = itertools.islice(itertools.cycle(range(len(inputs.collection))), start, None)
    batches = inputs.training_batches(stream, batch_size, start).take(count).as_numpy_iterator()
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def test_a_random_view_is_a_function_of_seed_and_number(activations):
    inputs = activations(videos_in_memory([5, 6, 4]), frames=6)
    inputs.prepare(verbose=0)
    maps, labels = draws(inputs, 0, 12)
    assert maps.shape == (48, *MAP)
    assert labels.tolist() == [0, 1, 0] * 16
    stored_maps = [inputs.store[inputs.keys[number % 3]] for number in range(48)]
    chosen = [int(np.argmax((of == one).all(axis=(1, 2, 3)))) for of, one in zip(stored_maps, maps, strict=True)]
    for item, length in enumerate((5, 6, 4)):
        assert set(chosen[item::3]) == set(range(length)), "every view is drawn sooner or later"
    assert same(draws(inputs, 20, 7), [maps[20:], labels[20:]])
    other = activations(videos_in_memory([5, 6, 4]), frames=6)
    object.__setattr__(other.recipe, "seed", 1)  # the seed of the draws alone, with the same backbone
    assert not np.array_equal(draws(other, 0, 12)[0], maps)


STREAMS = ({}, {"modality": "flow"}, {"frames": 2, "resize_to": [40, 40], "crops": "ten"})


def test_streams_together_decode_once_and_equal_each_alone(activations, videos, decoded):
    alone = [activations(folder="alone", **changes) for changes in STREAMS]
    for stream in alone:
        stream.prepare(verbose=0)
    assert len(decoded) == 3 * len(videos)
    del decoded[:]
    together = [activations(folder="together", **changes) for changes in STREAMS]
    assert prepare_together(together, verbose=0) == {}
    assert sorted(decoded) == sorted(videos.sources)
    for one, other in zip(together, alone, strict=True):
        assert same(stored(one), stored(other))


def test_a_stream_that_has_some_already(activations, videos, decoded):
    """Each video is decoded once still, and not at all where nobody lacks it."""
    for changes, indices in ((STREAMS[0], [0, 1, 2, 3]), (STREAMS[1], [2, 3, 4])):
        activations(videos.subset(indices), **changes).prepare(verbose=0)
    del decoded[:]
    streams = [activations(**changes) for changes in STREAMS[:2]]
    passes = []
    for number, stream in enumerate(streams):
        original = stream.compute
        stream.compute = lambda views, number=number, original=original: (
            passes.append((number, len(views))) or original(views)
        )
    assert prepare_together(streams, verbose=0) == {}
    assert sorted(decoded) == sorted(source for i, source in enumerate(videos.sources) if i not in (2, 3))
    assert [sum(views for which, views in passes if which == number) for number in (0, 1)] == [20 * 3, 21 * 3]
    for stream, changes in zip(streams, STREAMS, strict=False):
        whole = activations(folder="alone", **changes)
        whole.prepare(verbose=0)
        assert same(stored(stream), stored(whole))


def test_broken_videos_change_nothing_for_the_others(activations, tmp_path):
    names = list(broken_videos(tmp_path / "data"))
    collection = Collection([tmp_path / "data" / name for name in names], names, [0] * len(names),
                            ["train"] * len(names), ["x", "y"], kind="video")  # fmt: skip
    inputs = activations(collection)
    skipped = inputs.prepare(verbose=0)
    reasons = {names[index]: reason for index, reason in skipped.items()}
    assert reasons == {
        "truncated.mp4": "not a video that FFmpeg reads: invalid data found when processing input",
        "zero.avi": "the file is empty",
        "text.mp4": "not a video that FFmpeg reads: invalid data found when processing input",
        "audio_only.mp4": "it has no video stream, only audio",
        "flow1": "the folder holds no numbered frames such as img_00001.jpg",
    }
    usable = [index for index in range(len(names)) if index not in skipped]
    clean = activations(collection.subset(usable), folder="clean")
    assert clean.prepare(verbose=0) == {}
    assert same(stored(clean), [np.array(inputs.store[inputs.keys[i]]) for i in usable])
    assert inputs.prepare(verbose=0) == skipped  # said again, not forgotten

    flow = activations(collection, modality="flow").prepare(verbose=0)
    reasons = {names[index]: reason for index, reason in flow.items()}
    assert reasons["one_frame.avi"] == "it has a single frame; optical flow needs two"
    assert "flow1" not in reasons
    both = prepare_together([activations(collection, folder="both", **c) for c in STREAMS[:2]], verbose=0)
    assert both.keys() == skipped.keys() | flow.keys()


def test_activations_beyond_float16(activations):
    inputs = activations(videos_in_memory([3, 3]))
    weights = inputs.backbone.get_weights()
    weights[-1][:] = 1e6
    inputs.backbone.set_weights(weights)
    assert inputs.prepare(verbose=0) == dict.fromkeys((0, 1), "its activations are NaN, infinite or beyond float16")


def test_full_disk_keeps_what_was_computed(activations, videos, small_disk, monkeypatch):
    # About two of the three shards fit: a video's maps are 3 x 8 x 8 x 4 float16.
    shard_bytes = 8 * 3 * 8 * 8 * 4 * 2
    monkeypatch.setattr(batch_sizes, "MAX_BATCH", 12)
    disk = small_disk(56)
    with pytest.raises(DataError, match=r"The feature store .* cannot be written: No space left on device\."):
        activations(folder=disk, shard_bytes=shard_bytes).prepare(verbose=0)
    kept = len(videos) - len(activations(folder=disk).missing())
    assert 0 < kept < len(videos)
    small_disk(4096)
    inputs, views = activations(folder=disk), []
    original = inputs.compute
    inputs.compute = lambda pixels: views.append(len(pixels)) or original(pixels)
    assert inputs.prepare(verbose=0) == {}
    assert sum(views) == 3 * (len(videos) - kept)
    whole = activations()
    whole.prepare(verbose=0)
    assert same(stored(inputs), stored(whole))
