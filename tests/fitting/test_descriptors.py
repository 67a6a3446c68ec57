import numpy as np
import pytest

from keras_fvvae.fitting import descriptors as reading
from keras_fvvae.fitting.descriptors import descriptor_rows, draw_descriptors


def test_draw_is_even_and_does_not_depend_on_batches():
    rows = np.arange(3000.0).reshape(1000, 3)
    whole = draw_descriptors(rows, 100, seed=5)
    assert whole.shape == (100, 3)
    assert (np.diff(whole[:, 0]) > 0).all()
    np.testing.assert_array_equal(draw_descriptors([rows[:10], rows[10:700], rows[700:]], 100, seed=5), whole)
    np.testing.assert_array_equal(draw_descriptors(rows, 5000), rows)
    means = [draw_descriptors(np.arange(1000.0)[:, np.newaxis], 100, seed).mean() for seed in range(200)]
    assert abs(np.mean(means) - 499.5) < 5 * 27.4 / np.sqrt(200)  # 27.4 is the deviation of such a mean
    assert 20 < np.std(means) < 35


def test_draw_is_bounded_and_even(monkeypatch):
    """Every descriptor of a long stream is as likely to be kept as any other, and memory stays bounded."""
    original, held = reading._smallest_keys, []
    monkeypatch.setattr(
        reading, "_smallest_keys", lambda drawn, n: held.append(sum(len(k) for k, _ in drawn)) or original(drawn, n)
    )
    counts = np.zeros(10)
    for seed in range(50):
        values = draw_descriptors(list(np.arange(1000).reshape(10, 100, 1)), 100, seed)[:, 0].astype(int)
        assert len(set(values)) == len(values) == 100
        counts += np.bincount(values // 100, minlength=10)
    assert max(held) <= 200 + 100  # twice the draw may wait to be sorted out, and one batch comes on top
    # 500 expected of each tenth of the stream; five standard deviations.
    np.testing.assert_allclose(counts, 500, atol=5 * np.sqrt(500 * 0.9))


def test_draw_is_independent_of_data_made_with_the_same_seed():
    rows = np.random.default_rng(0).random((1000, 1))
    assert abs(draw_descriptors(rows, 500, seed=0).mean() - 0.5) < 0.05


def test_masked_descriptors_are_left_out():
    rows = np.arange(24.0).reshape(2, 4, 3)
    mask = np.array([[1, 0, 1, 1], [0, 0, 0, 1]], bool)
    broken = np.where(mask[..., np.newaxis], rows, np.nan)
    (found,) = descriptor_rows({"inputs": broken, "mask": mask})
    np.testing.assert_array_equal(found, rows[mask])
    # Frames of a video: one value for all of a frame's descriptors.
    (found,) = descriptor_rows({"inputs": rows[np.newaxis], "mask": [[False, True]]})
    np.testing.assert_array_equal(found, rows[1])


@pytest.mark.parametrize("mask", [np.ones((2, 3)), np.ones(3), np.ones((2, 4, 3))])
def test_a_mask_of_another_shape(mask):
    with pytest.raises(ValueError, match="The mask of a batch must have its first axes"):
        next(descriptor_rows({"inputs": np.zeros((2, 4, 3)), "mask": mask}))


def test_a_layer_checks_every_batch():
    def check(shape):
        if len(shape) != 3:
            raise ValueError(f"rank {len(shape)}")

    stream = descriptor_rows([np.zeros((2, 4, 3)), np.zeros((4, 3))], check=check)
    next(stream)
    with pytest.raises(ValueError, match="rank 2"):
        next(stream)
