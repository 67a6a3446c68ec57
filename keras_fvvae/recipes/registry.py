"""The representations and the data sets, an entry each. Needs no TensorFlow: what they name is imported when used."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Callable
from typing import Any

from keras_fvvae.utils.lazy import imported

FVVAE_TRAINING, SOFTMAX_TRAINING = "fvvae", "softmax"
DESCRIPTORS, MAP, PAIR = "descriptors", "map", "pair"
# Of `Representation.blocks` and `rows`: as many as the map, or the second map of a pair, has channels.
OF_MAP, OF_SECOND_MAP = "channels of the map", "channels of the second map"
MATRIX = "already a matrix"


@dataclasses.dataclass(frozen=True)
class Representation:
    """What must be known of a representation.

    Attributes:
        title: its name in tables.
        layer: `"module:class"` of its layer; a recipe's `representation_options` are arguments of it.
        options: the paper's settings of these, and those that make the layer's output a raw vector.
        steps: of `VectorNormalization`; `None` where `FisherNormalization` follows.
        rows: of the matrix that a flat raw vector is, for `SpectralNormalization`: the name of an attribute of the
            layer, `OF_MAP`, `OF_SECOND_MAP`, or `MATRIX`: it is not flat. `None`: it is no matrix.
        blocks: how many equal parts of a vector are normalised each: the name of the layer's attribute that says so,
            `OF_SECOND_MAP`, or `None`: the vector is one.
        takes: `"descriptors"`, a `"map"`, or a `"pair"` of maps that a tap such as `conv5_3+conv5_4` joins.
        training: `"fvvae"` (Eq. 8), `"softmax"`, or `None` where nothing but the classifier is trained.
    """

    title: str
    layer: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    steps: tuple[str, ...] | None = ("square_root", "l2")
    blocks: str | None = None
    rows: str | None = None
    takes: str = DESCRIPTORS
    training: str | None = None

    @property
    def layer_class(self) -> Callable:
        """The class of its layer; asking for it imports Keras."""
        return imported(self.layer)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What must be known of a data set, or of a layout of folders and lists.

    Attributes:
        loader: `"module:function"`; the function takes the path first, unless the data set is embedded, and the
            recipe's `dataset_options`; it returns a `keras_fvvae.data.Collection`.
        description: what it is, in a line.
        recognizer: name of a function beside the loader that tells from a path whether it is such a data set.
        kind: `"image"` or `"video"`; `None` where it can be either.
        num_classes: of its labels; `None` where the user's files decide.
        embedded: whether it brings its own data.
        fills_folder: whether the loader writes into its folder, which need not be there.
    """

    loader: str
    description: str
    recognizer: str | None = None
    kind: str | None = None
    num_classes: int | None = None
    embedded: bool = False
    fills_folder: bool = False

    @property
    def load(self) -> Callable[..., Any]:
        """The loader; asking for it imports its module."""
        return imported(self.loader)

    @property
    def options(self) -> dict[str, inspect.Parameter]:
        """The options that `load` takes, by name."""
        parameters = inspect.signature(self.load).parameters
        first = () if self.embedded else ("directory", "path")
        return {name: entry for name, entry in parameters.items() if name not in first}

    def recognizes(self, path: str | os.PathLike) -> bool:
        """Whether a path holds this data set; never, where nothing can tell."""
        if self.recognizer is None:
            return False
        module = self.loader.partition(":")[0]
        return bool(imported(f"{module}:{self.recognizer}")(path))


_RESIDUALS = ("blocks", "l2")
_GUIDED = ("blocks", "square_root", "l2")
_UNNORMALIZED = {"normalization": None}
_LAYERS = "keras_fvvae.layers"

