"""Encoding of descriptors: this library's layers beside VLFeat's and scikit-image's encoders, on the CPU.

The group `peers` of `keras-fvvae benchmark` at any size, and memory. All encode the same descriptors with the same
codebook, in rounds of random order; compared are the time per image and whether the results are the same. VLFeat takes
one image at a time, and so do the layers in the row "one image"; the row "batch" is how a data set is encoded. Peers
that are not installed are left out and said so:

    pip install cyvlfeat scikit-image
    python -m keras_fvvae.benchmarks.long.representations
"""

import argparse
import platform
import resource

from keras_fvvae.benchmarks.harness.machine import describe_versions
from keras_fvvae.benchmarks.harness.rounds import time_rounds, time_rows
from keras_fvvae.benchmarks.suites.peers import (
    LAYER,
    differences_from_layer,
    mixture_jobs,
    unit_descriptors,
    vlad_jobs,
)

BATCH = 16


def main() -> None:
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
        images = unit_descriptors(BATCH, count, arguments.channels)
        for name, jobs in (
            ("GMM Fisher vector", mixture_jobs(images, arguments.components)),
            ("VLAD", vlad_jobs(images, 2 * arguments.components)),
        ):
            _report(name, count, jobs, arguments.rounds)
    _memory(arguments)


def _report(name, count, jobs, rounds):
    differences = differences_from_layer(jobs)
    for row in time_rows(time_rounds(jobs, rounds), LAYER, "ms an image", BATCH):
        what = row["what"]
        print(
            f"| {name} | {count} | {what} | {row['median']:.2f} ({row['fastest']:.2f} - {row['slowest']:.2f}) | "
            f"{row['ratio']:.2f} | {differences[what]:.0e} |"
        )


def _memory(arguments):
    """Peak memory after encoding so many images, one batch at a time: it must not grow with them."""
    images = unit_descriptors(BATCH, 50, arguments.channels)
    jobs = {
        "GMM Fisher vector": mixture_jobs(images, arguments.components)[LAYER],
        "VLAD": vlad_jobs(images, 2 * arguments.components)[LAYER],
    }
    print("\n| encoding | images | peak memory, MB |\n| --- | --- | --- |")
    for name, job in jobs.items():
        for total in arguments.memory_images:
            for _ in range(-(-total // BATCH)):
                job()
            print(f"| {name} | {total} | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} |")


def _versions():
    found = describe_versions()
    return ", ".join(f"{name} {found[name]}" for name in ("tensorflow", "cyvlfeat", "scikit-image"))


if __name__ == "__main__":
    main()
