"""Recipes: everything that makes a model and its training, as validated data."""

import dataclasses
import math
import numbers
import re
from importlib import resources
from pathlib import Path

import yaml

from keras_fvvae.errors import RecipeError, unknown_name
from keras_fvvae.utils.text import TextError, parse_yaml

ENTRIES = "keras_fvvae.zoo_entries"
EMBEDDED_DATASETS = ("digits", "moving_digits")
DATASETS = ("auto", "folder", "list", "ucf101", "activitynet", "cub", "tfds", *EMBEDDED_DATASETS)
# Of the data sets whose classes are given.
DATASET_CLASSES = {"ucf101": 101, "activitynet": 200, "cub": 200, "digits": 10, "moving_digits": 8}
# The keys of `keras_fvvae.builders.representations.REPRESENTATIONS`.
REPRESENTATIONS = (
    "fv_vae", "fv_vae_maclaurin", "ave", "global_activations", "concatenation", "vlad", "gmm_fisher_vector", "bilinear",
    "random_maclaurin", "tensor_sketch", "net_vlad", "action_vlad", "cross_layer",
    "cross_layer_learnt",
)  # fmt: skip
ACTIVATIONS = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "tanh", "sigmoid", "linear")


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _are_multipliers(value):
    if not isinstance(value, dict) or not all(_is_number(factor) and factor >= 0 for factor in value.values()):
        return False
    try:
        return all(re.compile(pattern) for pattern in value)
    except (re.error, TypeError):
        return False


def _is_list_of(check):
    return lambda value: isinstance(value, list | tuple) and all(check(item) for item in value)


# What a key accepts: a test and its description. `None` is accepted where it is the default.
_POSITIVE_INTEGER = (lambda value: _is_integer(value) and value > 0, "a positive integer")
_NOT_NEGATIVE = (lambda value: _is_number(value) and value >= 0, "a number, not negative")
_POSITIVE = (lambda value: _is_number(value) and value > 0, "a positive number")
_POSITIVE_INTEGERS = (_is_list_of(lambda value: _is_integer(value) and value > 0), "a list of positive integers")
_SEED = (lambda value: _is_integer(value) and 0 <= value < 2**32, "an integer from 0 to 2**32 - 1")
_COUNT = (lambda value: _is_integer(value) and value >= 0, "an integer, not negative")
_SHARE = (lambda value: _is_number(value) and 0 <= value < 1, "a number in [0, 1)")
_FLAG = (lambda value: isinstance(value, bool), "true or false")
_LEVELS = (lambda value: bool(value) and _POSITIVE_INTEGERS[0](value), "a list of positive integers, at least one")
_MULTIPLIERS = (_are_multipliers, "a mapping from regular expressions to numbers, none negative")
_TEXT = (lambda value: isinstance(value, str), "text")
_MAPPING = (lambda value: isinstance(value, dict), "a mapping")
_LIST = (lambda value: isinstance(value, list), "a list")
_MAPPINGS = (_is_list_of(lambda value: isinstance(value, dict)), "a list of mappings")


def _choice(*options):
    return (lambda value: value in options, "one of " + ", ".join(map(repr, options)))


