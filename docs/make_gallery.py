"""Makes the pictures of `docs/gallery.md`, from entries and data that come with the package and its extras alone.

Run from a checkout with the extras `lite` and `textiles`: `make gallery`.
"""

import tempfile
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

matplotlib.use("agg")
import matplotlib.pyplot as plt

from keras_fvvae import zoo
from keras_fvvae.data import decode_image, load_moving_digits, load_textiles
from keras_fvvae.search import Index
from keras_fvvae.tasks.explain import explain
from keras_fvvae.tasks.explain_match import explain_match

FOLDER = Path(__file__).parent / "images" / "gallery"
# Pictures are committed: this keeps them at some 100 kB.
WIDTH, QUALITY = 900, 80
NEIGHBOURS = 4


def keep(source, name):
    """Keeps a picture under a name, no wider than a page."""
    picture = Image.open(source).convert("RGB")
    picture.thumbnail((WIDTH, picture.height))
    picture.save(FOLDER / f"{name}.jpg", quality=QUALITY, optimize=True)


def held_out(collection, label):
    """Paths of the test items of a class."""
    found = collection.labels == collection.class_names.index(label)
    return [collection.sources[number] for number in collection.indices("test") if found[number]]


def neighbours(collection, encoder, folder):
    """Draws a picture a class and the items that are most like it, among those that the network was not trained on."""
    chosen = collection.indices("test")
    labels = [collection.class_names[collection.labels[number]] for number in chosen]
    vectors = encoder.encode([collection.sources[number] for number in chosen])
    index = Index.build(folder / "index", vectors, [collection.names[number] for number in chosen], labels)
    queries = [labels.index(name) for name in collection.class_names]
    found = index.search(vectors[queries], k=NEIGHBOURS + 1)
    figure, axes = plt.subplots(len(queries), NEIGHBOURS + 1, figsize=(8, 5.2))
    for row, positions, similarities in zip(axes, found.positions, found.similarities, strict=True):
        for axis, position, similarity in zip(row, positions, similarities, strict=True):
            axis.imshow(np.array(decode_image(collection.read(chosen[position]))))
            axis.set_title(f"{labels[position]}, {similarity:.3f}", fontsize=8)
            axis.axis("off")
    figure.tight_layout()
    figure.savefig(folder / "neighbours.png", dpi=100)
    return folder / "neighbours.png"


def main():
    """Makes all pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    textiles, videos = load_textiles(240), load_moving_digits()
    local = held_out(textiles, "local")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = {
            "defect": explain("textiles_lite2", local[:1], folder / "defect"),
            "match": explain_match("textiles_lite2", local[:1], local[1], folder / "match"),
            "video": explain("moving_digits_flow", held_out(videos, "rotate_clockwise")[:1], folder / "video"),
        }
        for name, answers in jobs.items():
            (answer,) = answers
            keep(answer["picture"], name)
        keep(neighbours(textiles, zoo.load_encoder("textiles_lite2"), folder), "neighbours")


if __name__ == "__main__":
    main()
