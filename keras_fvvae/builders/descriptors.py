"""What becomes of an activation map before a representation takes it, as a plan that model and reader share."""

from __future__ import annotations

import dataclasses

import keras

from keras_fvvae import layers

DESCRIPTORS, MAP, PAIR = "descriptors", "map", "pair"


@dataclasses.dataclass(frozen=True)
class DescriptorPlan:
    """From an activation map to the descriptors of a representation.

    The model does it by layers (`build`). A reader that draws a few descriptors of a cached map before the model sees
    it (`keras_fvvae.training.inputs.sampled`) does the same with the layers that this plan makes.

    Attributes:
        takes: what the representation takes: `"descriptors"`, a `"map"`, or a `"pair"` of maps.
        scheme, scale: of `DescriptorNormalization`.
        levels: of the spatial pyramid whose cells are the descriptors; `None`: every position of the map is one.
        pooling: of the pyramid's cells.
        count: descriptors that a training step keeps of an image; `None` for all.
        seed: of their choice.

    Example:
        >>> plan = DescriptorPlan(levels=(2, 1))
        >>> plan.build((4, 4, 8)).output_shape
        (None, 5, 8)
        >>> DescriptorPlan(count=5).samples_positions, plan.samples_positions
        (True, False)
    """

    takes: str = DESCRIPTORS
    scheme: str = "map"
    scale: float | None = None
    levels: tuple[int, ...] | None = None
    pooling: str = "max"
    count: int | None = None
    seed: int | None = None

    @property
    def samples_positions(self) -> bool:
        """Whether a training step keeps some positions of the map and needs no others, but for the map's norm."""
        return self.takes == DESCRIPTORS and self.levels is None and self.count is not None

    def normalization(self) -> layers.DescriptorNormalization:
        """The layer that scales a map or its descriptors."""
        return layers.DescriptorNormalization(self.scheme, self.scale)

    def sampling(self) -> layers.DescriptorSampling:
        """The layer that draws descriptors."""
        return layers.DescriptorSampling(self.count, seed=self.seed)

    def build(self, shape: tuple[int, ...]) -> keras.Model:
        """The model from activation maps `(batch, *shape)` to what the representation takes."""
        inputs, normalization = keras.Input(shape), self.normalization()
        if self.takes == PAIR:
            joined = normalization(inputs)
            half = shape[-1] // 2
            return keras.Model(inputs, [joined[..., :half], joined[..., half:]], name="descriptors")
        parts = [inputs, normalization]
        if self.takes == DESCRIPTORS:
            if self.levels is None:
                parts.append(keras.layers.Reshape((-1, shape[-1])))
            else:
                parts.append(layers.SpatialPyramidPooling(self.levels, self.pooling))
            if self.count is not None:
                parts.append(self.sampling())
        return keras.Sequential(parts, name="descriptors")
