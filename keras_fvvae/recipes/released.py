"""The weights that the paper's authors released: files, digests and what the authors report of them."""

from __future__ import annotations

import dataclasses
import textwrap

# Of github.com/fv-vae/fv-vae, the only commit that touched the files: what it names never changes.
COMMIT = "49d9a9cfc5a702547ffc051419742d3eb2024a5f"
BASE_URL = f"https://raw.githubusercontent.com/fv-vae/fv-vae/{COMMIT}/vae_models"
ENTRY = "ucf101_pool5"
LICENCE = "not stated by the authors"


@dataclasses.dataclass(frozen=True)
class ReleasedFile:
    """A MATLAB file of the authors.

    Attributes:
        name: of the file.
        sha256: of its bytes, hexadecimal.
        size: in bytes.
        accuracy: that the authors report with it on its split's test part, in percent, ten crops a frame.
    """

    name: str
    sha256: str
    size: int
    accuracy: float


# By split of UCF101.
RELEASED = {
    split: ReleasedFile(f"caffe_vae_weights_ucf101_split{split}_vgg19.mat", sha256, size, accuracy)
    for split, sha256, size, accuracy in (
        (1, "b3340881f538ddb878e52fad86a8c4fb5a74342f678aa076756af796a2bfc98e", 979_299, 83.55),
        (2, "8b60055dfb9d528709e698c40498f7eec3f229e599fe6a9f98045b2bc882e7e2", 979_312, 83.77),
        (3, "5772bf174a5ea66049f0bce260e828196d333084e02aa14e79863d8cb93cf3c8", 979_375, 84.57),
    )
}


def released_card(width: int) -> str:
    """What the entry's card says of the authors' weights, in Markdown, in lines of so many characters."""
    accuracies = ", ".join(f"{file.accuracy:.2f}" for file in RELEASED.values())
    text = (
        f'The authors released weights of the FV-VAE for the splits 1, 2 and 3: `zoo.load("{ENTRY}", '
        f'weights="release:2")` takes those of split 2, `weights="release"` those of the split that is asked for, else '
        f"1. They are downloaded from {BASE_URL} (another address, or a folder: the environment variable "
        f"`KERAS_FVVAE_RELEASE`), compared with their SHA-256, and read as data. The authors report accuracies of "
        f"{accuracies} percent with them, ten crops a frame; these figures are theirs, not measured here. Their "
        f"repository states no licence: ask the authors before you pass the weights on."
    )
    return textwrap.fill(text, width, break_on_hyphens=False, break_long_words=False)
