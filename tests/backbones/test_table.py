import keras
import numpy as np
import pytest

from keras_fvvae.backbones import BACKBONES, build_backbone, set_trainable
from keras_fvvae.backbones.taps import TRUNK
from keras_fvvae.errors import RecipeError, WeightsError
from keras_fvvae.layers import BackbonePreprocessing
from keras_fvvae.utils.model_digests import weights_digest

# All of them take images of this size; the two sides differ, so that a swap shows.
SIZE = (96, 80)
TAP_SIZE = (96, 64)
SAVED = {"DigitsConvNet", "MobileNetV2", "EfficientNetLite2"}
# One of a family is built by default; the others are its larger sisters.
QUICK = (
    "VGG16", "VGG19", "ResNet50", "ResNet152", "ResNet50V2", "DenseNet121", "MobileNet", "MobileNetV2", "InceptionV3",
    "Xception", "MobileNetV3Small", "EfficientNetB0", "EfficientNetV2B0", "ConvNeXtTiny", "EfficientNetLite2",
    "DigitsConvNet",
)  # fmt: skip
# Keras Applications lacks them.
OWN = {name for name, info in BACKBONES.items() if info.build}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES if name not in QUICK]
TAPS = {
    "conv4_3": (8, 512),
    "conv5_3": (16, 512),
    "conv5_4": (16, 512),
    "pool5": (32, 512),
    "res5c": (32, 2048),
}


def _images(size=(8, 8), count=2):
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3)).astype("float32")


def _digits_net(tap=None, **options):
    return build_backbone("DigitsConvNet", tap, (8, 8), options={"filters": 4, **options})


@pytest.mark.system
@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_every_backbone_of_the_table(name, tmp_path):
    size = SIZE if "NASNet" not in name else (96, 96)  # NASNet's cells add maps of odd sides only if both are alike
    backbone = build_backbone(name, input_size=size)
    assert backbone.input.shape == (None, *size, 3)
    batch, height, _, channels = backbone.output.shape
    assert batch is None
    assert size[0] // height >= (1 if name == "DigitsConvNet" else 32)
    assert channels >= 64
    assert isinstance(backbone.layers[1], BackbonePreprocessing)
    assert set(BACKBONES[name].taps.values()) <= {layer.name for layer in backbone.get_layer(TRUNK).layers}
    if name in SAVED:
        backbone.save(tmp_path / "backbone.keras")
        loaded = keras.saving.load_model(tmp_path / "backbone.keras")
        np.testing.assert_allclose(loaded(_images(size)), backbone(_images(size)), rtol=1e-5, atol=1e-5)


def _modules():
    """Of every function of Keras Applications the module that holds its preprocessing."""
    modules = [module for module in vars(keras.applications).values() if hasattr(module, "preprocess_input")]
    found = {name: module for module in modules for name in vars(module) if name[:1].isupper()}
    # This module does not hold its own models.
    return found | dict.fromkeys(("MobileNetV3Small", "MobileNetV3Large"), keras.applications.mobilenet_v3)


@pytest.mark.parametrize("name", [name for name in BACKBONES if name not in OWN])
def test_preprocessing_is_that_of_keras_applications(name):
    images = _images()
    ours = BackbonePreprocessing(BACKBONES[name].preprocessing)(images)
    theirs = _modules()[name].preprocess_input(images.copy())
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_every_model_of_keras_applications_is_in_the_table():
    assert set(_modules()) == set(BACKBONES) - OWN


@pytest.mark.parametrize(
    ("name", "tap", "shape"), [("VGG16", "fc7", (1, 1, 4096)), ("ResNet50", "pool5", (1, 1, 2048))]
)
def test_global_activations(name, tap, shape):
    backbone = build_backbone(name, tap)
    assert backbone.output.shape == (None, *shape)
    images = _images((224, 224), 1)
    layer = BACKBONES[name].vector_taps[tap][0]
    assert backbone.get_layer(TRUNK).output.shape == (None, shape[-1])
    assert backbone.get_layer(TRUNK).layers[-1].name == layer
    if name == "ResNet50":
        maps = keras.Model(backbone.input, backbone.get_layer(TRUNK)(backbone.layers[1].output))(images)
        np.testing.assert_allclose(backbone(images)[:, 0, 0], maps, rtol=1e-5)


