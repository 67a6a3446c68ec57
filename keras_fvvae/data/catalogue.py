"""The data set layouts that can be loaded, as a table, and one function that recognises them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keras_fvvae.data.datasets.activitynet import find_activitynet_annotations, load_activitynet
from keras_fvvae.data.datasets.cub import find_cub, load_cub
from keras_fvvae.data.datasets.folder import load_folder
from keras_fvvae.data.datasets.listing import load_list
from keras_fvvae.data.datasets.tfds import load_tfds
from keras_fvvae.data.datasets.ucf101 import UCF101_SPLITS, find_ucf101_lists, load_ucf101
from keras_fvvae.errors import DataError, unknown_name

# Folders of videos whose lists lie beside them; other folders are not taken for a part of what lies beside them.
_VIDEO_FOLDERS = ("ucf-101", "videos", "rawframes")


@dataclass(frozen=True)
class Dataset:
    """A layout: `load(path, **options)`, `recognises(path)`, and what it is in one line."""

    load: Callable
    recognises: Callable
    description: str

    @property
    def options(self):
        """The options that `load` takes: a dictionary from name to `inspect.Parameter`."""
        parameters = inspect.signature(self.load).parameters
        return {key: entry for key, entry in parameters.items() if key not in ("directory", "path")}


def _places(directory):
    """Where a data folder's lists may be: in it, and beside it if it has the name of a folder of videos."""
    directory = Path(directory)
    return [directory, directory.parent] if directory.absolute().name.lower() in _VIDEO_FOLDERS else [directory]


def _is_ucf101(directory):
    return any(find_ucf101_lists(directory, place, split) for place in _places(directory) for split in UCF101_SPLITS)


def _is_activitynet(directory):
    folders = [folder for place in _places(directory) for folder in (place, place / "annotations") if folder.is_dir()]
    return any(find_activitynet_annotations(directory, folder) for folder in folders)


def _load_tfds(directory, builder, train="train", test="test", image=None, label=None, data_dir=None):
    """`load_tfds` with the path first, as every loader here takes it."""
    return load_tfds(builder, directory, train, test, image, label, data_dir)


# In the order in which they are tried.
DATASETS = {
    "list": Dataset(load_list, lambda path: Path(path).is_file(), "a CSV or JSON lines file of images or videos"),
    "cub": Dataset(load_cub, find_cub, "Caltech-UCSD Birds-200-2011"),
    "ucf101": Dataset(load_ucf101, _is_ucf101, "UCF101, official or MMAction2 lists"),
    "activitynet": Dataset(load_activitynet, _is_activitynet, "ActivityNet, untrimmed videos"),
    "tfds": Dataset(_load_tfds, lambda path: False, "TensorFlow Datasets: takes the option `builder`, a name"),
    "folder": Dataset(load_folder, lambda path: True, "a folder with one sub-folder per class"),
}


def load_dataset(directory, name="auto", **options):
    """Collects the images or videos of a data set.

    Args:
        directory: the data folder, or a list.
        name: one of `DATASETS`, or `"auto"`: the first that recognises the path.
        **options: further arguments of that data set's loader.

    Returns:
        A `Collection`.

    Raises:
        ValueError: for an unknown name, or an option that the loader does not take.
        DataError: if the data set cannot be loaded.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.jpg").write_bytes(b"")
        >>> _ = (folder / "list.csv").write_text("file,label,split\\na.jpg,cat,train\\n")
        >>> load_dataset(folder / "list.csv").class_names
        ['cat']
    """
    if name != "auto" and name not in DATASETS:
        raise ValueError(unknown_name("data set", name, [*DATASETS, "auto"]))
    if not Path(directory).exists() and name != "tfds":
        raise DataError(f"The data folder or list {directory} does not exist.")
    chosen = recognise(directory) if name == "auto" else name
    known = DATASETS[chosen].options
    recognised = f" {directory} was taken for {chosen!r}; pass `name` for another." if name == "auto" else ""
    for option in options:
        if option not in known:
            raise ValueError(unknown_name(f"option of the data set {chosen!r}:", option, known) + recognised)
    for key, entry in known.items():
        if entry.default is entry.empty and key not in options:
            raise ValueError(f"The data set {chosen!r} needs the option `{key}`.")
    return DATASETS[chosen].load(directory, **options)


def recognise(directory):
    """The name of the first of `DATASETS` that recognises a path."""
    return next(name for name, entry in DATASETS.items() if entry.recognises(directory))
