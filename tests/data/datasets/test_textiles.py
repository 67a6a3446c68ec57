"""The simulated textiles: what is chosen, its fixed split, what is said where the package is absent or broken."""

import hashlib
import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_fvvae.data.catalogue import load_dataset
from keras_fvvae.data.datasets.textiles import FOLDER, IMAGES, PACKAGE, RELEASE, load_textiles
from keras_fvvae.data.views import read_image
from keras_fvvae.errors import DataError

ABSENT = importlib.util.find_spec(PACKAGE) is None
needs_package = pytest.mark.skipif(
    ABSENT, reason="needs conformal-clip-data, 42 MB: pip install 'keras_fvvae[textiles]'"
)


def counts(collection):
    return [np.bincount(collection.labels[collection.indices(split)]).tolist() for split in ("train", "test")]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The folder of an installation of empty files."""
    _search_only(monkeypatch, tmp_path)
    folder = tmp_path / PACKAGE / FOLDER
    for name, count in IMAGES.items():
        (folder / name).mkdir(parents=True)
        for number in range(1, count + 1):
            (folder / name / f"textile_{number:04d}.jpg").touch()
    (tmp_path / PACKAGE / "__init__.py").write_text("raise AssertionError('imported')")
    return folder


def _search_only(monkeypatch, *folders):
    """Packages are found in these folders only."""
    monkeypatch.setattr(sys, "path", [*map(str, folders)])
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
    importlib.invalidate_caches()


def test_the_split_is_fixed(installed):
    collection = load_textiles()
    assert collection.class_names == ["nominal", "local", "global"]
    assert counts(collection) == [[500, 250, 250], [500, 250, 250]]
    assert collection.names[:2] == ["nominal/textile_0001.jpg", "nominal/textile_0002.jpg"]
    assert collection.splits[:2].tolist() == ["train", "test"]
    rows = "\n".join(f"{name} {split}" for name, split in zip(collection.names, collection.splits, strict=True))
    digest = "7499cd8916cc"
    assert hashlib.sha256(rows.encode()).hexdigest().startswith(digest)


def test_labels_are_the_folders_and_files_are_the_packages(installed):
    collection = load_textiles()
    for name, label, source in zip(collection.names, collection.labels, collection.sources, strict=True):
        assert name.split("/")[0] == collection.class_names[label]
        assert source == installed / name
        assert source.is_file()
    assert (collection.kind, collection.missing, collection.notes) == ("image", [], [])


@pytest.mark.parametrize(
    ("images", "expected"),
    [(300, [[75, 38, 38], [75, 37, 37]]), (8, [[2, 1, 1], [2, 1, 1]]), (1996, [[499, 250, 250], [499, 249, 249]])],
)
def test_fewer_images_have_the_same_shares_of_classes(installed, images, expected):
    collection = load_dataset(None, "textiles", images=images)
    assert len(collection) == images
    assert counts(collection) == expected
    whole = load_textiles()
    assert set(zip(collection.names, collection.splits, strict=True)) < set(zip(whole.names, whole.splits, strict=True))


@pytest.mark.parametrize("images", [4, 0, -8, 301, 2004, True])
def test_other_numbers_of_images(installed, images):
    with pytest.raises(ValueError, match=f"`images` must be a multiple of 4 from 8 to 2000. Received: images={images}"):
        load_textiles(images)


def test_images_must_be_an_integer(installed):
    with pytest.raises(TypeError, match="interpreted as an integer"):
        load_textiles(300.0)


def test_without_the_package(monkeypatch):
    _search_only(monkeypatch)
    with pytest.raises(DataError, match=re.escape("conformal-clip-data: pip install 'keras_fvvae[textiles]'")):
        load_textiles()


def test_a_broken_installation(installed):
    lost = installed / "local" / "textile_0007.jpg"
    lost.unlink()
    message = f"{installed / 'local'} must hold textile_0001.jpg to textile_0500.jpg, and has 499 images; repair"
    with pytest.raises(DataError, match=re.escape(message) + f".*{RELEASE}$"):
        load_textiles(images=8)  # not of the chosen ones: the installation is still not what it should be
    lost.touch()
    (installed / "global" / "textile_0501.jpg").touch()
    with pytest.raises(DataError, match="global must hold .* has 501 images"):
        load_textiles()


def test_what_is_no_package(tmp_path, monkeypatch):
    _search_only(monkeypatch, tmp_path)
    (tmp_path / PACKAGE).mkdir()  # left by an uninstallation
    with pytest.raises(DataError, match="nominal must hold .* has 0 images"):
        load_textiles()
    (tmp_path / PACKAGE).rmdir()
    (tmp_path / f"{PACKAGE}.py").touch()
    importlib.invalidate_caches()
    with pytest.raises(DataError, match="nominal must hold .* has 0 images"):
        load_textiles()


def test_the_extra_is_the_release_that_is_named_for_repairs():
    assert f'TEXTILES = ["{RELEASE}"]' in (Path(__file__).parents[3] / "setup.py").read_text(encoding="utf-8")


@needs_package
def test_the_pictures():
    collection = load_textiles()
    contents = {hashlib.sha256(collection.read(i)).digest() for i in range(len(collection))}
    assert len(contents) == 2000  # no image twice, so none in both parts
    assert PACKAGE not in sys.modules
    images = [read_image(collection, i) for i in range(len(collection))]
    assert {image.shape for image in images} == {(250, 250, 3)}
    assert not any(np.ptp(image[::50], axis=-1).any() for image in images)  # gray
    small = np.stack([image[:248, :248, 0].reshape(31, 8, 31, 8).mean((1, 3)) for image in images])
    rows = {turned: _standard(small[:, ::turned, ::turned]) for turned in (1, -1)}
    alike = rows[1] @ rows[1].T - 2 * np.eye(len(images))
    assert alike.max() < 0.5  # nor nearly
    assert (rows[1] @ rows[-1].T).max() < 0.5


def _standard(images):
    """Rows of mean 0 and length 1: their products are correlations."""
    rows = images.reshape(len(images), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
