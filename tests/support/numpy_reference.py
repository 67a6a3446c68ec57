"""The paper in NumPy: float64, one descriptor and one dimension at a time, written from its text, not from the library.

Qiu et al., CVPR 2017: Algorithm 1 (losses), Eq. 11 (gradient), Section 4 (pooling, with the windows of the release).
"""

import math

import numpy as np


def randomize(layer, seed=0, scale=0.5):
    """Gives every weight of a built layer, the biases and the variances too, a random value."""
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(scale=scale, size=weight.shape) for weight in layer.get_weights()])
    return layer


def in_channels_of_their_own(x, draws):
    """Copies of `(batch, T, C)`, each with zeros but in its own C of `draws * C` channels: `(batch * draws, T, ...)`.

    A layer that draws numbers for every channel then meets each copy with others: so many draws in one call.
    """
    batch, count, channels = x.shape
    wide = np.zeros((batch, draws, count, draws, channels))
    wide[:, range(draws), :, range(draws)] = x
    return wide.reshape(batch * draws, count, draws * channels)


def firing(layer, descriptors):
    """Shares of the descriptors `(batch, T, C)` for which every ReLU of an `FVVAELayer` fires."""
    hidden, shares = np.array(descriptors), []
    for dense in [*layer.encoder[:-1], layer.encoder[-1], layer.decoder]:
        hidden = np.array(dense(hidden))
        if dense is not layer.encoder[-1]:
            shares.extend((hidden > 0).mean(axis=(0, 1)))
    return np.array(shares)


def pyramid_pooling(maps, levels, reduce):
    """Descriptors of maps `(batch, H, W, C)`: n x n windows for every level n, each of them cut out and reduced."""
    _, height, width, _ = maps.shape
    descriptors = []
    for level in levels:
        row_stride, column_stride = height // level, width // level
        rows, columns = height - row_stride * (level - 1), width - column_stride * (level - 1)
        for i in range(level):
            for j in range(level):
                top, left = i * row_stride, j * column_stride
                descriptors.append(reduce(maps[:, top : top + rows, left : left + columns], axis=(1, 2)))
    return np.stack(descriptors, axis=1)


class NumpyFVVAE:
    """The trained auto-encoder of an `FVVAELayer`, as plain float64 arrays."""

    def __init__(self, layer):
        def arrays(dense):
            return [weight.astype("float64") for weight in dense.get_weights()]

        self.hidden = [arrays(dense) for dense in layer.encoder[:-1]]
        self.mean = arrays(layer.encoder[-1])
        self.decoder = arrays(layer.decoder)
        self.classifier = None if layer.classifier is None else arrays(layer.classifier)
        self.x_variance = np.exp(layer.x_log_variance.numpy().astype("float64"))
        self.z_variance = np.exp(layer.z_log_variance.numpy().astype("float64"))
        self.activation = layer.hidden_activation

    def encode(self, x):
        """Algorithm 1, line 6, for one descriptor."""
        for kernel, bias in self.hidden:
            x = np.array(self.activation(x @ kernel + bias), "float64")
        kernel, bias = self.mean
        return x @ kernel + bias

    def decode(self, z):
        """Algorithm 1, line 8, for one latent vector."""
        kernel, bias = self.decoder
        return np.maximum(z @ kernel + bias, 0.0)

    def reconstruction_loss(self, x, z):
        """Line 9: the negative logarithm of the density of one descriptor."""
        loss = 0.0
        for value, mean, variance in zip(x, self.decode(z), self.x_variance, strict=True):
            density = math.exp(-((value - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
            loss -= math.log(density)
        return loss

    def regularization_loss(self, z_mean):
        """Line 10; both norms are meant to be squared, as the divergence of two Gaussians has it."""
        loss = 0.0
        for mean, variance in zip(z_mean, self.z_variance, strict=True):
            loss += 0.5 * mean**2 + 0.5 * variance - 0.5 * (1 + math.log(variance))
        return loss

    def class_scores(self, latents):
        """Scores of an image with the latent vectors `(T, D)`: for every class, that of its best descriptor."""
        kernel, bias = self.classifier
        best = np.full(len(bias), -np.inf)
        for z in latents:
            best = np.maximum(best, z @ kernel + bias)
        return best

    def classification_loss(self, latents, label):
        """Line 11: softmax cross-entropy of one image."""
        scores = self.class_scores(latents)
        return math.log(sum(math.exp(score - scores.max()) for score in scores)) + scores.max() - scores[label]

    def fisher_vector(self, descriptors):
        """Eq. 11, summed over the descriptors `(T, C)` of one image; the bias is the last column."""
        channels, latent_dim = descriptors.shape[1], len(self.mean[1])
        vector = np.zeros((channels, latent_dim + 1))
        for x in descriptors:
            z = self.encode(x)
            for c, mean in enumerate(self.decode(z)):
                if mean > 0:
                    gradient = (mean - x[c]) / self.x_variance[c]
                    vector[c, :latent_dim] += gradient * z
                    vector[c, latent_dim] += gradient
        return vector