@pytest.mark.parametrize("name", ["VGG16", "VGG19", "ResNet50"])
def test_taps_of_the_paper(name):
    trunk = build_backbone(name, input_size=TAP_SIZE).get_layer(TRUNK)
    for tap, layer in BACKBONES[name].taps.items():
        stride, channels = TAPS[tap]
        expected = (None, *(round(side / stride) for side in TAP_SIZE), channels)
        # VGG's block 4 ends at stride 8, and its block 5 works at stride 16.
        assert trunk.get_layer(layer).output.shape == expected, tap


def test_tap_by_the_name_of_a_layer_is_that_layers_output():
    backbone = _digits_net("conv2")
    full = _digits_net()
    full.set_weights([*backbone.get_weights(), *full.get_weights()[4:]])
    trunk = full.get_layer(TRUNK)
    conv2 = keras.Model(trunk.inputs[0], trunk.get_layer("conv2").output)
    np.testing.assert_allclose(backbone(_images()), conv2(_images() / 127.5 - 1.0), rtol=1e-5, atol=1e-6)


def test_linear_tap_is_before_the_activation():
    after, before = _digits_net("conv2"), _digits_net("conv2/linear")
    before.set_weights(after.get_weights())
    linear = np.array(before(_images()))
    assert linear.min() < 0
    np.testing.assert_array_equal(after(_images()), np.maximum(linear, 0))
    # Layers below keep theirs.
    assert before.get_layer(TRUNK).get_layer("conv1").activation is keras.activations.relu


def test_linear_tap_by_its_short_name():
    before = build_backbone("VGG16", "conv5_3/linear", (32, 32))
    trunk = before.get_layer(TRUNK)
    assert trunk.layers[-1].name == "block5_conv3"
    assert trunk.layers[-1].activation is keras.activations.linear


def test_preprocessing_is_part_of_the_backbone():
    backbone = build_backbone("VGG16", "block1_conv1/linear", (32, 32))
    kernel, bias = backbone.get_weights()
    image = _images((32, 32), count=1)
    bgr = image[..., ::-1] - np.array([103.939, 116.779, 123.68])
    center = np.einsum("hwi,hwio->o", bgr[0, 9:12, 19:22], kernel) + bias
    np.testing.assert_allclose(backbone(image)[0, 10, 20], center, rtol=1e-4, atol=1e-3)


def test_dynamic_input_size():
    backbone = build_backbone("DigitsConvNet", input_size=(None, None), options={"filters": 4})
    assert backbone.output.shape == (None, None, None, 4)
    assert backbone(_images((5, 9))).shape == (2, 5, 9, 4)


def test_options_reach_the_backbone():
    assert build_backbone("MobileNetV2", "Conv1", (32, 32), options={"alpha": 0.35}).output.shape[-1] == 16
    assert _digits_net(filters=10).output.shape[-1] == 10


@pytest.mark.parametrize(
    ("trainable_from", "trained"),
    [(None, []), ("conv3", ["conv3"]), ("conv2", ["conv2", "conv3"]), ("all", ["conv1", "conv2", "conv3"])],
)
def test_set_trainable(trainable_from, trained, tmp_path):
    backbone = _digits_net()
    backbone.trainable = False  # whatever was set before, by hand or by it
    set_trainable(backbone, "conv2")
    set_trainable(backbone, trainable_from)

    def trained_layers(model):
        return sorted({variable.path.split("/")[-2] for variable in model.trainable_variables})

    assert trained_layers(backbone) == trained
    backbone.save(tmp_path / "backbone.keras")
    assert trained_layers(keras.saving.load_model(tmp_path / "backbone.keras")) == trained


