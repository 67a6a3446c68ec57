"""Fits to streams of data, in float64: k-means, Gaussian mixtures, principal components, Fisher moments."""
