"""Late fusion is the weighted mean, and nothing else goes through."""

import numpy as np
import pytest

from keras_fvvae.fusion import late_fusion

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
