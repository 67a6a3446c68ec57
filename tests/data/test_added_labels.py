"""Labels that are added by a list: what is new, what is filled in, what is refused."""

import numpy as np
import pytest

from keras_fvvae.data import Collection
from keras_fvvae.data.added_labels import add_labels
from keras_fvvae.errors import DataError


@pytest.fixture
def files(tmp_path):
    for name in "abcdef":
        (tmp_path / f"{name}.jpg").write_bytes(name.encode())
    return tmp_path


def _collection(files, **further):
    sources = [files / f"{name}.jpg" for name in "abcd"]
    splits = ["train", "train", "train", "test"]
    return Collection(sources, ["x/a", "x/b", "e.jpg", "d"], [0, 1, -1, 0], splits, ["cat", "dog"], **further)


def _list(files, *rows, header="file,label"):
    (files / "list.csv").write_text("\n".join([header, *rows]) + "\n")
    return [files / "list.csv"]


def test_new_labels(files):
    (files / "link.jpg").symlink_to(files / "a.jpg")
    rows = ["link.jpg,cat", "c.jpg,dog", "d.jpg,dog", "e.jpg,bird", "f.jpg,"]
    more = add_labels(_collection(files), _list(files, *rows))
    assert more.names == ["x/a", "x/b", "e.jpg", "d", str(files / "e.jpg")]  # e.jpg is the name of another
    assert more.class_names == ["cat", "dog", "bird"]
    assert more.labels.tolist() == [0, 1, 1, 0, 2]
    assert more.splits.tolist() == ["train"] * 3 + ["test", "train"]
    assert more.read(4) == b"e"
    assert more.notes[-1] == (
        "Training images of list.csv: 2 added, 1 without a label yet, 1 in the data before, 1 in the test part, where "
        "they stay."
    )


def test_groups_and_several_labels(files):
    (files / "list.jsonl").write_text('{"file": "e.jpg", "label": ["dog", "bird"]}\n')
    more = add_labels(_collection(files, groups=["g"] * 4), [files / "list.jsonl"])
    assert more.groups == ["g"] * 4 + [str(files / "e.jpg")]
    assert more.label_sets == [(0,), (1,), (), (0,), (1, 2)]
    assert more.labels[-1] == 1


@pytest.mark.parametrize(
    ("rows", "further", "message"),
    [
        (["a.jpg,dog"], {}, "says that 'a.jpg' is 'dog', and the data say 'cat'"),
        (["e.jpg,", "f.jpg,"], {}, "has no labels yet: fill in its column `label`"),
        (["absent.jpg,cat"], {}, "None of the 1 listed files"),
        (["e.jpg,cat"], {"boxes": np.zeros((4, 4))}, "data with boxes"),
    ],
)
def test_lists_that_cannot_be_added(files, rows, further, message):
    with pytest.raises(DataError, match=message):
        add_labels(_collection(files, **further), _list(files, *rows))
