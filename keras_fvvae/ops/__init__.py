"""Pure functions on `keras.ops`: the mathematics of FV-VAE, without weights or state."""