def _key(default, accepts, about):
    metadata = {"accepts": accepts, "about": about}
    if isinstance(default, dict | list):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def _check_fields(settings, kind):
    """Raises a `RecipeError` for a value that its key does not accept."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        accepts, description = field.metadata["accepts"]
        if value is None and field.default is None:
            continue
        if not accepts(value):
            raise RecipeError(f"The {kind} key `{field.name}` must be {description}. Received: {value!r}")


@dataclasses.dataclass(frozen=True)
class SoftmaxStage:
    """One stage of training a representation with a softmax: what learns, and how.

    Raises:
        RecipeError: for a value of the wrong type or range.

    Example:
        >>> SoftmaxStage(train="classifier", steps=100, optimizer="adam", learning_rate=0.01).decay_steps is None
        True

    Reference:
        Girdhar et al., CVPR 2017, Section 3.3: the classifier first, then all.
    """

    train: str = _key("all", _choice("classifier", "all"), "the classifier alone, or all that is trainable")
    steps: int = _key(5000, _POSITIVE_INTEGER, "training steps")
    optimizer: str = _key("adam", _choice("adadelta", "adam", "sgd"), "optimizer")
    learning_rate: float = _key(1e-3, _POSITIVE, "base learning rate")
    epsilon: float | None = _key(None, _POSITIVE, "of the optimizer; none: Keras's default")
    decay_steps: int | None = _key(None, _POSITIVE_INTEGER, "steps after which the learning rate falls; none: never")
    decay: float = _key(0.1, _POSITIVE, "the factor by which it falls")
    clip_norm: float | None = _key(None, _POSITIVE, "largest norm of all gradients together; none: any")
    weight_decay: float = _key(0.0, _NOT_NEGATIVE, "of all kernels but those of the representation")

    def __post_init__(self):
        _check_fields(self, "stage")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that determines a model and its training; the keys are those of `zoo/<name>.yaml`.

    Raises:
        RecipeError: for a value of the wrong type or range.

    Example:
        >>> Recipe(name="mine", backbone="MobileNetV2").latent_dim
        255
    """

    name: str = _key("", _TEXT, "name of the entry")
    description: str = _key("", _TEXT, "one paragraph for the card")
    dataset: str = _key("auto", _choice(*DATASETS), "kind of the data set; auto: recognised by its layout")
    dataset_options: dict = _key({}, _MAPPING, "further arguments of the data set's loader, such as split: 2")
    test_fraction: float = _key(0.25, _SHARE, "share held out of a folder without train and test parts")
    backbone: str = _key("VGG19", _TEXT, "a name from keras_fvvae.backbones.BACKBONES")
    backbone_options: dict = _key({}, _MAPPING, "further arguments of the Keras Applications function")
    tap: str | None = _key(None, _TEXT, "layer whose activations are encoded, or two, 'a+b'; none: the last stage")
    trainable_from: str | None = _key(None, _TEXT, "first backbone layer trained end to end; none: frozen; 'all'")
    fine_tune_steps: int = _key(0, _COUNT, "steps of fine-tuning the backbone with a softmax first; 0: none")
    fine_tune_from: str = _key("all", _TEXT, "first backbone layer that is fine-tuned; 'all'")
    fine_tune_learning_rate: float = _key(1e-3, _POSITIVE, "of fine-tuning, by SGD with momentum 0.9")
    fine_tune_batch_size: int = _key(32, _POSITIVE_INTEGER, "views per step of fine-tuning")
    input_size: list = _key([224, 224], _POSITIVE_INTEGERS, "height and width of the input in pixels")
    resize_to: list | None = _key(None, _POSITIVE_INTEGERS, "size images and frames are cropped from; none: input_size")
    resize: str = _key("squeeze", _choice("squeeze", "crop", "pad"), "how an image is brought to that size")
    crops: str = _key("center", _choice("center", "ten"), "views of an image or frame; trained backbones: random ones")
    modality: str = _key("rgb", _choice("rgb", "flow", "flow_stack"), "what is seen of a video")
    frames: int = _key(25, _POSITIVE_INTEGER, "frames of a video, uniformly spaced")
    frame_step: int | None = _key(None, _POSITIVE_INTEGER, "every so many-th frame of a video instead")
    flow_method: str = _key("dis", _choice("dis", "farneback"), "optical flow")
    flow_bound: float = _key(20.0, _POSITIVE, "displacements are clipped to so many pixels")
    random_shift: int = _key(0, _COUNT, "pixels; trained backbones only")
    random_mirror: bool = _key(False, _FLAG, "left to right; likewise")
    descriptors: str = _key("spp", _choice("spp", "dense"), "spatial pyramid pooling, or every position of the map")
    spp_levels: list = _key([6, 3, 2, 1], _LEVELS, "levels of the pyramid")
    spp_pooling: str = _key("max", _choice("max", "average"), "pooling inside the pyramid's windows")
    normalization: str = _key("map", _choice("map", "descriptor", "none"), "scheme of DescriptorNormalization")
    normalization_scale: float | None = _key(None, _POSITIVE, "norm of a whole map; none: sqrt(H * W * C)")
    sampled_descriptors: int | None = _key(None, _POSITIVE_INTEGER, "descriptors of an image in a step; none: all")
    representation: str = _key("fv_vae", _choice(*REPRESENTATIONS), "encoding of descriptors; docs/representations.md")
    representation_options: dict = _key({}, _MAPPING, "further arguments of its layer, such as num_centroids: 64")
    latent_dim: int = _key(255, _POSITIVE_INTEGER, "latent variables of the FV-VAE")
    hidden_units: list | None = _key(None, _POSITIVE_INTEGERS, "hidden layers of the encoder; none: one of C units")
    hidden_activation: str = _key("relu", _choice(*ACTIVATIONS), "activation of the hidden layers")
    decoder_units: list = _key([], _POSITIVE_INTEGERS, "hidden layers of the decoder")
    decoder_layers: str = _key("last", _choice("last", "all"), "decoder layers whose gradient is the Fisher vector")
    attention: bool = _key(False, _FLAG, "learnt weights of descriptors; see FVVAELayer")
    dropout: float = _key(0.5, _SHARE, "on the encoder's input; on other trained representations themselves")
    stop_target_gradient: bool = _key(False, _FLAG, "see FVVAELayer")
    lambda1: float = _key(1.0, _NOT_NEGATIVE, "weight of the reconstruction loss")
    lambda2: float = _key(1.0, _NOT_NEGATIVE, "weight of the regularisation loss")
    lambda3: float = _key(1e3, _NOT_NEGATIVE, "weight of the classification loss; 0: FV-VAE minus")
    optimizer: str = _key("adadelta", _choice("adadelta", "adam", "sgd"), "optimizer")
    learning_rate: float = _key(1.0, _POSITIVE, "base learning rate")
    learning_rate_multipliers: dict | None = _key(None, _MULTIPLIERS, "pattern: factor; none: the release's")
    batch_size: int = _key(128, _POSITIVE_INTEGER, "images per training step")
    steps: int = _key(5000, _POSITIVE_INTEGER, "training steps")
    views_per_step: int = _key(1, _POSITIVE_INTEGER, "views of an item in a step; several are one bag (ActionVLAD)")
    stages: list = _key([], _MAPPINGS, "of a softmax training, in order: see SoftmaxStage; none: one, of Adam at 1e-3")
    information: str = _key("diagonal", _choice("diagonal", "kronecker", "none"), "form of the Fisher information")
    damping: float = _key(0.1, _NOT_NEGATIVE, "of the Kronecker form")
    pca_components: int | None = _key(None, _POSITIVE_INTEGER, "PCA of the vectors to so many; none: as they are")
    svm_c: float = _key(100.0, _POSITIVE, "C of the one-vs-all SVM")
    seed: int = _key(0, _SEED, "of everything random")
    paper: dict = _key({}, _MAPPING, "where the paper reports this model, and what")
    weights: dict = _key({}, _MAPPING, "file and sha256 of trained weights that ship with the package")
    measured: list = _key([], _LIST, "results measured with this library: command, data, protocol, machine, figures")
    licence: str = _key("Apache-2.0", _TEXT, "of the trained weights")
    citation: str = _key("", _TEXT, "what to cite beside the FV-VAE paper")

    def __post_init__(self):
        _check_fields(self, "recipe")
        if self.stages:
            _ = self.softmax_stages
        for key in ("input_size", "resize_to"):
            size = getattr(self, key)
            if size is not None and len(size) != 2:
                raise RecipeError(f"The recipe key `{key}` must be [height, width]. Received: {size!r}")
        if self.resize_to and any(a < b for a, b in zip(self.resize_to, self.input_size, strict=True)):
            raise RecipeError(
                f"`resize_to` {self.resize_to} must be at least as large as the crop, `input_size` {self.input_size}."
            )

    def replace(self, **overrides):
        """A copy with other values.

        Raises:
            RecipeError: for an unknown key, naming the nearest known one, or a wrong value.
        """
        known = [field.name for field in dataclasses.fields(self)]
        for key in overrides:
            if key not in known:
                raise RecipeError(unknown_name("recipe key", str(key), known))
        return dataclasses.replace(self, **overrides)

    def to_yaml(self):
        """The recipe as YAML, every key included."""
        return yaml.safe_dump(dataclasses.asdict(self), sort_keys=False, allow_unicode=True, width=120)

    @property
    def softmax_stages(self):
        """The `SoftmaxStage`s of a representation that is trained with a softmax."""
        if not self.stages:
            # The optimizer of the keys beside `steps` is the FV-VAE's.
            return [SoftmaxStage("all", self.steps)]
        known = [field.name for field in dataclasses.fields(SoftmaxStage)]
        for key in (key for stage in self.stages for key in stage):
            if key not in known:
                raise RecipeError(unknown_name("key of a stage", str(key), known))
        return [SoftmaxStage(**stage) for stage in self.stages]

    @property
    def loss_weights(self):
        """`(lambda1, lambda2, lambda3)` of Eq. 8."""
        return self.lambda1, self.lambda2, self.lambda3


