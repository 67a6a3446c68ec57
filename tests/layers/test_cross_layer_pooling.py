import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.decomposition import PCA

from keras_fvvae.layers.cross_layer_pooling import CrossLayerPooling
from tests.support.layer_harness import check_layer

SIDES = [(1, "same"), (1, "valid"), (2, "same"), (2, "valid"), (3, "same")]


@keras.saving.register_keras_serializable(package="tests")
class OfOneMap(keras.layers.Layer):
    """The pooling with channels of its input as the guidance: the harness knows layers of one input."""

    def __init__(self, pooling, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.pooling = pooling

    def build(self, input_shape):
        if not self.pooling.built:
            self.pooling.build([input_shape, (*input_shape[:-1], 2)])
        self.built = True

    def call(self, inputs):
        return self.pooling([inputs, inputs[..., 1:3]])

    def get_config(self):
        return {**super().get_config(), "pooling": keras.saving.serialize_keras_object(self.pooling)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "pooling": keras.saving.deserialize_keras_object(config["pooling"])})


def _maps(strides=1, padding="same", images=3, sides=(7, 6), seed=0, kernel_size=3):
    """A map of 4 channels and, of the size a convolution would give, one of 3; neither is square, dead channels."""
    rng = np.random.default_rng(seed)
    maps = np.maximum(rng.normal(0.2, 1.0, (images, *sides, 4)), 0)
    if padding == "same":
        other = [-(-side // strides) for side in sides]
    else:
        other = [(side - kernel_size) // strides + 1 for side in sides]
    guidance = np.maximum(rng.normal(0.2, 1.0, (images, *other, 3)), 0)
    guidance[0, ..., 1] = 0.0
    return [maps, guidance]


def _adapt(layer, maps):
    if layer.num_components is not None:
        layer.adapt([maps], regions_per_image=None)
    return layer


def _adapted(maps=None, **arguments):
    layer = CrossLayerPooling(**{"num_components": 5, "dtype": "float64", **arguments})
    return _adapt(layer, _maps(images=30, seed=9) if maps is None else maps)


def _corner(side, other, kernel_size, strides, padding, i):
    """First row that unit i of a Keras convolution sees, by the definition of its padding."""
    total = max((other - 1) * strides + kernel_size - side, 0) if padding == "same" else 0
    return i * strides - total // 2


def _loop(maps, guidance, strides=1, padding="same", kernel_size=3, project=lambda x: x, z_score=False, keep=None):
    """One position and one channel at a time; the raw sums and the normalised vectors."""
    raw, normalized = [], []
    for image, (one, other) in enumerate(zip(maps, guidance, strict=True)):
        blocks = [0.0] * other.shape[-1]
        for i, j in np.ndindex(*other.shape[:2]):
            top = _corner(one.shape[0], other.shape[0], kernel_size, strides, padding, i)
            left = _corner(one.shape[1], other.shape[1], kernel_size, strides, padding, j)
            inside = 0 <= top <= one.shape[0] - kernel_size and 0 <= left <= one.shape[1] - kernel_size
            if inside and (keep is None or keep[image, i, j]):
                x = project(one[top : top + kernel_size, left : left + kernel_size].reshape(-1))
                for k, activation in enumerate(other[i, j]):
                    blocks[k] = blocks[k] + x * activation
        length = max(np.size(block) for block in blocks)
        blocks = np.array([np.broadcast_to(block, length) for block in blocks])
        if z_score:
            blocks = (blocks - blocks.mean()) / blocks.std()
        raw.append(blocks.reshape(-1))
        blocks = np.array([block / max(np.linalg.norm(block), 1e-7) for block in blocks])
        rooted = (np.sign(blocks) * np.sqrt(np.abs(blocks))).reshape(-1)
        normalized.append(rooted / max(np.linalg.norm(rooted), 1e-12))
    return np.array(raw), np.array(normalized)


@pytest.mark.parametrize("components", [5, None])
def test_harness(components):
    data = _maps()[0].astype("float32")
    pair = [data, data[..., 1:3]]
    check_layer(lambda **kwargs: OfOneMap(_adapt(CrossLayerPooling(components, **kwargs), pair), **kwargs), data)


@pytest.mark.parametrize(("strides", "padding"), SIDES)
@pytest.mark.parametrize("kernel_size", [1, 2, 3])
def test_regions_are_what_the_units_of_the_next_layer_see(strides, padding, kernel_size):
    """The guidance is a convolution of the map itself: every region times the kernel must give its activation."""
    maps = _maps()[0]
    convolution = keras.layers.Conv2D(1, kernel_size, strides, padding, use_bias=False, dtype="float64")
    guidance = np.array(convolution(maps))
    layer = CrossLayerPooling(None, kernel_size, strides, normalization=None, dtype="float64")
    kernel = convolution.kernel.numpy().reshape(-1)
    # sum_i (kernel . x_i) a_i over whole regions equals the sum of a_i^2 there.
    whole = np.array(layer([maps, guidance])) @ kernel
    expected = np.zeros(len(maps))
    for i, j in np.ndindex(*guidance.shape[1:3]):
        top = _corner(maps.shape[1], guidance.shape[1], kernel_size, strides, padding, i)
        left = _corner(maps.shape[2], guidance.shape[2], kernel_size, strides, padding, j)
        if 0 <= top <= maps.shape[1] - kernel_size and 0 <= left <= maps.shape[2] - kernel_size:
            expected += guidance[:, i, j, 0] ** 2
    assert expected.all()
    np.testing.assert_allclose(whole, expected, rtol=1e-10)


@pytest.mark.parametrize(("strides", "padding"), SIDES)
@pytest.mark.parametrize("z_score", [False, True])
def test_is_a_loop_over_positions_and_channels(strides, padding, z_score):
    maps = _maps(strides, padding)
    raw, normalized = _loop(*maps, strides, padding, z_score=z_score)
    for normalization, expected in ((None, raw), ("improved", normalized)):
        layer = CrossLayerPooling(None, 3, strides, z_score, normalization, dtype="float64")
        np.testing.assert_allclose(layer(maps), expected, rtol=0, atol=1e-12 * np.abs(expected).max())
        assert layer.output_dim == 3 * 36


@pytest.mark.parametrize(("strides", "padding"), SIDES)
def test_with_pca_is_a_loop_too(strides, padding):
    train, maps = _maps(strides, padding, images=40, seed=9), _maps(strides, padding)
    layer = _adapted(train, strides=strides)
    rows = []
    for one in train[0]:
        for i, j in np.ndindex(*train[1].shape[1:3]):
            top = _corner(7, train[1].shape[1], 3, strides, padding, i)
            left = _corner(6, train[1].shape[2], 3, strides, padding, j)
            if 0 <= top <= 4 and 0 <= left <= 3:
                rows.append(one[top : top + 3, left : left + 3].reshape(-1))
    pca = PCA(5, svd_solver="full").fit(np.array(rows))
    assert int(layer.seen) == len(rows)
    _, expected = _loop(*maps, strides, padding, project=lambda x: pca.transform(x[np.newaxis])[0])
    np.testing.assert_allclose(layer(maps), expected, rtol=0, atol=1e-5)  # the directions are kept in float32
    assert layer.output_dim == 15


def test_adapt_draws_regions_and_takes_any_stream():
    maps = [one.astype("float32") for one in _maps(images=30, seed=9)]
    labels = np.arange(30)
    whole = CrossLayerPooling(5)
    whole.adapt([maps], regions_per_image=4)
    assert int(whole.seen) == 120
    parts = [[maps[0][:11], maps[1][:11]], [maps[0][11:], maps[1][11:]]]
    streams = [
        parts,
        iter(parts),
        [(tuple(part), labels) for part in parts],
        tf.data.Dataset.from_tensor_slices(((*maps,),)).batch(7),
        tf.data.Dataset.from_tensor_slices((tuple(maps), labels)).batch(7),
    ]
    for stream in streams:
        layer = CrossLayerPooling(5)
        layer.adapt(stream, regions_per_image=4)
        np.testing.assert_allclose(layer.directions, whole.directions, atol=1e-5)
    other = CrossLayerPooling(5, seed=1)
    other.adapt([maps], regions_per_image=4)
    assert not np.allclose(other.directions, whole.directions, atol=1e-3)


def test_mask_drops_positions_whatever_they_hold():
    layer, maps = _adapted(), _maps()
    keep = np.random.default_rng(0).random((3, 7, 6)) < 0.5
    keep[2] = False
    dropped = [maps[0], np.where(keep[..., np.newaxis], maps[1], 0.0)]
    expected = np.array(layer(dropped))
    broken = [maps[0].copy(), np.where(keep[..., np.newaxis], maps[1], np.nan)]
    broken[0][2] = np.nan
    vectors = np.array(layer(broken, mask=keep))
    np.testing.assert_allclose(vectors, expected, rtol=1e-12, atol=1e-15)
    assert not vectors[2].any()
    assert vectors[:2].any(axis=1).all()
    with pytest.raises(ValueError, match=r"`mask` must be boolean \(batch, H2, W2\). Received: shape=\(3, 42\)"):
        layer(maps, mask=keep.reshape(3, 42))


@pytest.mark.parametrize("components", [5, None])
@pytest.mark.parametrize("case", ["zero", "zero guidance", "one region", "constant"])
def test_degenerate_maps_have_finite_vectors_and_gradients(case, components):
    maps = _maps()
    if case == "zero":
        maps = [one * 0 for one in maps]
    elif case == "zero guidance":
        maps[1] *= 0
    elif case == "one region":
        maps = [maps[0][:, :3, :3], maps[1][:, :1, :1]]
    else:
        maps = [np.ones_like(one) for one in maps]
    layer = CrossLayerPooling(None, z_score=True) if components is None else _adapted(dtype="float32")
    inputs = [tf.constant(one, "float32") for one in maps]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        vectors = layer(inputs)
    assert np.isfinite(vectors).all()
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(vectors, inputs))
    # A constant vector has a z-score of zero.
    assert np.array(vectors).any() == (case == "one region" or (case == "constant" and components is not None))


def test_is_differentiable_with_respect_to_both_maps():
    layer, maps = _adapted(), [tf.constant(one + 0.1) for one in _maps(images=1)]
    direction = np.random.default_rng(0).normal(size=(1, 15))
    with tf.GradientTape() as tape:
        tape.watch(maps)
        value = tf.reduce_sum(layer(maps) * direction)
    for which, gradient in enumerate(tape.gradient(value, maps)):
        step = np.zeros(gradient.shape)
        step[0, 3, 2, 1] = 1e-6
        both = [[m + sign * step if i == which else m for i, m in enumerate(maps)] for sign in (1, -1)]
        numeric = np.sum((np.array(layer(both[0])) - np.array(layer(both[1]))) * direction) / 2e-6
        np.testing.assert_allclose(gradient[0, 3, 2, 1], numeric, rtol=1e-5)


@pytest.mark.parametrize("strides", [1, 2])
def test_maps_of_any_size_in_a_saved_and_an_exported_model(strides, tmp_path):
    inputs = [keras.Input((None, None, 4)), keras.Input((None, None, 3))]
    layer = _adapted(_maps(strides, images=30, seed=9), strides=strides, dtype="float32")
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, 15)
    model.save(tmp_path / "model.keras")
    model.export(tmp_path / "exported", verbose=False)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    served = tf.saved_model.load(tmp_path / "exported")
    for sides in ((7, 6), (8, 9), (5, 6)):
        maps = [one.astype("float32") for one in _maps(strides, sides=sides)]
        expected = layer(maps)
        assert np.array(expected).any()
        np.testing.assert_allclose(loaded(maps), expected, atol=1e-6)
        np.testing.assert_allclose(served.serve(maps), expected, atol=1e-6)


def test_calling_before_adapt():
    layer = CrossLayerPooling(5)
    with pytest.raises(ValueError, match="`CrossLayerPooling` has no principal components yet: call `adapt`"):
        layer(_maps())
    assert not layer.is_adapted
    assert CrossLayerPooling(None).is_adapted
    with pytest.raises(ValueError, match="`output_dim` depends on the channels of the input"):
        _ = CrossLayerPooling(5).output_dim


def test_failed_adapt_keeps_what_was_there():
    layer = _adapted()
    before = layer.get_weights()
    maps = _maps()
    for bad, message in (
        ([[maps[0] * np.nan, maps[1]]], "vectors hold NaN or infinite values"),
        ([[maps[0][:, :3, :3], maps[1][:, :1, :1]]], "3 rows of length 36 have at most 2 principal components"),
        ([[np.ones_like(maps[0]), maps[1]]], "The data vary in 0 directions only"),
        ([(maps[0], np.arange(3))], "takes batches that are pairs of activation maps"),
        (tuple(maps), "takes batches that are pairs of activation maps"),  # of a tuple, the first is the inputs
        ([maps[0]], "takes batches that are pairs of activation maps"),
        ([], "The data set is empty: there is nothing to adapt to"),
    ):
        with pytest.raises(ValueError, match=message):
            layer.adapt(bad)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_wrong_arguments_and_maps():
    for name in ("num_components", "kernel_size", "strides"):
        with pytest.raises(ValueError, match=f"`{name}` must be a positive integer. Received: {name}=0"):
            CrossLayerPooling(**{name: 0})
    maps = _maps()
    with pytest.raises(ValueError, match="at most 36 principal components. Received: num_components=37"):
        CrossLayerPooling(37).build([(None, 7, 6, 4), (None, 7, 6, 3)])
    for wrong in ([(3, 7, 6, 4)], [(3, 7, 6, 4), (3, 42, 3)], (3, 7, 6, 4)):
        with pytest.raises(ValueError, match="expects a pair of activation maps"):
            CrossLayerPooling(5).build(wrong)
    for other in (maps[1][:, :4, :3], maps[1][:, :6]):
        with pytest.raises(ValueError, match="must be what a convolution of `kernel_size=3` and `strides=1` makes"):
            _adapted()([maps[0], other])
    with pytest.raises(ValueError, match="see one whole region at least"):
        _adapted()([maps[0][:, :2, :2], maps[1][:, :2, :2]])
    with pytest.raises(ValueError, match="see one whole region at least"):
        _adapted(strides=2)([maps[0][:, :3, :3], maps[1][:, :2, :2]])  # every region reaches over the border


def test_sums_in_float32_under_mixed_precision():
    maps = [np.full((1, 4, 4, 1), 1e3, "float32"), np.full((1, 4, 4, 1), 1e3, "float32")]
    vectors = CrossLayerPooling(None, normalization=None, dtype="mixed_float16")(maps)
    np.testing.assert_allclose(vectors, np.full((1, 9), 4e6), rtol=1e-6)
