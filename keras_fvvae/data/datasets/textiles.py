"""Simulated textiles of the package `conformal-clip-data`: nominal, with a local defect, with a global one."""

from __future__ import annotations

import importlib.util
import operator
from pathlib import Path

from keras_fvvae.data.collection import Collection
from keras_fvvae.errors import DataError

PACKAGE = "conformal_clip_data"
RELEASE = "conformal-clip-data==0.1.4"  # as in setup.py
FOLDER = "data/textile_images/simulated"  # of the package
# Images of each class, whose folder it names. Half are nominal, and the others of two kinds.
IMAGES = {"nominal": 1000, "local": 500, "global": 500}
ALL_IMAGES = sum(IMAGES.values())
# With a multiple of 4, classes have the same shares as in all; with 8, each has a training and a test image.
STEP, FEWEST = 4, 8


def load_textiles(images: int = ALL_IMAGES) -> Collection:
    """The 2,000 textiles, of 250x250 pixels, where the installed package has them: nothing is copied.

    The split is by number: of every class, images with odd numbers are for training, those with even ones for testing.
    The images are independent simulations, so that any fixed half would do. The data come without a split of their own.

    Args:
        images: how many, a multiple of 4 from 8 on: half nominal, a quarter of each kind of defect, as in all. They are
            the first of their class; a smaller choice is a part of every larger one.

    Returns:
        A `Collection` of JPEG files with the classes `nominal`, `local` and `global`, in this order; names are
        `"local/textile_0001.jpg"`. Of all, 500, 250 and 250 are for training, and as many for testing.

    Raises:
        ValueError: for another number of images.
        DataError: if the package is not installed, or not all of its images are there.

    Example:
        >>> load_textiles(images=2)
        Traceback (most recent call last):
        ...
        ValueError: `images` must be a multiple of 4 from 8 to 2000. Received: images=2

    Reference:
        Megahed et al., "Adapting OpenAI's CLIP Model for Few-Shot Image Inspection in Manufacturing Quality Control",
        arXiv:2501.12596, 2025. The images are simulated by Bui and Apley, "spc4sts: Statistical process control for
        stochastic textured surfaces in R", Journal of Quality Technology 53(3), 2021.
    """
    if not FEWEST <= operator.index(images) <= ALL_IMAGES or images % STEP:
        raise ValueError(
            f"`images` must be a multiple of {STEP} from {FEWEST} to {ALL_IMAGES}. Received: images={images}"
        )
    folder = _folder()
    rows = [
        (f"{name}/{_file(number)}", label, "train" if number % 2 else "test")
        for label, (name, count) in enumerate(IMAGES.items())
        for number in range(1, count * images // ALL_IMAGES + 1)
    ]
    return Collection(
        [folder / name for name, *_ in rows],
        [name for name, *_ in rows],
        [label for _, label, _ in rows],
        [split for *_, split in rows],
        IMAGES,
    )


def _file(number):
    return f"textile_{number:04d}.jpg"


def _folder():
    """The folder of the images, found without importing the package; all of them are there."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None:
        raise DataError(
            "The data set 'textiles' needs the package conformal-clip-data: pip install 'keras_fvvae[textiles]'"
        )
    folder = Path(*(spec.submodule_search_locations or [spec.origin])[:1], FOLDER)
    for name, count in IMAGES.items():
        found = {path.name for path in (folder / name).glob("*.jpg")}
        if found != {_file(number) for number in range(1, count + 1)}:
            raise DataError(
                f"{folder / name} must hold textile_0001.jpg to {_file(count)}, and has {len(found)} images; repair "
                f"the package: pip install --force-reinstall {RELEASE}"
            )
    return folder