def as_number(value):
    """A number for text that is one: YAML takes `1e-3` for text; any other value as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def list_recipes():
    """Names of the recipes that ship with the package, sorted."""
    files = resources.files(ENTRIES).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def load_recipe(name, **overrides):
    """Reads a recipe of the zoo, or a YAML file of one's own.

    Args:
        name: an entry's name, or the path of a `.yaml` file.
        **overrides: values for any of its keys.

    Returns:
        A validated `Recipe`.

    Raises:
        RecipeError: for an unknown entry or key, a wrong value, or a file that is not a recipe.

    Example:
        >>> load_recipe("digits_conv", lambda3=0.0).loss_weights
        (1.0, 1.0, 0.0)
    """
    if str(name).endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise RecipeError(f"The recipe file {path} does not exist.")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"The recipe file {path} cannot be read as UTF-8 text: {error}") from error
        return recipe_from_yaml(text, str(path)).replace(**overrides)
    if name not in list_recipes():
        raise RecipeError(unknown_name("zoo entry", str(name), list_recipes()))
    text = (resources.files(ENTRIES) / f"{name}.yaml").read_text(encoding="utf-8")
    return recipe_from_yaml(text, f"zoo/{name}.yaml").replace(**overrides)


def recipe_from_yaml(text, where):
    """Parses and validates a recipe; `where` names the source in errors."""
    try:
        content = parse_yaml(text)
    except TextError as error:
        raise RecipeError(f"{where} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{where} does not hold a recipe: a mapping of keys to values is expected.")
    try:
        return Recipe().replace(**{str(key): value for key, value in content.items()})
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from error
