"""Cross-convolutional-layer pooling of two consecutive convolution layers."""

import keras
import numpy as np
from keras import ops

from keras_fvvae.fitting.principal_components import Covariance
from keras_fvvae.layers.descriptor_inputs import require_built, wide_dtype
from keras_fvvae.ops import cross_layer
from keras_fvvae.ops.tensors import holds_values
from keras_fvvae.utils.progress import track


@keras.saving.register_keras_serializable(package="keras_fvvae")
class CrossLayerPooling(keras.layers.Layer):
    """Represents an image by local features of one convolution layer, pooled by each channel of the next (scheme 1).

        P_k = sum_i x_i a_ik

    `a_ik` is the activation of channel k of layer t + 1 at position i, and `x_i` what that unit looks at: the region of
    `kernel_size x kernel_size` positions of layer t under its convolution, as one vector, reduced by PCA. Positions
    whose region reaches over the border are left out. Then every P_k is brought to unit length, the signed square root
    is taken, and the whole is brought to unit length. PCA is fitted by `adapt` and then one convolution.

    For scheme 2, fully-connected activations of dense regions with a learnt guidance, see `LearntGuidancePooling`.

    Args:
        components: principal components kept of a region's `kernel_size^2 * C1` numbers; `None` for the numbers
            themselves, without PCA and without `adapt`. Default 500: with the 512 channels of VGG, a ninth of 4,608.
        kernel_size: side of the convolution between the two layers, and so of a region. Default 3.
        strides: of the convolution between the two layers. Default 1. Its padding, "same" or "valid", shows in the
            sizes of the two maps.
        z_score: whether the vector is brought to mean zero and standard deviation one over its dimensions before it is
            normalised, as one port does. Default `False`.
        normalize: whether the normalisations follow. Default `True`; `False` returns the sums.
        seed: integer for the draw of the regions that PCA sees.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Call arguments:
        inputs: pair of activation maps, of layer t and of layer t + 1.
        mask: optional boolean `(batch, H2, W2)`; positions of layer t + 1 where it is false contribute nothing.

    Input shape:
        `[(batch, H1, W1, C1), (batch, H2, W2, C2)]`, with `H2 = ceil(H1 / strides)` (padding "same") or
        `floor((H1 - kernel_size) / strides) + 1` ("valid"), and the same for W.

    Output shape:
        `(batch, C2 * components)`, channel by channel of layer t + 1.

    Raises:
        ValueError: for wrong arguments and maps; when called eagerly before `adapt` or a load, unless
            `components=None`.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> maps = [rng.random((4, 14, 14, 16)).astype("float32"), rng.random((4, 14, 14, 8)).astype("float32")]
        >>> layer = CrossLayerPooling(components=20)
        >>> layer.adapt([maps])
        >>> layer(maps).shape, layer.output_dimension
        (TensorShape([4, 160]), 160)

    Reference:
        Liu, Shen, van den Hengel: "The treasure beneath convolutional layers: Cross-convolutional-layer pooling for
        image classification", CVPR 2015.
    """

    def __init__(self, components=500, kernel_size=3, strides=1, z_score=False, normalize=True, seed=0, **kwargs):
        # Cast in `call`, to float32: sums of products of activations overflow float16.
        super().__init__(autocast=False, **kwargs)
        sizes = {"components": components, "kernel_size": kernel_size, "strides": strides}
        for name, size in sizes.items():
            if (name, size) != ("components", None) and (not isinstance(size, int) or size < 1):
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={size!r}")
        self.components = components
        self.kernel_size = kernel_size
        self.strides = strides
        self.z_score = z_score
        self.normalize = normalize
        self.seed = seed
        self.supports_masking = True

    def build(self, input_shape):
        self._check_shapes(input_shape)
        channels = [shape[-1] for shape in input_shape]
        length = self.kernel_size**2 * channels[0]
        if self.components is not None:
            if self.components > length:
                raise ValueError(
                    f"A region of {self.kernel_size} x {self.kernel_size} x {channels[0]} numbers has at most {length} "
                    f"principal components. Received: components={self.components}"
                )
            self.mean = self._constant("mean", (length,))
            self.directions = self._constant("directions", (length, self.components))
            # Regions adapted to; 0 marks a layer without components. Saved, unlike a Python attribute.
            self.regions_seen = self._constant("regions_seen", (), "int64")
        self.input_spec = [keras.layers.InputSpec(ndim=4, axes={-1: count}) for count in channels]
        self.built = True

    @property
    def is_adapted(self):
        """Whether the layer holds principal components (always true for `components=None`)."""
        return self.components is None or (self.built and int(self.regions_seen) > 0)

    @property
    def output_dimension(self):
        """Length of a representation; known once the layer is built."""
        require_built(self)
        features, guidance = (spec.axes[-1] for spec in self.input_spec)
        return guidance * self._feature_length(features)

    def adapt(self, dataset, regions_per_image=32, verbose=0):
        """Fits PCA to regions drawn from a training set, in one pass; memory does not grow with it.

        Args:
            dataset: pairs of maps of the TRAINING set: one pair, or a `tf.data.Dataset` or other iterable of pairs
                `(maps, guidance)` or of tuples that start with a pair, `((maps, guidance), labels)`.
            regions_per_image: regions drawn of every image, without replacement; `None` for all of them. The default
                keeps the covariance of 4,608 numbers cheap, and its time below that of the backbone.
            verbose: 1 for a progress bar.

        Raises:
            ValueError: for batches that are no pairs of maps, NaN or infinite regions, and fewer regions than
                `components + 1`. The layer stays as it was.
        """
        if self.components is None:
            return  # nothing to fit
        rng = np.random.default_rng(self.seed)
        covariance, shapes = Covariance(), None
        batches = [dataset] if _is_pair_of_maps(dataset) else dataset
        for batch in track(batches, "Regions", enabled=bool(verbose)):
            pair = batch if _is_pair_of_maps(batch) else batch[0] if isinstance(batch, (tuple, list)) else None
            if not _is_pair_of_maps(pair):
                raise ValueError(
                    "`adapt` of `CrossLayerPooling` takes batches that are pairs of activation maps, (maps, guidance) "
                    "or ((maps, guidance), labels)."
                )
            shapes = [tuple(one.shape) for one in pair]
            self._check_shapes(shapes)
            covariance.update(self._drawn_regions(pair[0], shapes[1], regions_per_image, rng))
        found = covariance.components(self.components)
        if not self.built:
            self.build([(None, None, None, shape[-1]) for shape in shapes])
        self.mean.assign(found.mean)
        self.directions.assign(found.directions)
        self.regions_seen.assign(covariance.count)

    def call(self, inputs, mask=None):
        if holds_values(inputs[0]) and not self.is_adapted:
            raise ValueError("This `CrossLayerPooling` has no principal components yet: call `adapt` on maps first.")
        self._check_shapes([one.shape for one in inputs])
        maps, guidance = (ops.cast(one, wide_dtype(self)) for one in inputs)
        corners, firsts, counts = self._positions(_sides(maps), _sides(guidance))
        maps = maps[:, corners[0] :, corners[1] :]
        features = self._features(maps, counts)  # (batch, *counts, components)
        guidance = _window(guidance, firsts, counts)
        if isinstance(mask, (list, tuple)):  # Keras collects those of a pair
            mask = mask[-1]
        if mask is not None:
            mask = ops.convert_to_tensor(mask)
            if len(mask.shape) != 3:
                raise ValueError(f"`mask` must be boolean (batch, H2, W2). Received: shape={tuple(mask.shape)}")
            mask = _flat(ops.expand_dims(_window(mask, firsts, counts), -1))[..., 0]
        blocks = cross_layer.guided_pool(_flat(features), _flat(guidance), mask)  # (batch, C2, components)
        if self.z_score:
            blocks = cross_layer.standardize(blocks)
        if self.normalize:
            blocks = cross_layer.normalize_blocks(blocks)
        return ops.reshape(blocks, (-1, blocks.shape[1] * blocks.shape[2]))

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        self._check_shapes(input_shape)
        (batch, *_, features), (*_, guidance) = input_shape
        return (batch, guidance * self._feature_length(features))

    def compute_output_spec(self, inputs, mask=None):
        return keras.KerasTensor(self.compute_output_shape([one.shape for one in inputs]), wide_dtype(self))

    def get_config(self):
        return {
            **super().get_config(),
            "components": self.components,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "z_score": self.z_score,
            "normalize": self.normalize,
            "seed": self.seed,
        }

    def _constant(self, name, shape, dtype=None):
        return self.add_weight(
            name=name, shape=shape, initializer="zeros", dtype=dtype, trainable=False, autocast=False
        )

    def _feature_length(self, channels):
        return self.kernel_size**2 * channels if self.components is None else self.components

    def _positions(self, sides, guidance_sides):
        """For both axes, as three lists: corner on layer t, first position on layer t + 1, number of positions."""
        found = [
            cross_layer.matched_positions(side, guidance_side, self.kernel_size, self.strides)
            for side, guidance_side in zip(sides, guidance_sides, strict=True)
        ]
        return [list(one) for one in zip(*found, strict=True)]

    def _features(self, maps, counts):
        if self.components is None:
            return cross_layer.regions(maps, self.kernel_size, self.strides, counts)
        directions, mean = (ops.cast(weight, maps.dtype) for weight in (self.directions, self.mean))
        return cross_layer.project_regions(maps, directions, mean, self.kernel_size, self.strides)

    def _drawn_regions(self, maps, guidance_shape, per_image, rng):
        """Regions `(n, kernel_size^2 * C1)` in NumPy; drawn before they are copied out of the overlapping windows."""
        maps = ops.convert_to_numpy(ops.cast(maps, wide_dtype(self)))
        corners, _, (rows, columns) = self._positions(maps.shape[1:3], guidance_shape[1:3])
        windows = np.lib.stride_tricks.sliding_window_view(maps, (self.kernel_size, self.kernel_size), axis=(1, 2))
        windows = windows[:, corners[0] :: self.strides, corners[1] :: self.strides]  # (batch, rows, columns, C1, k, k)
        drawn = []
        for image in windows:
            count = rows * columns if per_image is None else min(per_image, rows * columns)
            i, j = np.divmod(rng.permutation(rows * columns)[:count], columns)
            drawn.append(image[i, j].transpose(0, 2, 3, 1).reshape(count, -1))
        return np.concatenate(drawn)

    def _check_shapes(self, shapes):
        received = f"Received: shapes={[tuple(s) if hasattr(s, '__len__') else s for s in shapes]}"
        if len(shapes) != 2 or any(not hasattr(s, "__len__") or len(s) != 4 or s[-1] is None for s in shapes):
            raise ValueError(
                "`CrossLayerPooling` expects a pair of activation maps [(batch, H1, W1, C1), (batch, H2, W2, C2)] with "
                f"known numbers of channels. {received}"
            )
        for side, guidance_side in zip(shapes[0][1:3], shapes[1][1:3], strict=True):
            if side is None or guidance_side is None:
                continue
            sizes = {-(-side // self.strides), (side - self.kernel_size) // self.strides + 1}
            _, _, count = cross_layer.matched_positions(side, guidance_side, self.kernel_size, self.strides)
            if guidance_side not in sizes or count < 1:
                raise ValueError(
                    f"The second map must be what a convolution of `kernel_size={self.kernel_size}` and "
                    f"`strides={self.strides}` makes of the first, and see one whole region at least. {received}"
                )


def _is_pair_of_maps(structure):
    return (
        isinstance(structure, (tuple, list))
        and len(structure) == 2
        and all(len(getattr(one, "shape", ())) == 4 for one in structure)
    )


def _sides(maps):
    """Height and width: integers where they are static."""
    return ops.shape(maps)[1:3]


def _window(maps, firsts, counts):
    (top, left), (rows, columns) = firsts, counts
    return maps[:, top : top + rows, left : left + columns]


def _flat(maps):
    """Positions of a map in one axis."""
    _, height, width, channels = ops.shape(maps)
    return ops.reshape(maps, (-1, height * width, channels))
