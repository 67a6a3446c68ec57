"""The closed form of Eq. 11 against automatic differentiation of the reconstruction loss."""

import numpy as np
import tensorflow as tf

from keras_fvvae.benchmarks.harness.rounds import time_rounds, time_rows
from keras_fvvae.layers import FisherVectorHead, FVVAELayer
from keras_fvvae.ops.gaussian import negative_log_likelihood

CLOSED_FORM = "FisherVectorHead, Eq. 11 in closed form"


def measure(rounds: int, images: int, descriptors: int, channels: int, latent_dim: int) -> list[dict]:
    """Rows of the head and of four ways to the same vectors with a tape; the largest difference is in the notes."""
    layer = FVVAELayer(latent_dim)
    head = FisherVectorHead(layer)
    batch = tf.constant(np.random.default_rng(0).random((images, descriptors, channels), np.float32))
    head(batch)  # builds
    jobs = {CLOSED_FORM: tf.function(head, autograph=False), **_tapes(layer)}
    reference = jobs[CLOSED_FORM](batch).numpy()
    notes = {
        name: f"largest difference {np.abs(job(batch).numpy() - reference).max() / np.abs(reference).max():.0e}"
        for name, job in jobs.items()
    }
    notes[CLOSED_FORM] = ""
    timed = {name: lambda job=job: job(batch).numpy() for name, job in jobs.items()}
    return time_rows(time_rounds(timed, rounds), CLOSED_FORM, "ms an image", images, notes=notes)


def _tapes(layer):
    kernel, bias = layer.decoder.kernel.value, layer.decoder.bias.value

    def loss(descriptors):
        """L_rec summed over descriptors `(..., T, C)`; the latent variables are constants, as in Eq. 11."""
        latent = tf.stop_gradient(layer.encode(descriptors))
        log_likelihood = negative_log_likelihood(descriptors, layer.decode(latent), layer.x_log_variance.value)
        return tf.reduce_sum(log_likelihood, axis=-1)

    def joined(gradients):
        # (..., D, C) and (..., C) to (..., C, D + 1)
        by_kernel, by_bias = gradients
        return tf.concat([tf.linalg.matrix_transpose(by_kernel), by_bias[..., tf.newaxis]], axis=-1)

    def of_one(descriptors):
        with tf.GradientTape() as tape:
            value = loss(descriptors[tf.newaxis])[0]
        return joined(tape.gradient(value, [kernel, bias]))

    def jacobian(batch):
        with tf.GradientTape() as tape:
            values = loss(batch)
        return joined(tape.jacobian(values, [kernel, bias]))

    def in_graph(function):
        return tf.function(function, autograph=False)

    return {
        "a tape for each image, Python loop": lambda batch: tf.stack([of_one(one) for one in batch]),
        "a tape for each image, loop in a graph": in_graph(lambda batch: tf.map_fn(of_one, batch)),
        "tape.jacobian": in_graph(jacobian),
        "tf.vectorized_map over a tape": in_graph(lambda batch: tf.vectorized_map(of_one, batch)),
    }
