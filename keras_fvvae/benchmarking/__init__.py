"""Measurements of this library against peers and bounds, each a ratio within one run: `keras-fvvae benchmark`."""
