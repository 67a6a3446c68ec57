"""Training that starts from another run, such as one without labels on other data."""

from __future__ import annotations

import os

import keras

from keras_fvvae.errors import WeightsError
from keras_fvvae.layers import FVVAELayer
from keras_fvvae.models import FisherEncoder
from keras_fvvae.runs.folder import RunFolder


class InitialRun:
    """A finished run whose backbone and FV-VAE another training starts from.

    Args:
        path: of the run.

    Raises:
        RunError, WeightsError: if it cannot be read.
    """

    def __init__(self, path: str | os.PathLike):
        self.run = RunFolder.open(path)
        self.path = self.run.path
        encoder = self.run.encoder()
        if not isinstance(encoder, FisherEncoder):
            raise WeightsError(
                f"The run {self.path} holds joined branches: start from one of them, below its branches/."
            )
        self.encoder = encoder

    def copy_backbone(self, backbone: keras.Model) -> None:
        """Gives a backbone the weights of the run's.

        Raises:
            WeightsError: if it is another backbone.
        """
        sources, targets = self.encoder.backbone.weights, backbone.weights
        shapes = [[tuple(variable.shape) for variable in variables] for variables in (sources, targets)]
        if shapes[0] != shapes[1]:
            raise WeightsError(self._another("backbone"))
        for source, target in zip(sources, targets, strict=True):
            target.assign(source)

    def copy_fvvae(self, fvvae: FVVAELayer) -> None:
        """Gives an `FVVAELayer` the encoder, decoder and variances of the run's; the class scores start fresh.

        Raises:
            WeightsError: if it is of another architecture.
        """
        source = getattr(self.encoder.head, "fvvae", None)
        if source is None:
            raise WeightsError(
                f"The run {self.path} holds another representation than FV-VAE: nothing can start from it."
            )
        self._copy_fvvae(source, fvvae, classes=False)

    def copy_whole_fvvae(self, fvvae: FVVAELayer) -> None:
        """Gives an `FVVAELayer` all weights of the run's, the class scores too.

        Raises:
            WeightsError: if it is of another architecture.
        """
        self._copy_fvvae(self.encoder.head.fvvae, fvvae, classes=True)

    @property
    def history(self) -> dict[str, list[float]]:
        """Of its losses."""
        return self.run.history

    @property
    def seconds_of_fit(self) -> float:
        """Of its training, Fisher statistics included."""
        return self.run.seconds["fit"]

    def _copy_fvvae(self, source, target, classes):
        try:
            target.copy_weights(source, classes)
        except ValueError as error:
            raise WeightsError(self._another("FV-VAE")) from error

    def _another(self, what):
        return (
            f"The {what} of {self.path} has another architecture than the recipe's: use the same backbone, tap, "
            f"latent_dim and hidden_units as there."
        )