def test_set_trainable_from_an_unknown_layer():
    with pytest.raises(RecipeError, match="Unknown layer in `trainable_from` 'conv_3'; did you mean 'conv3'?"):
        set_trainable(_digits_net(), "conv_3")


def test_real_weights(shared):
    """The activations are those that Keras Applications itself computes with the same file."""
    path = shared / "weights" / "mobilenetv2_0.35_224_notop.weights.h5"
    backbone = build_backbone("MobileNetV2", None, (96, 64), path, {"alpha": 0.35})
    reference = keras.applications.MobileNetV2((96, 64, 3), alpha=0.35, include_top=False, weights=None)
    reference.load_weights(path)
    images = _images((96, 64))
    expected = reference(keras.applications.mobilenet_v2.preprocess_input(images.copy()))
    np.testing.assert_allclose(backbone(images), expected, rtol=1e-4, atol=1e-4)
    assert np.ptp(expected) > 0.1


def test_weights_across_modalities(shared):
    """Every channel of a stack of flow gets the mean of the kernels for red, green and blue; the rest is as it was."""
    path = shared / "weights" / "mobilenetv2_0.35_224_notop.weights.h5"
    rgb = build_backbone("MobileNetV2", None, SIZE, path, {"alpha": 0.35}).get_layer(TRUNK)
    backbone = build_backbone("MobileNetV2", None, SIZE, path, {"alpha": 0.35}, channels=20)
    flow = backbone.get_layer(TRUNK)
    assert backbone.input.shape == (None, *SIZE, 20)
    changed = []
    for source, target in zip(rgb.weights, flow.weights, strict=True):
        source_value, target_value = (keras.ops.convert_to_numpy(value) for value in (source, target))
        if source_value.shape == target_value.shape:
            np.testing.assert_array_equal(target_value, source_value)
        else:
            changed.append((source.name, source_value, target_value))
    ((name, kernel, stacked),) = changed
    assert (name, stacked.shape) == ("kernel", (3, 3, 20, kernel.shape[-1]))
    for channel in range(20):
        np.testing.assert_allclose(stacked[:, :, channel], kernel.mean(axis=2), rtol=1e-6, atol=1e-8)
    # So a stack of one value acts as gray of that value, 20 / 3 times as bright.
    gray = np.random.default_rng(0).uniform(-1, 1, (1, *SIZE, 1)).astype("float32")
    expected = rgb([np.repeat(gray * 20 / 3, 3, axis=-1)])
    np.testing.assert_allclose(flow([np.repeat(gray, 20, axis=-1)]), expected, rtol=1e-3, atol=1e-3)


def test_backbone_for_stacks_of_flow_survives_saving(tmp_path):
    backbone = build_backbone("DigitsConvNet", "conv2", (8, 8), options={"filters": 4}, channels=20)
    backbone.save(tmp_path / "backbone.keras")
    flow = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 20)).astype("float32")
    loaded = keras.saving.load_model(tmp_path / "backbone.keras")
    np.testing.assert_allclose(loaded(flow), backbone(flow), rtol=1e-5, atol=1e-6)


class _FarEnough(Exception):  # noqa: N818  (no error)
    """What comes after the first convolution need not be computed."""


@pytest.mark.parametrize(
    "name", ["VGG16", "DenseNet121", "MobileNetV2", "EfficientNetV2B0", "EfficientNetLite2", "ConvNeXtTiny"]
)
def test_no_motion_is_zero_for_the_first_convolution(name):
    """Whoever does the preprocessing: no motion is 0, full motion about as large as the brightest pixel."""
    backbone = build_backbone(name, None, (32, 32), channels=20)
    trunk = backbone.get_layer(TRUNK)
    layers = (layer for nested in trunk.layers for layer in getattr(nested, "layers", [nested]))
    convolution = next(layer for layer in layers if isinstance(layer, keras.layers.Conv2D))
    seen = []

    def call(inputs):
        seen.append(np.asarray(inputs))
        raise _FarEnough

    convolution.call = call
    for value in (128, 255):
        with pytest.raises(_FarEnough):
            backbone(np.full((1, 32, 32, 20), value, "float32"))
    still, fast = (inputs[:, 8:-8, 8:-8] for inputs in seen)
    assert np.abs(still).max() < 1e-6
    assert np.ptp(fast) < 1e-6
    assert (100 < fast.mean() < 130) if name == "VGG16" else (0.9 < fast.mean() < 2.3)


