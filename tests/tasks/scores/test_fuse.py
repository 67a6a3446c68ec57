"""Fusion of finished runs: numbers computed by hand, and runs that do not go together."""

import numpy as np
import pytest

from keras_fvvae.data import Collection
from keras_fvvae.errors import RunError
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.results import RunResults
from keras_fvvae.tasks.scores.fuse import fuse

CLASSES = ["a", "b"]
LABELS = {"t1.avi": 0, "t2.avi": 0, "t3.avi": 1, "t4.avi": 1}
# Right are t1 and t2; t1 and t3; and of the mean t1, t2 and t3.
RGB = {"t1.avi": [2, 0], "t2.avi": [3, 0], "t3.avi": [1, 0], "t4.avi": [4, 0]}
FLOW = {"t1.avi": [1, 0], "t2.avi": [0, 1], "t3.avi": [0, 2], "t4.avi": [1, 0]}


@pytest.fixture
def write_run(tmp_path, recipe):
    """Writes a finished run with these test scores."""

    def write(name, scores, classes=CLASSES, labels=LABELS, finish=True):
        names = ["train1.avi", "train2.avi", *scores]
        numbers = [0, 1, *(labels[item] for item in scores)]
        splits = ["train", "train"] + ["test"] * len(scores)
        video = np.zeros((2, 8, 8, 3), "uint8")
        collection = Collection([video] * len(names), names, numbers, splits, classes, kind="video")
        run = RunFolder.create(tmp_path / name, recipe, collection)
        run.write_items(names, numbers, splits)
        # Average pooling stands beside it, with scores of its own that must not be fused.
        scored = {"AVE": np.zeros((len(scores), 2)), "FV-VAE": np.array(list(scores.values()))} if scores else {}
        run.write_results(RunResults("", "FV-VAE", {name: {} for name in scored}), scored)
        if finish:
            run.finish()
        return run.path

    return write


def test_computed_by_hand(write_run):
    rgb, flow = write_run("rgb", RGB), write_run("flow", FLOW)
    result = fuse([rgb, flow])
    assert (result["items"], result["left_out"]) == (4, 0)
    assert [stream["accuracy"] for stream in result["streams"].values()] == [0.5, 0.5]
    assert list(result["streams"]) == [str(rgb), str(flow)]
    assert result["fusion"]["accuracy"] == 0.75
    assert result["fusion"]["class_accuracy"] == {"a": 1.0, "b": 0.5}
    assert result["gain"] == 0.25
    # Against RGB one item of four is gained: differences 0, 0, 1, 0.
    assert result["gain_standard_error"] == pytest.approx(np.sqrt((0.25 - 0.25**2) / 4))


def test_the_gain_is_against_the_best_stream_and_can_be_negative(write_run):
    """All four are right with RGB alone; the other stream is right nowhere and surer."""
    rgb = {name: [1 - label, label] for name, label in LABELS.items()}
    wrong = {name: [3 * label, 3 - 3 * label] for name, label in LABELS.items()}
    paths = [write_run("wrong", wrong), write_run("rgb", rgb)]
    result = fuse(paths)
    assert (result["gain"], result["gain_standard_error"]) == (-1.0, 0.0)
    assert fuse(paths, weights=[1, 9])["gain"] == 0.0


def test_items_are_matched_by_name_and_others_left_out(write_run):
    rgb = write_run("rgb", {name: RGB[name] for name in ("t1.avi", "t2.avi", "t4.avi")})
    flow = write_run("flow", {name: FLOW[name] for name in ("t4.avi", "t3.avi", "t2.avi")})
    result = fuse([rgb, flow])
    assert (result["items"], result["left_out"]) == (2, 2)
    # Of t2 and t4 RGB has the first right, flow none, the mean [1.5, 0.5] and [2.5, 0] the first.
    assert [stream["accuracy"] for stream in result["streams"].values()] == [0.5, 0.0]
    assert result["fusion"]["accuracy"] == 0.5


def test_a_folder_of_flow_is_the_video_of_its_name(write_run):
    labels = {**LABELS, **{name.removesuffix(".avi"): label for name, label in LABELS.items()}}
    flow = {name.removesuffix(".avi"): scores for name, scores in FLOW.items()}
    result = fuse([write_run("rgb", RGB), write_run("flow", flow, labels=labels)])
    assert (result["items"], result["gain"]) == (4, 0.25)


def test_videos_that_differ_in_their_extension_only_stay_apart(write_run):
    labels = {"t.avi": 0, "t.mp4": 1}
    one = write_run("one", {"t.avi": [1, 0], "t.mp4": [0, 1]}, labels=labels)
    other = write_run("other", {"t.mp4": [0, 1], "t.avi": [1, 0]}, labels=labels)
    result = fuse([one, other])
    assert (result["items"], result["fusion"]["accuracy"]) == (2, 1.0)


def test_runs_that_do_not_go_together(write_run, tmp_path):
    rgb = write_run("rgb", RGB)
    with pytest.raises(RunError, match="needs at least two"):
        fuse([rgb])
    with pytest.raises(RunError, match="named twice"):
        fuse([rgb, f"{tmp_path}/./rgb"])
    with pytest.raises(RunError, match="different classes"):
        fuse([rgb, write_run("classes", FLOW, classes=["a", "c"])])
    with pytest.raises(RunError, match="no test items in common"):
        fuse([rgb, write_run("items", {"u.avi": [1, 0]}, labels={"u.avi": 0})])
    with pytest.raises(RunError, match="disagree about the labels"):
        fuse([rgb, write_run("labels", FLOW, labels={**LABELS, "t2.avi": 1})])
    with pytest.raises(RunError, match="has no test scores"):
        fuse([rgb, write_run("untested", {})])
    with pytest.raises(RunError, match="is not finished"):
        fuse([rgb, write_run("unfinished", FLOW, finish=False)])
    with pytest.raises(RunError, match="does not exist"):
        fuse([rgb, tmp_path / "absent"])
    with pytest.raises(ValueError, match="`weights` must be 2 numbers"):
        fuse([rgb, write_run("flow", FLOW)], weights=[1])
