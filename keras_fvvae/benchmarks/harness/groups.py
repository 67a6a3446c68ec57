"""What is measured, as a table; each group is a module of `keras_fvvae.benchmarks.suites` with a function `measure`."""

import dataclasses

# How often everything is timed, besides once to warm up.
ROUNDS = 5
_VGG = {"backbone": "VGG19", "tap": "pool5", "size": 224, "descriptors": "spp"}
_MOBILE = {"backbone": "MobileNetV2", "tap": None, "size": 224, "descriptors": "spp"}
_SMALLEST = {**_MOBILE, "options": {"alpha": 0.35}}
# As its entries have it.
_LATENT = {"settings": {"latent_dim": 127}}
_LITE2 = {"backbone": "EfficientNetLite2", "tap": None, "size": 260, "descriptors": "spp", **_LATENT}
# In --quick, networks and images are small: that it works is shown, and little else.
_SMALL = {"backbone": "MobileNetV2", "tap": None, "size": 96, "descriptors": "dense"}


@dataclasses.dataclass(frozen=True)
class Group:
    """One group of measurements.

    Attributes:
        title: heading of its table.
        full: sizes: arguments of its `measure`.
        quick: those for `--quick`.
        takes_data: whether it reads images.
    """

    title: str
    full: dict
    quick: dict
    takes_data: bool = False


GROUPS = {
    "encode": Group(
        "Encoding, end to end from image files, against the bare backbone",
        {
            "networks": [
                {**_VGG, "images": 32}, {**_MOBILE, "images": 96},
                {**_SMALLEST, "images": 192}, {**_LITE2, "images": 96},
            ],
            "batch_size": 16,
        },
        {"networks": [{**_SMALL, "images": 16}], "batch_size": 8},
        takes_data=True,
    ),
    "head": Group(
        "Fisher vectors in closed form against automatic differentiation",
        {"images": 32, "descriptors": 50, "channels": 512, "latent_dim": 255},
        {"images": 8, "descriptors": 20, "channels": 64, "latent_dim": 31},
    ),
    "peers": Group(
        "GMM Fisher vectors and VLAD against VLFeat and scikit-image",
        {"images": 16, "descriptors": [50, 784], "channels": 512, "components": 128},
        {"images": 4, "descriptors": [50], "channels": 64, "components": 16},
    ),
    "training": Group(
        "A training step from cached activations against its matrix products",
        {
            "recipes": [
                {"recipe": "ucf101_pool5", "map": [7, 7, 512], "classes": 101},
                {"recipe": "image_folder", "map": [28, 28, 512], "classes": 200},
            ]
        },
        {"recipes": [{"recipe": "ucf101_pool5", "map": [7, 7, 64], "classes": 11, "latent_dim": 31, "batch_size": 16}]},
    ),
    "validation": Group(
        "A score of the validation part against the training steps that it may cost",
        {"recipes": [{"recipe": "image_folder", "map": [28, 28, 512], "classes": 20}]},
        {"recipes": [{"recipe": "image_folder", "map": [7, 7, 64], "classes": 5, "latent_dim": 31, "batch_size": 16}]},
    ),
    "data": Group(
        "The image pipeline against bare decoding",
        {"images": 200, "size": 224, "batch_size": 32, "large": [3000, 4000]},
        {"images": 16, "size": 224, "batch_size": 8, "large": [960, 1280]},
        takes_data=True,
    ),
    "svm": Group(
        "The one-vs-all SVM against LinearSVC",
        {"samples": 300, "features": 8192, "classes": 10},
        {"samples": 60, "features": 2048, "classes": 3},
    ),
    "export": Group(
        "The exported classifier against the exported bare backbone",
        {"networks": [{**_VGG, "images": 8}, {**_MOBILE, "images": 16}], "classes": 101},
        {"networks": [{**_SMALL, "images": 4}], "classes": 5},
        takes_data=True,
    ),
    "growth": Group(
        "Growth of time with the number of descriptors and vectors",
        {
            "counts": [1_000, 10_000, 100_000],
            "channels": 128, "latent_dim": 63, "components": 32, "features": 512, "classes": 20,
        },
        {
            "counts": [500, 1_000, 2_000],
            "channels": 32, "latent_dim": 15, "components": 8, "features": 64, "classes": 3,
        },
    ),
    # The last: it lists the peaks of the groups before.
    "memory": Group(
        "Peak resident memory",
        # Vectors of the smaller number fill a shard of a store (64 MB), and maps more than the shards that it keeps
        # mapped, or these would count as growth. The larger number of maps takes 2.9 GB of disk.
        {"images": 640, "maps": 2176, "files": 32, "size": 32, "latent_dim": 511},
        {"images": 32, "maps": 64, "files": 8, "size": 16, "latent_dim": 31},
    ),
}  # fmt: skip
