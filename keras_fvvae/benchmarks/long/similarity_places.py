"""Do the parts of a similarity lie on what both pictures show? The share within CUB-200-2011's boxes against the area.

    python -m keras_fvvae.benchmarks.long.similarity_places RUN --data CUB_200_2011 [--pairs 50]

Pairs of test images of one class, drawn at random; both pictures of each pair count. The largest difference between a
similarity and the sum of its parts is told too.
"""

import argparse
from typing import Any

import numpy as np

from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data.datasets.cub import load_cub
from keras_fvvae.data.views import read_image, read_resized
from keras_fvvae.explanations.places import inside
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.tasks.explain_match import explain_pair
from keras_fvvae.utils.progress import track


def main() -> None:
    """Prints the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="finished run on CUB-200-2011")
    parser.add_argument("--data", required=True, help="folder of CUB-200-2011")
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    run = RunFolder.open(arguments.run)
    encoder, views = run.encoder(), recipe_views(run.recipe, "image")
    images, boxes = load_cub(arguments.data), load_cub(arguments.data, boxes=True).boxes
    found, errors = [], []
    for pair in track(_pairs(images, arguments.pairs, arguments.seed), "Pairs"):
        query, match = (read_resized(images, index, [views])[0] for index in pair)
        explanation = explain_pair(encoder, query, match, views)
        for index, side in zip(pair, (explanation.query, explanation.match), strict=True):
            found.append(inside(side.maps[0], _shares(boxes[index], read_image(images, index).shape)))
            errors.append(abs(side.maps.sum(dtype="float64") + side.constant - explanation.similarity))
    share, area, largest = np.mean(np.array(found, "float64"), axis=0)
    print(f"{len(found) // 2} pairs of images: {100 * share:.1f} % of the positive parts lie within the boxes")
    print(f"{100 * area:.1f} % of the area does, and {100 * largest:.1f} % of the largest parts")
    print(f"{max(errors):.1e} is the largest difference between a similarity and the sum of its parts")


def _pairs(images: Any, count: int, seed: int) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    tested = images.indices("test")
    pairs = []
    for _ in range(count):
        label = generator.choice(images.labels[tested])
        pairs.append(generator.choice(tested[images.labels[tested] == label], 2, replace=False).tolist())
    return pairs


def _shares(box: np.ndarray, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """`(left, top, right, bottom)` in shares of a picture's sides of a box `(x, y, width, height)` in pixels."""
    x, y, width, height = box.tolist()
    return x / shape[1], y / shape[0], (x + width) / shape[1], (y + height) / shape[0]


if __name__ == "__main__":
    main()
