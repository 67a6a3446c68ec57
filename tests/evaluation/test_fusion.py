"""Late fusion is the weighted mean, nothing else goes through, and its weights can be chosen."""

import numpy as np
import pytest

from keras_fvvae.evaluation.fusion import choose_weights, late_fusion, weightings

ONE = np.array([[1.0, -2.0, 0.5], [0.0, 4.0, 2.0]])
OTHER = np.array([[3.0, 2.0, -0.5], [1.0, -4.0, 0.0]])


def test_equal_weights_give_the_mean():
    assert late_fusion([ONE, OTHER]).tolist() == [[2.0, 0.0, 0.0], [0.5, 0.0, 1.0]]


@pytest.mark.parametrize("scale", [1, 10])
def test_weights_are_relative(scale):
    fused = late_fusion([ONE, OTHER], [1 * scale, 3 * scale])
    assert np.allclose(fused, [[2.5, 1.0, -0.25], [0.75, -2.0, 0.5]])


def test_a_weight_of_zero_leaves_a_stream_out():
    assert late_fusion([ONE, OTHER], [0, 2]).tolist() == OTHER.tolist()


def test_three_streams_in_float32_are_added_in_float64():
    fused = late_fusion([np.float32([[0.1, 2]]), [[0.2, 3]], [[0.3, 4]]])
    assert fused.dtype == np.float64
    assert np.allclose(fused, [[0.2, 3]])


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [0, 0], [-1, 2], [np.nan, 1], [[1, 2]]], ids=str)
def test_weights_that_do_not_go_with_the_streams(weights):
    with pytest.raises(ValueError, match=r"`weights` must be 2 numbers, none negative, not all 0"):
        late_fusion([ONE, OTHER], weights)


@pytest.mark.parametrize("scores", [[], [ONE, OTHER[:1]], [ONE[0], OTHER[0]], [ONE, OTHER[:, :2]]], ids=len)
def test_scores_that_do_not_go_together(scores):
    with pytest.raises(ValueError, match=r"`scores` must be arrays of one shape"):
        late_fusion(scores)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite(bad):
    with pytest.raises(ValueError, match="`scores` must be finite"):
        late_fusion([ONE, np.where(OTHER == 2, bad, OTHER)])


def test_unit_length_is_of_each_item_and_stream():
    """ActionVLAD's 0.75 and 0.25 of normalised scores: the scale of a stream or of an item has no part."""
    fused = late_fusion([ONE, OTHER], [0.75, 0.25], normalize="l2")
    expected = [0.75 * a / np.linalg.norm(a) + 0.25 * b / np.linalg.norm(b) for a, b in zip(ONE, OTHER, strict=True)]
    assert np.allclose(fused, expected)
    scaled = late_fusion([ONE, OTHER * [[1000], [0.001]]], [0.75, 0.25], normalize="l2")
    assert np.allclose(fused, scaled)
    assert not np.allclose(late_fusion([ONE, OTHER], [0.75, 0.25]), late_fusion([ONE, 9 * OTHER], [0.75, 0.25]))
    assert late_fusion([0 * ONE, OTHER], [1, 0], normalize="l2").tolist() == np.zeros((2, 3)).tolist()
    with pytest.raises(ValueError, match="`normalize` must be one of .'none', 'l2'.. Received: normalize='L1'"):
        late_fusion([ONE], normalize="L1")


@pytest.mark.parametrize("streams", [1, 2, 3, 5, 12, 40])
def test_weightings(streams):
    tried = weightings(streams)
    assert len(tried) == len(set(tried)) <= 2001
    assert tried[0] == (1 / streams,) * streams
    assert np.allclose(np.sum(tried, axis=1), 1)
    assert np.min(tried) >= 0
    for alone in np.eye(streams):  # every stream alone is among them
        assert tuple(alone) in tried
    assert len(weightings(2)) == 21  # steps of 0.05


def test_chosen_weights_are_the_best_and_nearest_to_equal():
    labels = np.array([0, 1, 1, 0])
    perfect, useless = np.eye(2)[labels], np.eye(2)[[1, 1, 0, 0]]
    # Right as long as the first weighs more than the second.
    assert choose_weights([perfect, useless], labels) == ([0.55, 0.45], 1.0)
    assert choose_weights([perfect, perfect], labels) == ([0.5, 0.5], 1.0)
    assert choose_weights([perfect, 10 * useless], labels) == ([0.95, 0.05], 1.0)
    assert choose_weights([perfect, 10 * useless], labels, normalize="l2") == ([0.55, 0.45], 1.0)
    assert sorted(choose_weights([useless, perfect, useless], labels)[0]) == [0.2, 0.25, 0.55]


def test_chosen_weights_beat_both_streams_where_they_are_right_in_different_places():
    labels = np.array([0, 0, 1, 1])
    one, other = np.array([[1, 0], [0, 0.4], [0, 1], [0.4, 0]]), np.array([[0, 0.4], [1, 0], [0.4, 0], [0, 1]])
    assert choose_weights([one, other], labels)[1] == 1.0


@pytest.mark.parametrize("labels", [[], [0], [0, 1, 1]], ids=len)
def test_labels_that_do_not_go_with_the_scores(labels):
    with pytest.raises(ValueError, match="`labels` must be 2 integers, at least one"):
        choose_weights([ONE, OTHER], labels)
