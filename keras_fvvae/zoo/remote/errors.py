"""Why something is not to be had from elsewhere, as far as callers go on differently."""

from keras_fvvae.errors import WeightsError


class MissingError(WeightsError):
    """The server answered that it has no such file."""


class NetworkError(WeightsError):
    """The server cannot be reached, does not answer in time, or broke the connection."""
