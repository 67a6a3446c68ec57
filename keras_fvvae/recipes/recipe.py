"""Recipes: everything that makes a model and its training, as validated data."""

from __future__ import annotations

import dataclasses
from typing import Any

import yaml

from keras_fvvae.errors import RecipeError, unknown_name
from keras_fvvae.recipes.branches import BRANCH_WEIGHTS, branch_recipes
from keras_fvvae.recipes.keys import (
    CARD,
    COUNT,
    FLAG,
    LEVELS,
    LIST,
    MAPPING,
    MAPPINGS,
    MULTIPLIERS,
    NOT_NEGATIVE,
    POSITIVE,
    POSITIVE_INTEGER,
    POSITIVE_INTEGERS,
    SEED,
    SHARE,
    TEXT,
    VALIDATION,
    WEIGHTS,
    Mark,
    check_values,
    default_of,
    key,
    keys_of_card,
    keys_until,
    one_of,
)
from keras_fvvae.recipes.own_models import named_model
from keras_fvvae.recipes.registry import DATASETS, FVVAE_TRAINING, REPRESENTATIONS
from keras_fvvae.recipes.softmax_stage import SoftmaxStage

# Of `Recipe.to_yaml`. It grows when a key changes its meaning; `keras_fvvae.recipes.load` reads older ones.
FORMAT = 2
ACTIVATIONS = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "tanh", "sigmoid", "linear")
CALIBRATIONS = ("auto", "sigmoid", "temperature", "isotonic", "none")
ARCHITECTURE, ESSENTIAL = Mark.ARCHITECTURE, Mark.ESSENTIAL
VIDEOS, FV_VAE = Mark.OF_VIDEOS, Mark.OF_FV_VAE


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that determines a model and its training; the keys are those of `zoo/<name>.yaml`.

    As `backbone` a `keras.Model` is taken too; the key then holds a text that stands for it in this process, see
    `keras_fvvae.recipes.own_models`.

    Raises:
        RecipeError: for a value of the wrong type or range.

    Example:
        >>> Recipe(name="mine", backbone="MobileNetV2").latent_dim
        255
    """

    name: str = key(CARD, "", TEXT, "name of the entry")
    description: str = key(CARD, "", TEXT, "one paragraph for the card")
    dataset: str = key(
        "data", "auto", one_of(DATASETS), "kind of the data set; auto: recognised by its layout", ESSENTIAL
    )
    dataset_options: dict = key("data", {}, MAPPING, "further arguments of the data set's loader, such as split: 2")
    test_fraction: float = key("data", 0.25, SHARE, "share held out of a folder without train and test parts")
    backbone: str = key(
        "backbone",
        "VGG19",
        TEXT,
        "a name of the table, a .keras file or hub:PRESET",
        ARCHITECTURE | ESSENTIAL,
    )
    backbone_options: dict = key(
        "backbone",
        {},
        MAPPING,
        "further arguments of its function; see docs/backbones.md for own ones",
        ARCHITECTURE,
    )
    tap: str | None = key(
        "backbone",
        None,
        TEXT,
        "layer whose activations are encoded, or two, 'a+b'; none: the last stage",
        ARCHITECTURE | ESSENTIAL,
    )
    branches: list = key(
        "backbone",
        [],
        MAPPINGS,
        "representations at several taps, joined: mappings of keys in which each differs from the recipe; none: one",
        ARCHITECTURE,
    )
    precision: str = key(
        "backbone",
        "float32",
        one_of(("float32", "bfloat16", "auto")),
        "of a frozen backbone and of the products of FV-VAE's training; auto: in which the backbone is faster here",
    )
    trainable_from: str | None = key(
        "backbone", None, TEXT, "first backbone layer trained end to end; none: frozen; 'all'"
    )
    fine_tune_steps: int = key("backbone", 0, COUNT, "steps of fine-tuning the backbone with a softmax first; 0: none")
    fine_tune_from: str = key("backbone", "all", TEXT, "first backbone layer that is fine-tuned; 'all'")
    fine_tune_learning_rate: float = key("backbone", 1e-3, POSITIVE, "of fine-tuning, by SGD with momentum 0.9")
    fine_tune_batch_size: int = key("backbone", 32, POSITIVE_INTEGER, "views per step of fine-tuning")
    input_size: list = key(
        "input", [224, 224], POSITIVE_INTEGERS, "height and width of the input in pixels", ARCHITECTURE | ESSENTIAL
    )
    resize_to: list | None = key(
        "input", None, POSITIVE_INTEGERS, "size images and frames are cropped from; none: input_size", ESSENTIAL
    )
    resize: str = key("input", "squeeze", one_of(("squeeze", "crop", "pad")), "how an image is brought to that size")
    decoder: str = key(
        "input",
        "exact",
        one_of(("exact", "fast")),
        "of images; fast: large JPEG files at the smallest scale that covers the input",
    )
    crops: str = key(
        "input",
        "center",
        one_of(("center", "ten")),
        "views of an image or frame; trained backbones: random ones",
        ESSENTIAL,
    )
    modality: str = key(
        "input",
        "rgb",
        one_of(("rgb", "flow", "flow_stack")),
        "what is seen of a video",
        ARCHITECTURE | ESSENTIAL | VIDEOS,
    )
    frames: int = key("input", 25, POSITIVE_INTEGER, "frames of a video, uniformly spaced", ESSENTIAL | VIDEOS)
    frame_step: int | None = key("input", None, POSITIVE_INTEGER, "every so many-th frame of a video instead", VIDEOS)
    flow_method: str = key("input", "dis", one_of(("dis", "farneback")), "optical flow", VIDEOS)
    flow_bound: float = key("input", 20.0, POSITIVE, "displacements are clipped to so many pixels", VIDEOS)
    random_shift: int = key("input", 0, COUNT, "pixels; trained backbones only")
    random_mirror: bool = key("input", False, FLAG, "left to right; likewise")
    descriptors: str = key(
        "descriptors",
        "spp",
        one_of(("spp", "dense")),
        "spatial pyramid pooling, or every position of the map",
        ARCHITECTURE | ESSENTIAL,
    )
    spp_levels: list = key("descriptors", [6, 3, 2, 1], LEVELS, "levels of the pyramid", ARCHITECTURE)
    spp_pooling: str = key(
        "descriptors", "max", one_of(("max", "average")), "pooling inside the pyramid's windows", ARCHITECTURE
    )
    normalization: str = key(
        "descriptors",
        "map",
        one_of(("map", "descriptor", "none")),
        "scheme of DescriptorNormalization",
        ARCHITECTURE | ESSENTIAL,
    )
    normalization_scale: float | None = key(
        "descriptors", None, POSITIVE, "norm of a whole map; none: sqrt(H * W * C)", ARCHITECTURE
    )
    sampled_descriptors: int | None = key(
        "descriptors", None, POSITIVE_INTEGER, "descriptors of an image in a step; none: all"
    )
    representation: str = key(
        "encoding",
        "fv_vae",
        one_of(REPRESENTATIONS),
        "encoding of descriptors; docs/representations.md",
        ARCHITECTURE | ESSENTIAL,
    )
    representation_options: dict = key(
        "encoding", {}, MAPPING, "further arguments of its layer, such as num_centroids: 64", ARCHITECTURE
    )
    latent_dim: int = key(
        "training", 255, POSITIVE_INTEGER, "latent variables of the FV-VAE", ARCHITECTURE | ESSENTIAL | FV_VAE
    )
    hidden_units: list | None = key(
        "training",
        None,
        POSITIVE_INTEGERS,
        "hidden layers of the encoder; none: one of C units",
        ARCHITECTURE | ESSENTIAL | FV_VAE,
    )
    hidden_activation: str = key(
        "training", "relu", one_of(ACTIVATIONS), "activation of the hidden layers", ARCHITECTURE | FV_VAE
    )
    decoder_units: list = key("training", [], POSITIVE_INTEGERS, "hidden layers of the decoder", ARCHITECTURE | FV_VAE)
    decoder_layers: str = key(
        "encoding",
        "last",
        one_of(("last", "all")),
        "decoder layers whose gradient is the Fisher vector",
        ARCHITECTURE | FV_VAE,
    )
    attention: bool = key(
        "training", False, FLAG, "learnt weights of descriptors; see FVVAELayer", ARCHITECTURE | FV_VAE
    )
    dropout: float = key(
        "training", 0.5, SHARE, "on the encoder's input; on other trained representations themselves", ESSENTIAL
    )
    stop_target_gradient: bool = key("training", False, FLAG, "see FVVAELayer", FV_VAE)
    lambda1: float = key("training", 1.0, NOT_NEGATIVE, "weight of the reconstruction loss", ESSENTIAL | FV_VAE)
    lambda2: float = key("training", 1.0, NOT_NEGATIVE, "weight of the regularisation loss", ESSENTIAL | FV_VAE)
    lambda3: float = key(
        "training", 1e3, NOT_NEGATIVE, "weight of the classification loss; 0: FV-VAE minus", ESSENTIAL | FV_VAE
    )
    loss_reduction: str = key(
        "training",
        "sum",
        one_of(("sum", "mean")),
        "of an image's descriptors: sum, as the release; mean, as 0.1: lambda3 weighs as many times more",
        ESSENTIAL | FV_VAE,
    )
    optimizer: str = key("training", "adadelta", one_of(("adadelta", "adam", "sgd")), "optimizer", ESSENTIAL | FV_VAE)
    learning_rate: float = key("training", 1.0, POSITIVE, "base learning rate", ESSENTIAL | FV_VAE)
    learning_rate_multipliers: dict | None = key(
        "training", None, MULTIPLIERS, "pattern: factor; none: the release's", FV_VAE
    )
    batch_size: int = key("training", 128, POSITIVE_INTEGER, "images per training step", ESSENTIAL)
    steps: int = key("training", 5000, POSITIVE_INTEGER, "training steps", ESSENTIAL | FV_VAE)
    views_per_step: int = key(
        "training", 1, POSITIVE_INTEGER, "views of an item in a step; several are one bag (ActionVLAD)"
    )
    validation: float | None = key(
        "training",
        None,
        VALIDATION,
        "share of the training part that is not learnt from and chooses the step that is kept; none: the last one",
        ESSENTIAL,
    )
    validate_every: int | None = key(
        "training",
        None,
        POSITIVE_INTEGER,
        "steps between two of its scores; none: after an eighth of all, a quarter, a half",
    )
    patience: int = key(
        "training",
        2,
        POSITIVE_INTEGER,
        "scores in a row, significantly worse, after which a training with `validation` stops",
    )
    refit: bool = key(
        "training",
        False,
        FLAG,
        "whether FV-VAE is then trained anew, on all of the training part, for the steps that `validation` chose",
    )
    stages: list = key(
        "training", [], MAPPINGS, "of a softmax training, in order: see SoftmaxStage; none: one, of Adam at 1e-3"
    )
    information: str = key(
        "encoding",
        "diagonal",
        one_of(("diagonal", "kronecker", "none")),
        "form of the Fisher information",
        ESSENTIAL | FV_VAE,
    )
    vector_normalization: str = key(
        "encoding",
        "usual",
        one_of(("usual", "spectral")),
        "usual: the representation's own, FV-VAE's by its information; spectral: by singular values, where a matrix",
        ARCHITECTURE | ESSENTIAL,
    )
    branch_weights: str | list | None = key(
        "encoding", None, BRANCH_WEIGHTS, "of the kernels of branches; validation: its part chooses; none: equal"
    )
    damping: float = key("encoding", 0.1, NOT_NEGATIVE, "of the Kronecker form", FV_VAE)
    pca_components: int | None = key(
        "encoding", None, POSITIVE_INTEGER, "PCA of the vectors to so many; none: as they are", ARCHITECTURE
    )
    svm_c: float = key("svm", 100.0, POSITIVE, "C of the one-vs-all SVM", ESSENTIAL)
    calibration: str = key(
        "svm",
        "auto",
        one_of(CALIBRATIONS),
        "probabilities of its scores; auto: a temperature where every class has five training items, else none",
    )
    seed: int = key("data", 0, SEED, "of everything random", ESSENTIAL)
    paper: dict = key(CARD, {}, MAPPING, "where the paper reports this model, and what")
    weights: dict = key(CARD, {}, WEIGHTS, "file and sha256 of trained weights that ship with the package")
    measured: list = key(
        CARD, [], LIST, "results measured with this library: command, data, protocol, machine, figures"
    )
    licence: str = key(CARD, "Apache-2.0", TEXT, "of the trained weights")
    citation: str = key(CARD, "", TEXT, "what to cite beside the FV-VAE paper")

    def __post_init__(self) -> None:
        object.__setattr__(self, "backbone", named_model(self.backbone))
        check_values(self, "recipe")
        if self.stages:
            _ = self.softmax_stages
        for name in ("input_size", "resize_to"):
            size = getattr(self, name)
            if size is not None and len(size) != 2:
                raise RecipeError(f"The recipe key `{name}` must be [height, width]. Received: {size!r}")
        if self.resize_to and any(a < b for a, b in zip(self.resize_to, self.input_size, strict=True)):
            raise RecipeError(
                f"`resize_to` {self.resize_to} must be at least as large as the crop, `input_size` {self.input_size}."
            )

        _ = self.branch_recipes

    def replace(self, **overrides: Any) -> Recipe:
        """A copy with other values.

        Raises:
            RecipeError: for an unknown key, naming the nearest known one, or a wrong value.
        """
        known = [field.name for field in dataclasses.fields(self)]
        for name in overrides:
            if name not in known:
                raise RecipeError(unknown_name("recipe key", str(name), known))
        return dataclasses.replace(self, **overrides)

    def to_yaml(self) -> str:
        """The recipe as YAML, every key included, after the number of the format."""
        content = {"format": FORMAT, **dataclasses.asdict(self)}
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)

    def without_card(self) -> Recipe:
        """The same settings, with nothing said about them."""
        fields = {field.name: field for field in dataclasses.fields(self)}
        return dataclasses.replace(self, **{name: default_of(fields[name]) for name in keys_of_card(self)})

    def settings_until(self, stage: str) -> dict[str, Any]:
        """What decides a stage of the work and those before it: recipes that agree here can share what it makes.

        Args:
            stage: one of `keras_fvvae.recipes.keys.STAGES`.

        Example:
            >>> one, other = Recipe(flow_bound=10.0), Recipe(flow_bound=10.0, svm_c=1.0)
            >>> one.settings_until("encoding") == other.settings_until("encoding")
            True
        """
        return {name: getattr(self, name) for name in keys_until(self, stage)}

    @property
    def softmax_stages(self) -> list[SoftmaxStage]:
        """The `SoftmaxStage`s of a representation that is trained with a softmax."""
        if not self.stages:
            # The optimizer of the keys beside `steps` is the FV-VAE's.
            return [SoftmaxStage("all", self.steps)]
        known = [field.name for field in dataclasses.fields(SoftmaxStage)]
        for name in (name for stage in self.stages for name in stage):
            if name not in known:
                raise RecipeError(unknown_name("key of a stage", str(name), known))
        return [SoftmaxStage(**stage) for stage in self.stages]

    @property
    def loss_weights(self) -> tuple[float, float, float]:
        """`(lambda1, lambda2, lambda3)` of Eq. 8."""
        return self.lambda1, self.lambda2, self.lambda3

    @property
    def branch_recipes(self) -> dict[str, Recipe]:
        """By name the recipe of each branch; empty where there is one representation."""
        return branch_recipes(self)

    @property
    def of_fv_vae(self) -> bool:
        """Whether its representation, or one of its branches', is made with an FV-VAE."""
        branches = self.branch_recipes.values()
        return any(REPRESENTATIONS[one.representation].training == FVVAE_TRAINING for one in branches or [self])

    @property
    def of_videos(self) -> bool:
        """Whether its data can be videos."""
        return DATASETS[self.dataset].kind != "image"