@pytest.mark.parametrize("channels", [1, 20])
def test_weights_of_rgb_that_do_not_fit_are_refused_for_flow(tmp_path, channels):
    path = tmp_path / "damaged.weights.h5"
    path.write_bytes(b"not HDF5")
    with pytest.raises(WeightsError, match="damaged.weights.h5 do not fit DigitsConvNet"):
        build_backbone("DigitsConvNet", None, (8, 8), path, channels=channels)


def test_weights_of_another_architecture(shared):
    path = shared / "weights" / "mobilenetv2_0.35_224_notop.weights.h5"
    with pytest.raises(WeightsError, match="do not fit DigitsConvNet .*, or are damaged.*Check"):
        build_backbone("DigitsConvNet", None, (8, 8), path)


def test_damaged_weights(tmp_path):
    path = tmp_path / "damaged.weights.h5"
    path.write_bytes(b"not HDF5")
    with pytest.raises(WeightsError, match="damaged.weights.h5 do not fit DigitsConvNet"):
        build_backbone("DigitsConvNet", None, (8, 8), path)


@pytest.mark.parametrize("path", ["missing.weights.h5", "."])
def test_missing_weights(tmp_path, path):
    with pytest.raises(WeightsError, match="The backbone weights .* are not a file. Check `backbone_weights`."):
        build_backbone("DigitsConvNet", None, (8, 8), tmp_path / path)


def test_weights_that_do_not_exist_are_not_random():
    with pytest.raises(WeightsError, match="DigitsConvNet"):
        build_backbone("DigitsConvNet", None, (8, 8), "imagenet")


def test_failed_download(monkeypatch):
    """As `keras.utils.get_file` fails without a network."""

    def no_network(*args, **kwargs):
        raise Exception("URL fetch failure on https://storage.googleapis.com/x: None -- no route\nand more lines")

    monkeypatch.setattr("keras.src.applications.mobilenet_v2.file_utils.get_file", no_network)
    with pytest.raises(WeightsError) as raised:
        build_backbone("MobileNetV2", None, (96, 96), "imagenet", {"alpha": 0.35})
    message = str(raised.value)
    assert message.startswith("The ImageNet weights of MobileNetV2 could not be downloaded (URL fetch failure on https")
    assert "`backbone_weights` (--backbone-weights PATH), or None for random weights." in message
    assert "\n" not in message


def test_unknown_backbone():
    with pytest.raises(RecipeError, match="Unknown backbone 'VGG-19'; did you mean 'VGG19'?"):
        build_backbone("VGG-19")


@pytest.mark.parametrize("tap", ["con3", "con3/linear"])
def test_unknown_tap(tap):
    with pytest.raises(RecipeError, match="Unknown tap of DigitsConvNet 'con3'; did you mean 'conv3'?"):
        _digits_net(tap)


def test_linear_tap_without_a_fused_activation():
    with pytest.raises(RecipeError, match="The tap 'pool5' of VGG16 has no fused activation: leave out '/linear'."):
        build_backbone("VGG16", "pool5/linear", (32, 32))
    with pytest.raises(RecipeError, match="has no fused activation"):
        build_backbone("MobileNetV2", "Conv_1/linear", (32, 32), options={"alpha": 0.35})


def _classifying_net(input_shape, weights=None, include_top=False):
    inputs = keras.Input(input_shape)
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="pool")(x))


