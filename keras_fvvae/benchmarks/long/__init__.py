"""Measurements of minutes to hours, each a command of its own: `python -m keras_fvvae.benchmarks.long.NAME`."""
