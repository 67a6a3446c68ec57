"""GMM Fisher vectors and VLAD beside VLFeat's and scikit-image's encoders: same descriptors, same codebook."""

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_fvvae.benchmarks.harness.rounds import absent_row, time_rounds, time_rows
from keras_fvvae.layers import VLAD, GMMFisherVector

LAYER = "layer, batch"
# Module of a peer, and what installs it.
PACKAGES = {"VLFeat": ("cyvlfeat", "cyvlfeat"), "scikit-image": ("skimage", "scikit-image")}


def measure(rounds: int, images: int, descriptors: Sequence[int], channels: int, components: int) -> list[dict]:
    """Rows for so many `descriptors` an image (a list), a mixture of `components`, twice as many centroids."""
    rows = []
    for count in descriptors:
        batch = unit_descriptors(images, count, channels)
        for name, jobs in (
            ("GMM Fisher vector", mixture_jobs(batch, components)),
            ("VLAD", vlad_jobs(batch, 2 * components)),
        ):
            differences = differences_from_layer(jobs)
            notes = {what: f"largest difference {value:.0e}" for what, value in differences.items() if what != LAYER}
            timings = time_rounds(jobs, rounds)
            rows += time_rows(timings, LAYER, "ms an image", images, f"{name}, {count} descriptors", notes=notes)
    return rows + [
        absent_row(f"{peer}'s encoders", f"not installed: pip install {package}")
        for peer, (module, package) in PACKAGES.items()
        if not importlib.util.find_spec(module)
    ]


def unit_descriptors(images: int, count: int, channels: int) -> np.ndarray:
    """Random descriptors `(images, count, channels)` of unit length."""
    batch = np.random.default_rng(0).normal(size=(images, count, channels)).astype("float32")
    return batch / np.linalg.norm(batch, axis=-1, keepdims=True)


def differences_from_layer(jobs: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Largest difference of each job's vectors from the layer's, relative to the layer's largest value."""
    results = {what: np.array([np.ravel(vector) for vector in job()]) for what, job in jobs.items()}
    largest = np.abs(results[LAYER]).max()
    return {what: float(np.abs(vectors - results[LAYER]).max() / largest) for what, vectors in results.items()}


def mixture_jobs(images: np.ndarray, components: int) -> dict[str, Callable[[], Any]]:
    """Dictionary from a name to a function that returns the normalised GMM Fisher vectors of all images."""
    layer = GMMFisherVector(components, "improved")
    rng = np.random.default_rng(1)
    rows = images.reshape(-1, images.shape[-1])
    means = rows[rng.choice(len(rows), components, replace=len(rows) < components)]
    variances = rng.uniform(0.5, 2.0, means.shape).astype("float32") / images.shape[-1]
    priors = rng.dirichlet(np.full(components, 20.0)).astype("float32")
    layer.set_mixture(priors, means, variances, len(rows))
    jobs = _layer_jobs(layer, images)
    if importlib.util.find_spec("cyvlfeat"):
        from cyvlfeat.fisher import fisher

        jobs["VLFeat"] = lambda: [fisher(image, means, variances, priors, improved=True) for image in images]
    if importlib.util.find_spec("skimage"):
        from skimage.feature import fisher_vector
        from sklearn.mixture import GaussianMixture

        fitted = GaussianMixture(components, covariance_type="diag")
        fitted.means_, fitted.covariances_, fitted.weights_ = means, variances, priors
        fitted.precisions_cholesky_ = 1 / np.sqrt(variances)

        def skimage():
            # Its layout is [pi, mu, sigma], sigma negated: mended, and scaled and normalised like the others.
            vectors = [fisher_vector(i, fitted, improved=False) for i in images]
            size = means.size
            raw = np.array([np.r_[v[components : components + size], -v[components + size :]] for v in vectors])
            raw = np.sign(raw) * np.sqrt(np.abs(raw))
            return raw / np.linalg.norm(raw, axis=1, keepdims=True)

        jobs["scikit-image"] = skimage
    return jobs


def vlad_jobs(images: np.ndarray, centroids: int) -> dict[str, Callable[[], Any]]:
    """Dictionary from a name to a function that returns the L2-normalised VLAD of all images."""
    layer = VLAD(centroids, "l2")
    rows = images.reshape(-1, images.shape[-1])
    chosen = np.random.default_rng(1).choice(len(rows), centroids, replace=len(rows) < centroids)
    layer.build((None, None, images.shape[-1]))
    layer.centroids.assign(rows[chosen])
    layer.seen.assign(len(rows))
    jobs = _layer_jobs(layer, images)
    if importlib.util.find_spec("cyvlfeat"):
        from cyvlfeat.vlad import vlad

        codebook, ones = np.ascontiguousarray(rows[chosen]), np.eye(centroids, dtype="float32")
        norms = np.square(codebook).sum(axis=1)

        def vlfeat():
            # The square of the descriptor is the same for all centroids.
            return [vlad(image, codebook, ones[(norms - 2 * image @ codebook.T).argmin(axis=1)]) for image in images]

        jobs["VLFeat, assigned by NumPy"] = vlfeat
    return jobs


def _layer_jobs(layer, images):
    encode = tf.function(layer, reduce_retracing=True, autograph=False)
    tensors = tf.constant(images)  # what a backbone gives; the peers get arrays, as they take them
    return {
        LAYER: lambda: encode(tensors).numpy(),
        "layer, one image": lambda: np.concatenate([encode(one[None]).numpy() for one in tensors]),
    }
