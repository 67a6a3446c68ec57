import pytest

from keras_fvvae import errors


@pytest.mark.parametrize("name", ["DataError", "RecipeError", "WeightsError", "RunError"])
def test_one_family(name):
    """The command line catches the base class alone."""
    assert issubclass(getattr(errors, name), errors.KerasFVVAEError)
    assert not issubclass(getattr(errors, name), ValueError)


def test_unknown_name_with_a_near_one():
    message = errors.unknown_name("tap of VGG19", "conv54", {"pool5": 1, "conv5_4": 2})
    assert message == "Unknown tap of VGG19 'conv54'; did you mean 'conv5_4'? Known: 'conv5_4', 'pool5'."


def test_unknown_name_without_a_near_one():
    message = errors.unknown_name("zoo entry", "xyz", ["digits_conv", "image_folder"])
    assert message == "Unknown zoo entry 'xyz'. Known: 'digits_conv', 'image_folder'."


def test_unknown_name_for_which_nothing_is_known():
    assert errors.unknown_name("zoo entry", "xyz", []).startswith("Unknown zoo entry 'xyz'.")
