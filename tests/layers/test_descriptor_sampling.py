import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.layers import DescriptorSampling
from tests.support.layer_harness import check_layer


def _descriptors(batch=4, count=12):
    """Descriptors `(batch, count, 2)` that say where they come from: (image, position)."""
    image, position = np.meshgrid(np.arange(batch), np.arange(count), indexing="ij")
    return np.stack([image, position], axis=-1).astype("float32")


def test_harness():
    check_layer(lambda **kwargs: DescriptorSampling(5, seed=1, **kwargs), _descriptors())


def test_keeps_a_subset_without_replacement():
    sampled = np.array(DescriptorSampling(5, seed=1)(_descriptors(), training=True))
    assert sampled.shape == (4, 5, 2)
    for image, descriptors in enumerate(sampled):
        assert (descriptors[:, 0] == image).all()
        assert len(set(descriptors[:, 1])) == 5


def test_every_image_and_every_step_draws_anew():
    layer = DescriptorSampling(5, seed=1)
    first, second = (np.sort(layer(_descriptors(), training=True)[..., 1]) for _ in range(2))
    assert len(np.unique(first, axis=0)) > 1
    assert not np.array_equal(first, second)


def test_seed_repeats_the_draws():
    first, second = (DescriptorSampling(5, seed=7)(_descriptors(), training=True) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, DescriptorSampling(5, seed=8)(_descriptors(), training=True))


def test_all_positions_are_equally_likely():
    batch, kept, count = 4000, 3, 8
    sampled = np.array(DescriptorSampling(kept, seed=1)(_descriptors(batch, count), training=True))
    share = np.bincount(sampled[..., 1].astype(int).ravel(), minlength=count) / batch
    # Six standard errors of a share of 3/8.
    np.testing.assert_allclose(share, kept / count, atol=6 * np.sqrt(3 / 8 * 5 / 8 / batch))


@pytest.mark.parametrize("training", [False, None])
def test_keeps_all_at_inference(training):
    descriptors = _descriptors()
    np.testing.assert_array_equal(DescriptorSampling(5)(descriptors, training=training), descriptors)


@pytest.mark.parametrize("count", [12, 13])
def test_keeps_all_where_there_are_no_more(count):
    descriptors = _descriptors()
    np.testing.assert_array_equal(DescriptorSampling(count)(descriptors, training=True), descriptors)


@pytest.mark.parametrize(("present", "kept"), [(12, 5), (5, 5), (3, 3)])
def test_dynamic_number_of_descriptors(present, kept):
    layer = DescriptorSampling(5, seed=1)
    signature = [tf.TensorSpec((None, None, 2))]
    sampled = tf.function(lambda x: layer(x, training=True), input_signature=signature)(_descriptors(count=present))
    assert sampled.shape == (4, kept, 2)
    assert all(len(set(image)) == kept for image in np.array(sampled)[..., 1])


@pytest.mark.parametrize("count", [0, -1, 2.5, "5", None])
def test_wrong_count(count):
    with pytest.raises(ValueError, match="`num_descriptors` must be a positive integer. Received: num_descriptors="):
        DescriptorSampling(count)
