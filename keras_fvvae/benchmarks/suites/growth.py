"""How time grows with the number of descriptors of an image, and of vectors."""

import statistics
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_fvvae.benchmarks.harness.rounds import row, time_rounds
from keras_fvvae.benchmarks.suites.peers import LAYER, mixture_jobs, unit_descriptors, vlad_jobs
from keras_fvvae.layers import FisherNormalization, FisherVectorHead, FVVAELayer
from keras_fvvae.svm import OneVsRestSVM


def measure(
    rounds: int, counts: Sequence[int], channels: int, latent_dim: int, components: int, features: int, classes: int
) -> list[dict]:
    """Rows for every job and one of `counts`: time per entry against that at the smallest count.

    A ratio below 1 is growth slower than linear (fixed costs of a call); exponents are slopes of log time over log
    count.
    """
    rows = []
    for name, job_of in _jobs(channels, latent_dim, components, features, classes).items():
        timings = time_rounds({count: job_of(count) for count in counts}, rounds)
        smallest = timings[counts[0]]
        exponents = [_exponent(counts, timings, clock) for clock in ("seconds", "cpu_seconds")]
        for count, timing in timings.items():
            linear = count / counts[0]
            rows.append(
                row(
                    f"{count:,}",
                    f"linear growth from {counts[0]:,}",
                    "ms",
                    [1000 * seconds for seconds in timing.seconds],
                    statistics.median(timing.seconds) / statistics.median(smallest.seconds) / linear,
                    statistics.median(timing.cpu_seconds) / statistics.median(smallest.cpu_seconds) / linear,
                    note=f"exponent {exponents[0]:.2f}, of CPU time {exponents[1]:.2f}" if count == counts[-1] else "",
                    case=name,
                )
            )
    return rows


def _exponent(counts, timings, clock):
    medians = [statistics.median(getattr(timings[count], clock)) for count in counts]
    return float(np.polyfit(np.log(counts), np.log(medians), 1)[0])


def _jobs(channels, latent_dim, components, features, classes):
    """Dictionary from a name to a function from a count to a job."""
    rng = np.random.default_rng(0)
    head = FisherVectorHead(FVVAELayer(latent_dim))
    encode = tf.function(head, reduce_retracing=True, autograph=False)
    normalization = FisherNormalization("none")
    normalise = tf.function(normalization, reduce_retracing=True, autograph=False)
    labels = np.arange(2 * classes) % classes
    svm = OneVsRestSVM().fit(rng.normal(size=(2 * classes, features)).astype("float32"), labels)

    def of_head(count):
        descriptors = tf.constant(unit_descriptors(1, count, channels))
        return lambda: encode(descriptors).numpy()

    def of_normalisation(count):
        raw = tf.random.normal((count, features // 4, 4))
        return lambda: normalise(raw).numpy()

    def of_prediction(count):
        vectors = rng.standard_normal((count, features), np.float32)
        return lambda: svm.decision_function(vectors)

    return {
        "FisherVectorHead, descriptors": of_head,
        "GMM Fisher vector, descriptors": lambda n: mixture_jobs(unit_descriptors(1, n, channels), components)[LAYER],
        "VLAD, descriptors": lambda n: vlad_jobs(unit_descriptors(1, n, channels), 2 * components)[LAYER],
        "FisherNormalization, vectors": of_normalisation,
        "OneVsRestSVM.decision_function, vectors": of_prediction,
    }
