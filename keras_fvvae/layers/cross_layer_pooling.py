"""Cross-convolutional-layer pooling of two consecutive convolution layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fvvae.fitting.principal_components import Covariance
from keras_fvvae.layers.adapted import AdaptedLayer, add_constant
from keras_fvvae.layers.descriptor_inputs import check_normalization, require_built, wide_dtype
from keras_fvvae.layers.old_names import with_new_names
from keras_fvvae.ops import cross_layer
from keras_fvvae.utils.batches import read_batches


@keras.saving.register_keras_serializable(package="keras_fvvae")
class CrossLayerPooling(AdaptedLayer):
    """Represents an image by local features of one convolution layer, pooled by each channel of the next (scheme 1).

        P_k = sum_i x_i a_ik

    `a_ik` is the activation of channel k of layer t + 1 at position i, and `x_i` what that unit looks at: the region of
    `kernel_size x kernel_size` positions of layer t under its convolution, as one vector, reduced by PCA. Positions
    whose region reaches over the border are left out. Then every P_k is brought to unit length, the signed square root
    is taken, and the whole is brought to unit length. PCA is fitted by `adapt` and then one convolution.

    For scheme 2, fully-connected activations of dense regions with a learnt guidance, see `LearntGuidancePooling`.

    Args:
        num_components: principal components kept of a region's `kernel_size^2 * C1` numbers; `None` for the numbers
            themselves, without PCA and without `adapt`. Default 500: with the 512 channels of VGG, a ninth of 4,608.
        kernel_size: side of the convolution between the two layers, and so of a region. Default 3.
        strides: of the convolution between the two layers. Default 1. Its padding, "same" or "valid", shows in the
            sizes of the two maps.
        z_score: whether the vector is brought to mean zero and standard deviation one over its dimensions before it is
            normalised, as one port does. Default `False`.
        normalization: `"improved"` (default): the normalisations follow; `None`: the sums.
        seed: integer for the draw of the regions that PCA sees.
        **kwargs: `keras.layers.Layer` arguments (`name`, `dtype`).

    Call arguments:
        inputs: pair of activation maps, of layer t and of layer t + 1.
        mask: optional boolean `(batch, H2, W2)`; positions of layer t + 1 where it is false contribute nothing.

    Input shape:
        `[(batch, H1, W1, C1), (batch, H2, W2, C2)]`, with `H2 = ceil(H1 / strides)` (padding "same") or
        `floor((H1 - kernel_size) / strides) + 1` ("valid"), and the same for W.

    Output shape:
        `(batch, C2 * num_components)`, channel by channel of layer t + 1.

    Raises:
        ValueError: for wrong arguments and maps; when called eagerly before `adapt` or a load, unless
            `num_components=None`.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> maps = [rng.random((4, 14, 14, 16)).astype("float32"), rng.random((4, 14, 14, 8)).astype("float32")]
        >>> layer = CrossLayerPooling(num_components=20)
        >>> layer.adapt([maps])
        >>> layer(maps).shape, layer.output_dim
        (TensorShape([4, 160]), 160)

    Reference:
        Liu, Shen, van den Hengel: "The treasure beneath convolutional layers: Cross-convolutional-layer pooling for
        image classification", CVPR 2015.
    """

    counted = "regions"
    fitted = "principal components"
    adapted_to = "maps"

    def __init__(
        self,
        num_components: int | None = 500,
        kernel_size: int = 3,
        strides: int = 1,
        z_score: bool = False,
        normalization: str | None = "improved",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        # Cast in `call`, to float32: sums of products of activations overflow float16.
        super().__init__(autocast=False, **kwargs)
        sizes = {"num_components": num_components, "kernel_size": kernel_size, "strides": strides}
        for name, size in sizes.items():
            if (name, size) != ("num_components", None) and (not isinstance(size, int) or size < 1):
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={size!r}")
        check_normalization(normalization)
        self.num_components = num_components
        self.kernel_size = kernel_size
        self.strides = strides
        self.z_score = z_score
        self.normalization = normalization
        self.seed = seed
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        self._check_shapes(input_shape)
        channels = [shape[-1] for shape in input_shape]
        length = self.kernel_size**2 * channels[0]
        if self.num_components is not None:
            if self.num_components > length:
                raise ValueError(
                    f"A region of {self.kernel_size} x {self.kernel_size} x {channels[0]} numbers has at most {length} "
                    f"principal components. Received: num_components={self.num_components}"
                )
            self.mean = add_constant(self, "mean", (length,))
            self.directions = add_constant(self, "directions", (length, self.num_components))
            self.add_counter()
        self.input_spec = [keras.layers.InputSpec(ndim=4, axes={-1: count}) for count in channels]
        self.built = True

    @property
    def needs_adapt(self) -> bool:
        """Only `num_components=None` does without data."""
        return self.num_components is not None

    @property
    def output_dim(self) -> int:
        """Length of a representation; known once the layer is built."""
        require_built(self)
        features, guidance = (spec.axes[-1] for spec in self.input_spec)
        return guidance * self._feature_length(features)

    def adapt(self, data: Any, verbose: int = 0, *, regions_per_image: int | None = 32) -> None:
        """Fits PCA to regions drawn from a training set, in one pass; memory does not grow with it.

        Args:
            data: a `tf.data.Dataset` or other iterable of batches of the TRAINING set. A batch is a pair of maps as a
                list `[maps, guidance]`, or a tuple `(pair, *rest)` of which the rest is left aside, as in
                `((maps, guidance), labels)`.
            verbose: 1 for a progress bar.
            regions_per_image: regions drawn of every image, without replacement; `None` for all of them. The default
                keeps the covariance of 4,608 numbers cheap, and its time below that of the backbone.

        Raises:
            ValueError: for batches that are no pairs of maps, NaN or infinite regions, and fewer regions than
                `num_components + 1`. The layer stays as it was.
        """
        if not self.needs_adapt:
            return  # nothing to fit
        rng = np.random.default_rng(self.seed)
        covariance, shapes = Covariance(), None
        for pair, mask in read_batches(data, "Regions", verbose):
            if not _is_pair_of_maps(pair) or mask is not None:
                raise ValueError(
                    "`adapt` of `CrossLayerPooling` takes batches that are pairs of activation maps, [maps, guidance] "
                    "or ((maps, guidance), labels), without a mask."
                )
            shapes = [tuple(one.shape) for one in pair]
            self._check_shapes(shapes)
            covariance.update(self._drawn_regions(pair[0], shapes[1], regions_per_image, rng))
        found = covariance.components(self.num_components)
        if not self.built:
            self.build([(None, None, None, shape[-1]) for shape in shapes])
        self.mean.assign(found.mean)
        self.directions.assign(found.directions)
        self.seen.assign(covariance.count)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        self.require_adapted(inputs[0])
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
        if self.normalization is not None:
            blocks = cross_layer.normalize_blocks(blocks)
        return ops.reshape(blocks, (-1, blocks.shape[1] * blocks.shape[2]))

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int]:
        self._check_shapes(input_shape)
        (batch, *_, features), (*_, guidance) = input_shape
        return (batch, guidance * self._feature_length(features))

    def compute_output_spec(self, inputs: Any, mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape([one.shape for one in inputs]), wide_dtype(self))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_components": self.num_components,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "z_score": self.z_score,
            "normalization": self.normalization,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CrossLayerPooling:
        return super().from_config(with_new_names(config))

    def _feature_length(self, channels: int) -> int:
        return self.kernel_size**2 * channels if self.num_components is None else self.num_components

    def _positions(self, sides: Sequence, guidance_sides: Sequence) -> list[list]:
        """For both axes, as three lists: corner on layer t, first position on layer t + 1, number of positions."""
        found = [
            cross_layer.matched_positions(side, guidance_side, self.kernel_size, self.strides)
            for side, guidance_side in zip(sides, guidance_sides, strict=True)
        ]
        return [list(one) for one in zip(*found, strict=True)]

    def _features(self, maps: Any, counts: Sequence) -> Any:
        if self.num_components is None:
            return cross_layer.regions(maps, self.kernel_size, self.strides, counts)
        directions, mean = (ops.cast(weight, maps.dtype) for weight in (self.directions, self.mean))
        return cross_layer.project_regions(maps, directions, mean, self.kernel_size, self.strides)

    def _drawn_regions(
        self, maps: np.ndarray, guidance_shape: Sequence[int], per_image: int | None, rng: np.random.Generator
    ) -> np.ndarray:
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

    def _check_shapes(self, shapes: Any) -> None:
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


def _is_pair_of_maps(structure: Any) -> bool:
    return (
        isinstance(structure, (tuple, list))
        and len(structure) == 2
        and all(len(getattr(one, "shape", ())) == 4 for one in structure)
    )


def _sides(maps: Any) -> tuple:
    """Height and width: integers where they are static."""
    return ops.shape(maps)[1:3]


def _window(maps: Any, firsts: Sequence, counts: Sequence) -> Any:
    (top, left), (rows, columns) = firsts, counts
    return maps[:, top : top + rows, left : left + columns]


def _flat(maps: Any) -> Any:
    """Positions of a map in one axis."""
    _, height, width, channels = ops.shape(maps)
    return ops.reshape(maps, (-1, height * width, channels))
