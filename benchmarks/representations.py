"""Encoding of descriptors: this library's layers beside VLFeat's and scikit-image's encoders, on the CPU.

All encode the same descriptors with the same codebook, in rounds of random order; compared are the time per image
and whether the results are the same. VLFeat takes one image at a time, and so do the layers in the row "one image"; the
row "batch" is how a data set is encoded. Peers that are not installed are left out and said so:

    pip install cyvlfeat scikit-image
    python benchmarks/representations.py
"""

import argparse
import importlib.util
import platform
import random
import resource
import time

import numpy as np

BATCH = 16


def main():
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--components", type=int, default=128, help="of the mixture; twice as many centroids")
    parser.add_argument("--descriptors", type=int, nargs="+", default=[50, 784])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory-images", type=int, nargs="+", default=[100, 1000], help="of the check of memory")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {_versions()}\n")
    print("| encoding | descriptors | what | ms an image (fastest - slowest) | of the layer, batch | difference |")
    print("| --- | --- | --- | --- | --- | --- |")
    for count in arguments.descriptors:
        rng = np.random.default_rng(0)
        images = rng.normal(size=(BATCH, count, arguments.channels)).astype("float32")
        images /= np.linalg.norm(images, axis=-1, keepdims=True)
        for name, jobs in (
            ("GMM Fisher vector", _mixture_jobs(images, arguments.components)),
            ("VLAD", _vlad_jobs(images, 2 * arguments.components)),
        ):
            _report(name, count, jobs, arguments.rounds)
    _memory(arguments)


def _mixture_jobs(images, components):
    """Dictionary from a name to `(function, images a call)`; the functions return normalised vectors."""
    from keras_fvvae.layers import GMMFisherVector

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

        def vlfeat():
            return [fisher(image, means, variances, priors, improved=True) for image in images]

        jobs["VLFeat"] = (vlfeat, BATCH)
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

        jobs["scikit-image"] = (skimage, BATCH)
    return jobs


def _vlad_jobs(images, centroids):
    from keras_fvvae.layers import VLAD

    layer = VLAD(centroids, "l2")
    rows = images.reshape(-1, images.shape[-1])
    chosen = np.random.default_rng(1).choice(len(rows), centroids, replace=len(rows) < centroids)
    layer.build((None, None, images.shape[-1]))
    layer.centroids.assign(rows[chosen])
    layer.descriptors_seen.assign(len(rows))
    jobs = _layer_jobs(layer, images)
    if importlib.util.find_spec("cyvlfeat"):
        from cyvlfeat.vlad import vlad

        codebook, ones = np.ascontiguousarray(rows[chosen]), np.eye(centroids, dtype="float32")
        norms = np.square(codebook).sum(axis=1)

        def vlfeat():
            # The square of the descriptor is the same for all centroids.
            return [vlad(image, codebook, ones[(norms - 2 * image @ codebook.T).argmin(axis=1)]) for image in images]

        jobs["VLFeat, assigned by NumPy"] = (vlfeat, BATCH)
    return jobs


def _layer_jobs(layer, images):
    import tensorflow as tf

    encode = tf.function(layer, reduce_retracing=True, autograph=False)
    tensors = tf.constant(images)  # what a backbone gives; the peers get arrays, as they take them
    return {
        "layer, batch": (lambda: encode(tensors).numpy(), BATCH),
        "layer, one image": (lambda: np.concatenate([encode(one[None]).numpy() for one in tensors]), BATCH),
    }


def _report(name, count, jobs, rounds):
    results = {what: np.array([np.ravel(v) for v in job()]) for what, (job, _) in jobs.items()}  # also warms up
    seconds = {what: [] for what in jobs}
    for _ in range(rounds):
        for what in random.sample(list(jobs), len(jobs)):
            job, images = jobs[what]
            start = time.perf_counter()
            job()
            seconds[what].append(1e3 * (time.perf_counter() - start) / images)
    reference = np.median(seconds["layer, batch"])
    for what, times in seconds.items():
        difference = np.abs(results[what] - results["layer, batch"]).max() / np.abs(results["layer, batch"]).max()
        print(
            f"| {name} | {count} | {what} | {np.median(times):.2f} ({min(times):.2f} - {max(times):.2f}) | "
            f"{np.median(times) / reference:.2f} | {difference:.0e} |"
        )


def _memory(arguments):
    """Peak memory after encoding so many images, one batch at a time: it must not grow with them."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(BATCH, 50, arguments.channels)).astype("float32")
    jobs = {
        "GMM Fisher vector": _mixture_jobs(images, arguments.components)["layer, batch"][0],
        "VLAD": _vlad_jobs(images, 2 * arguments.components)["layer, batch"][0],
    }
    print("\n| encoding | images | peak memory, MB |\n| --- | --- | --- |")
    for name, job in jobs.items():
        for total in arguments.memory_images:
            for _ in range(-(-total // BATCH)):
                job()
            print(f"| {name} | {total} | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} |")


def _versions():
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for package in ("tensorflow", "cyvlfeat", "scikit-image"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


if __name__ == "__main__":
    main()
