"""From a recipe and the user's folder to a collection."""

from keras_fvvae.data import load_digits
from keras_fvvae.data.catalogue import load_dataset
from keras_fvvae.data.moving_digits import load_moving_digits
from keras_fvvae.errors import DataError
from keras_fvvae.recipes import EMBEDDED_DATASETS

_EMBEDDED = {"digits": load_digits, "moving_digits": load_moving_digits}


def recipe_collection(recipe, data=None, common_classes=False):
    """The collection that a recipe is trained on.

    Args:
        recipe: a `Recipe`; its `dataset` names the kind, its `dataset_options` are the loader's.
        data: folder (or list) of the data; not for the embedded data sets.
        common_classes: whether to keep only the classes with both training and test items, for partial copies.

    Returns:
        A `Collection`.

    Raises:
        DataError: if the data cannot be used, or `data` is missing or not wanted.
    """
    embedded = recipe.dataset in EMBEDDED_DATASETS
    if embedded and data is not None:
        raise DataError(f"The recipe {recipe.name} brings its own data ({recipe.dataset}); leave out --data.")
    if not embedded and data is None:
        raise DataError(f"The recipe {recipe.name} needs --data: the folder or list of your images or videos.")
    if embedded:
        collection = _EMBEDDED[recipe.dataset](**recipe.dataset_options)
    else:
        options = {"test_fraction": recipe.test_fraction, "seed": recipe.seed, **recipe.dataset_options}
        collection = load_dataset(data, recipe.dataset, **options)
    return collection.of_common_classes() if common_classes else collection
