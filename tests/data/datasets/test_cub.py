"""CUB-200-2011 in its official layout, whole, partial and broken."""

import numpy as np
import pytest

from keras_fvvae.data.datasets.cub import load_cub
from keras_fvvae.errors import DataError

LISTS = {
    "images.txt": "1 001.Gull/a b.jpg\r\n2 001.Gull/b.jpg\r\n\r\n3 002.Möwe/c.jpg\r\n4 002.Möwe/d.jpg",
    "image_class_labels.txt": "1 1\n2 1\n3 2\n4 2\n",
    "train_test_split.txt": "1 1\n2 0\n3 1\n4 0\n",
    "classes.txt": "1 001.Gull\n2 002.Möwe\n",
    "bounding_boxes.txt": "1 60.0 27.0 325.5 304.0\n2 -1 0 2 3\n3 0 0 9999 1\n4 5 6 7 8\n",
}
NAMES = ["001.Gull/a b.jpg", "001.Gull/b.jpg", "002.Möwe/c.jpg", "002.Möwe/d.jpg"]


@pytest.fixture
def birds(tmp_path):
    """A copy of four images."""
    root = tmp_path / "CUB_200_2011"
    for name in NAMES:
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "images" / name).write_bytes(b"")
    for name, text in LISTS.items():
        (root / name).write_bytes(text.encode())
    return root


def test_official_layout(birds):
    for directory in (birds, birds.parent):
        collection = load_cub(directory)
        assert collection.names == NAMES
        assert collection.labels.tolist() == [0, 0, 1, 1]
        assert collection.splits.tolist() == ["train", "test", "train", "test"]
        assert collection.class_names == ["001.Gull", "002.Möwe"]
        assert (collection.kind, collection.boxes, collection.missing, collection.notes) == ("image", None, [], [])
        assert all(source.is_file() for source in collection.sources)


def test_boxes_are_as_given(birds):
    assert load_cub(birds, boxes=True).boxes.tolist() == [
        [60.0, 27.0, 325.5, 304.0],
        [-1.0, 0.0, 2.0, 3.0],
        [0.0, 0.0, 9999.0, 1.0],
        [5.0, 6.0, 7.0, 8.0],
    ]


def test_boxes_are_read_only_when_asked_for(birds):
    (birds / "bounding_boxes.txt").unlink()
    assert len(load_cub(birds)) == 4
    with pytest.raises(DataError, match="bounding_boxes.txt is missing"):
        load_cub(birds, boxes=True)


def test_decomposed_names_on_disk(birds):
    (birds / "images" / "002.Möwe").rename(birds / "images" / "002.Mo\u0308we")
    assert load_cub(birds).missing == []


def test_partial_copy(birds):
    (birds / "images" / NAMES[0]).unlink()
    collection = load_cub(birds, boxes=True)
    assert collection.missing == [NAMES[0]]
    assert collection.boxes[0].tolist() == [-1.0, 0.0, 2.0, 3.0]
    assert any(note.startswith("3 of 4 images of CUB-200-2011") for note in collection.notes)
    assert collection.of_common_classes().class_names == ["002.Möwe"]


def test_repetitions_are_kept_once(birds):
    (birds / "images.txt").write_text(LISTS["images.txt"] + f"\n# again\n4 {NAMES[3]}\n5 {NAMES[3]}\n")
    (birds / "image_class_labels.txt").write_text(LISTS["image_class_labels.txt"] + "5 2\n")
    (birds / "train_test_split.txt").write_text(LISTS["train_test_split.txt"] + "5 0\n")
    collection = load_cub(birds)
    assert collection.names == NAMES
    assert collection.notes == [
        "1 lines of images.txt repeat others.",
        "1 images are listed more than once; the first line counts.",
    ]


def test_a_loop_ends(birds):
    (birds / "images" / "001.Gull" / "loop").symlink_to(birds / "images", target_is_directory=True)
    assert load_cub(birds).names == NAMES


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("images.txt", "1 001.Gull/b.jpg\nx\n", "Line 2 of .*images.txt must be a number and a value"),
        ("images.txt", "1 a.jpg\n1 b.jpg\n", "Line 2 of .*images.txt contradicts line 1 about number 1"),
        ("images.txt", "9 001.Gull/b.jpg\n", "image 9 .line 1 of .* is not in .*image_class_labels.txt"),
        ("image_class_labels.txt", "1 1\n2 7\n", "image 2 .*class '7', which classes.txt does not name"),
        ("train_test_split.txt", "1 1\n2 2\n", "image 2 .*must be 1 .training. or 0"),
        ("bounding_boxes.txt", "1 1 2 3\n", "Line 1 of .*bounding_boxes.txt must be a number, x, y"),
        ("bounding_boxes.txt", "1 1 2 3 0\n", "width and height .above 0."),
        ("bounding_boxes.txt", "1 1 2 3 nan\n", "width and height .above 0."),
        ("bounding_boxes.txt", "2 1 2 3 4\n", "image 1 .*is not in .*bounding_boxes.txt"),
    ],
)
def test_malformed_lists(birds, file, text, message):
    (birds / file).write_text(text)
    with pytest.raises(DataError, match=message):
        load_cub(birds, boxes=True)


def test_nothing_there(birds, tmp_path):
    with pytest.raises(DataError, match="is not a copy of CUB-200-2011: images.txt"):
        load_cub(tmp_path / "nowhere")
    for name in NAMES:
        (birds / "images" / name).unlink()
    with pytest.raises(DataError, match="None of the 4 images of CUB-200-2011 is below"):
        load_cub(birds)


def test_real_birds(shared):
    for directory in (shared / "data", shared / "data" / "CUB_200_2011"):
        collection = load_cub(directory, boxes=True)
        assert len(collection) == 837
        assert [len(collection.indices(split)) for split in ("train", "test")] == [450, 387]
        assert np.bincount(collection.labels).size == len(collection.class_names) == 15
        assert collection.boxes[0].tolist() == [60.0, 27.0, 325.0, 304.0]
        assert all(source.is_file() for source in collection.sources)
        assert all(
            source.parent.name == collection.class_names[label]
            for source, label in zip(collection.sources, collection.labels, strict=True)
        )


def test_one_image_of_two_classes(birds):
    (birds / "images.txt").write_text(LISTS["images.txt"] + f"\n\n5 ./{NAMES[0].replace('/', '//')}\n")
    (birds / "image_class_labels.txt").write_text(LISTS["image_class_labels.txt"] + "5 2\n")
    (birds / "train_test_split.txt").write_text(LISTS["train_test_split.txt"] + "5 0\n")
    first = 1 + LISTS["images.txt"].splitlines().index(f"1 {NAMES[0]}")
    with pytest.raises(
        DataError, match=rf"Lines {first} and \d+ of .*images.txt contradict each other about '"
    ) as error:
        load_cub(birds)
    assert NAMES[0] in str(error.value)