@pytest.mark.parametrize("tap", ["pool", None])
def test_tap_that_is_no_map(monkeypatch, tap):
    monkeypatch.setitem(BACKBONES, "Classifying", type(BACKBONES["VGG16"])("tf", build=f"{__name__}:_classifying_net"))
    assert build_backbone("Classifying", "conv", (8, 8)).output.shape == (None, 6, 6, 4)
    with pytest.raises(RecipeError, match=r"is not an activation map: its shape is \(None, 4\)"):
        build_backbone("Classifying", tap, (8, 8))


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [("DigitsConvNet", (8, 8), {"widht": 3}), ("VGG16", (8, 8), None), ("MobileNetV2", (32, 32), {"alpha": "much"})],
)
def test_option_or_size_that_cannot_work(name, size, options):
    with pytest.raises(RecipeError, match=f"{name} cannot be built for .* images of 3 channels with options"):
        build_backbone(name, None, size, options=options)


def test_two_taps_follow_one_another_in_the_channels():
    both = build_backbone("DigitsConvNet", "conv2+conv3", (8, 8), options={"filters": 4})
    trunk = both.get_layer(TRUNK)
    images = _images()
    parts = keras.Model(trunk.inputs, [trunk.get_layer("conv2").output, trunk.get_layer("conv3").output])
    expected = np.concatenate(parts(both.get_layer("preprocessing")(images)), axis=-1)
    np.testing.assert_allclose(both(images), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "taps"),
    [
        ("VGG19", ("block5_conv3/linear", "conv5_4")),
        ("VGG19", ("conv5_4", "conv5_4/linear")),
        ("DigitsConvNet", ("conv2", "conv3/linear")),
        ("DigitsConvNet", ("conv2/linear", "conv3/linear")),
    ],
)
def test_a_linear_tap_leaves_the_other_as_it_is(name, taps, tmp_path):
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")

    def built(tap):
        keras.utils.set_random_seed(4)
        return build_backbone(name, tap, (32, 32))

    both = built("+".join(taps))
    expected = np.concatenate([np.array(built(tap)(images)) for tap in taps], axis=-1)
    tolerance = 1e-6 * np.abs(expected).max()
    np.testing.assert_allclose(both(images), expected, rtol=0, atol=tolerance)
    whole = built("+".join(tap.removesuffix("/linear") for tap in taps))
    assert weights_digest(both) == weights_digest(whole)
    both.save(tmp_path / "both.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "both.keras")(images), expected, 0, tolerance)


def test_two_taps_must_have_maps_of_one_shape():
    with pytest.raises(RecipeError, match=r"must have maps of one shape; they have \(8, 8, 2\) and \(8, 8, 4\)"):
        build_backbone("DigitsConvNet", "conv1+conv3", (8, 8), options={"filters": 4})


@pytest.mark.parametrize(
    ("name", "tap", "size", "message"),
    [
        ("MobileNetV2", "fc7/dense", (256, 256), "of VGG only"),
        ("ResNet50", "pool5/dense", (256, 256), "of VGG only"),
        ("VGG16", "fc7/dense", (192, 256), "at least 224 pixels"),
        ("VGG16", "fc7/dense", (None, 192), "at least 224 pixels"),
    ],
)
def test_dense_regions_that_cannot_be(name, tap, size, message):
    with pytest.raises(RecipeError, match=message):
        build_backbone(name, tap, size)


@pytest.mark.slow
def test_fully_connected_activations_of_dense_regions():
    keras.utils.set_random_seed(0)
    dense = build_backbone("VGG16", "fc6/dense", (224, 256))
    keras.utils.set_random_seed(0)
    whole = build_backbone("VGG16", "fc6", (224, 224))
    images = _images((224, 224), 1)
    assert dense.output.shape == (None, 1, 2, 4096)
    regions = dense.get_layer(TRUNK)(dense.get_layer("preprocessing")(images))
    np.testing.assert_allclose(regions, whole(images), rtol=0, atol=1e-4 * np.abs(whole(images)).max())
