from pathlib import Path

import keras
import numpy as np
import pytest

from keras_fvvae import layers
from keras_fvvae.layers.old_names import with_new_names

WRITTEN = Path(__file__).parents[1] / "compatibility" / "files"


def test_a_file_of_version_0_1_gives_what_it_gave():
    """Written by `make_adapted_layers.py` there: every layer whose arguments have new names, and those that `adapt`."""
    model = keras.saving.load_model(WRITTEN / "adapted_layers.keras", safe_mode=True)
    with np.load(WRITTEN / "adapted_layers.npz") as file:
        maps, guidance, expected = file["maps"], file["guidance"], dict(file)
    outputs = model([maps, guidance])
    assert set(outputs) == set(expected) - {"maps", "guidance"}
    for name, vectors in outputs.items():
        assert np.abs(expected[name]).max() > 0.01
        np.testing.assert_allclose(vectors, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)
    adapted = [layer for layer in model.layers if hasattr(layer, "is_adapted")]
    assert len(adapted) == 8
    assert all(layer.is_adapted for layer in adapted)


@pytest.mark.parametrize(
    ("kind", "config", "argument", "value"),
    [
        (layers.RandomMaclaurin, {"dimension": 7, "normalize": False}, "output_dim", 7),
        (layers.RandomMaclaurin, {"dimension": 7, "normalize": True}, "normalization", "improved"),
        (layers.CrossLayerPooling, {"components": None, "normalize": False}, "num_components", None),
        (layers.GramPCA, {"components": 3, "normalize": True}, "normalization", "l2"),
        (layers.ActionVLAD, {"normalize": False}, "normalization", None),
        (layers.DescriptorSampling, {"count": 5}, "num_descriptors", 5),
        (layers.VectorNormalization, {"steps": ["blocks"], "blocks": 2}, "num_blocks", 2),
    ],
)
def test_configurations_in_old_names(kind, config, argument, value):
    layer = kind.from_config(config)
    assert getattr(layer, argument) == value
    assert not {"dimension", "components", "count", "blocks", "normalize"} & set(layer.get_config())


def test_one_name_or_the_other():
    with pytest.raises(ValueError, match="`dimension` is the former name of `output_dim`: give one of them"):
        with_new_names({"dimension": 3, "output_dim": 3})


@pytest.mark.parametrize("kind", [layers.NetVLAD, layers.BilinearPooling, layers.LearntGuidancePooling])
def test_flags_are_not_normalizations(kind):
    with pytest.raises(ValueError, match="`normalization` must be None or 'improved'. Received: normalization=True"):
        kind(normalization=True)