REPRESENTATIONS = {
    "fv_vae": Representation("FV-VAE", f"{_LAYERS}:FisherVectorHead", steps=None, rows=MATRIX, training=FVVAE_TRAINING),
    "fv_vae_maclaurin": Representation(
        "FV-VAE, random Maclaurin",
        f"{_LAYERS}:FisherMaclaurin",
        {"output_dim": 8192, "information": "separable"},
        training=FVVAE_TRAINING,
    ),
    "ave": Representation("AVE", f"{_LAYERS}:AveragePooling"),
    "global_activations": Representation("GA", f"{_LAYERS}:GlobalActivations", takes=MAP),
    "concatenation": Representation("Concatenation", f"{_LAYERS}:Concatenation", takes=MAP),
    "vlad": Representation(
        "VLAD",
        f"{_LAYERS}:VLAD",
        steps=("square_root", "blocks", "l2"),
        blocks="num_centroids",
        rows="num_centroids",
    ),
    "gmm_fisher_vector": Representation("FV (GMM)", f"{_LAYERS}:GMMFisherVector"),
    "bilinear": Representation("BP", f"{_LAYERS}:BilinearPooling", rows=OF_MAP),
    "random_maclaurin": Representation("BP, random Maclaurin", f"{_LAYERS}:RandomMaclaurin", {"output_dim": 8192}),
    "tensor_sketch": Representation("BP, tensor sketch", f"{_LAYERS}:TensorSketch", {"output_dim": 8192}),
    "net_vlad": Representation(
        "NetVLAD",
        f"{_LAYERS}:NetVLAD",
        _UNNORMALIZED,
        _RESIDUALS,
        "num_centroids",
        "num_centroids",
        training=SOFTMAX_TRAINING,
    ),
    # The sum over frames comes before any normalisation, in the encoder as in the `ActionVLAD` layer, so a frame's part
    # of it is a NetVLAD sum.
    "action_vlad": Representation(
        "ActionVLAD",
        f"{_LAYERS}:NetVLAD",
        {**_UNNORMALIZED, "alpha": 1000.0},
        _RESIDUALS,
        "num_centroids",
        "num_centroids",
        training=SOFTMAX_TRAINING,
    ),
    "cross_layer": Representation(
        "Cross-layer pooling",
        f"{_LAYERS}:CrossLayerPooling",
        _UNNORMALIZED,
        _GUIDED,
        OF_SECOND_MAP,
        OF_SECOND_MAP,
        PAIR,
    ),
    "cross_layer_learnt": Representation(
        "Cross-layer pooling, learnt guidance",
        f"{_LAYERS}:LearntGuidancePooling",
        _UNNORMALIZED,
        _GUIDED,
        "guidance_channels",
        "guidance_channels",
        training=SOFTMAX_TRAINING,
    ),
}

_LAYOUTS = "keras_fvvae.data.datasets"

# Layouts are recognised in this order: what is told by its files before what takes any folder.
DATASETS = {
    "auto": Dataset("keras_fvvae.data.catalogue:load_dataset", "recognised by its layout"),
    "list": Dataset(f"{_LAYOUTS}.listing:load_list", "a CSV or JSON lines file of images or videos", "is_list"),
    "cub": Dataset(f"{_LAYOUTS}.cub:load_cub", "Caltech-UCSD Birds-200-2011", "find_cub", "image", 200),
    "ucf101": Dataset(
        f"{_LAYOUTS}.ucf101:load_ucf101", "UCF101, official or MMAction2 lists", "is_ucf101", "video", 101
    ),
    "activitynet": Dataset(
        f"{_LAYOUTS}.activitynet:load_activitynet", "ActivityNet, untrimmed videos", "is_activitynet", "video", 200
    ),
    "tfds": Dataset(
        f"{_LAYOUTS}.tfds:load_tfds_below", "TensorFlow Datasets: takes the option `builder`, a name", fills_folder=True
    ),
    "digits": Dataset(
        f"{_LAYOUTS}.digits:load_digits", "scikit-learn's handwritten digits", None, "image", 10, embedded=True
    ),
    "moving_digits": Dataset(
        f"{_LAYOUTS}.moving_digits:load_moving_digits", "digits that move, drawn", None, "video", 8, embedded=True
    ),
    "textiles": Dataset(
        f"{_LAYOUTS}.textiles:load_textiles",
        "simulated textiles with and without defects: pip install keras_fvvae[textiles]",
        None,
        "image",
        3,
        embedded=True,
    ),
    "folder": Dataset(f"{_LAYOUTS}.folder:load_folder", "a folder with one sub-folder per class", "is_folder"),
}
