"""Layouts are recognised, and options that make no sense are refused."""

import json

import pytest

from keras_fvvae.data.catalogue import load_dataset, recognize
from keras_fvvae.errors import DataError
from keras_fvvae.recipes import DATASETS


def _write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


SEGMENTS = [{"label": "Surfing", "segment": [0, 1]}]
LAYOUTS = {
    "cub": {
        "images.txt": "1 001.A/a.jpg",
        "image_class_labels.txt": "1 1",
        "train_test_split.txt": "1 1",
        "classes.txt": "1 001.A",
        "images/001.A/a.jpg": "",
    },
    "ucf101": {
        "ucfTrainTestlist/classInd.txt": "1 A",
        "ucfTrainTestlist/trainlist02.txt": "A/v_A_g08_c01.avi 1",
        "ucfTrainTestlist/testlist02.txt": "A/v_A_g01_c01.avi",
        "UCF-101/A/v_A_g08_c01.avi": "",
    },
    "activitynet": {
        "annotations/activity_net.v1-3.min.json": json.dumps(
            {"database": {s: {"subset": s, "annotations": SEGMENTS} for s in ("training", "validation")}}
        ),
        "videos/v_training.mp4": "",
    },
    "folder": {"a/1.jpg": "", "b/2.jpg": ""},
}
OPTIONS = {"ucf101": {"split": 2}, "folder": {"test_fraction": 0}}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_recognised(tmp_path, name):
    _write(tmp_path, LAYOUTS[name])
    options = OPTIONS.get(name, {})
    collection = load_dataset(tmp_path, **options)
    assert collection.names == load_dataset(tmp_path, name, **options).names
    assert recognize(tmp_path) == name
    assert collection.names == DATASETS[name].load(tmp_path, **options).names


def test_mmaction2_lists_are_recognised(tmp_path):
    lists = {
        f"annotations/ucf101_{part}_split_1_rawframes.txt": f"A/v_A_g0{i}_c01 9 0"
        for i, part in enumerate(("train", "val"))
    }
    _write(tmp_path, lists | {"rawframes/A/v_A_g00_c01/img_00001.jpg": ""})
    assert load_dataset(tmp_path).groups == ["A/g00"]
    assert load_dataset(tmp_path / "rawframes").groups == ["A/g00"]


def test_other_folders_beside_lists_are_themselves(tmp_path):
    _write(tmp_path, LAYOUTS["ucf101"])
    _write(tmp_path / "photos", LAYOUTS["folder"])
    assert load_dataset(tmp_path / "UCF-101", split=2).groups == ["A/g08"]
    assert load_dataset(tmp_path / "photos", test_fraction=0).names == ["a/1.jpg", "b/2.jpg"]


@pytest.mark.parametrize(
    ("name", "text"), [("l.csv", "file\na.jpg\n"), ("l.jsonl", '{"file": "a.jpg"}'), ("l.txt", "file\na.jpg")]
)
def test_lists_are_recognised(tmp_path, name, text):
    _write(tmp_path, {"a.jpg": "", name: text})
    assert load_dataset(tmp_path / name, test_fraction=0).names == ["a.jpg"]


def test_options_can_be_asked_for():
    assert list(DATASETS["cub"].options) == ["boxes"]
    assert "path" not in DATASETS["list"].options
    assert {"test_fraction", "seed"} <= set(DATASETS["folder"].options) & set(DATASETS["list"].options)


def test_refusals(tmp_path):
    _write(tmp_path, LAYOUTS["folder"])
    with pytest.raises(ValueError, match="Unknown data set 'cubs'; did you mean 'cub'"):
        load_dataset(tmp_path, "cubs")
    with pytest.raises(
        ValueError, match=r"option of the data set 'folder': 'boxes'.*was taken for 'folder'; pass `name`"
    ):
        load_dataset(tmp_path, boxes=True)
    with pytest.raises(ValueError, match="option of the data set 'cub': 'box'; did you mean 'boxes'"):
        load_dataset(tmp_path, "cub", box=True)
    with pytest.raises(ValueError, match="'tfds' needs the option `builder`"):
        load_dataset(tmp_path, "tfds")
    with pytest.raises(DataError, match="nowhere does not exist"):
        load_dataset(tmp_path / "nowhere")
    with pytest.raises(DataError, match="'digits' brings its own data; leave out the folder"):
        load_dataset(tmp_path, "digits")


def test_embedded_data_are_entries_as_others():
    assert len(load_dataset(None, "digits")) == 1797
    assert "frames" in DATASETS["moving_digits"].options
    assert not any(entry.recognizes(".") for entry in DATASETS.values() if entry.embedded)


@pytest.mark.parametrize("name", DATASETS)
def test_every_entry_can_be_used(name):
    entry = DATASETS[name]
    assert callable(entry.load)
    assert entry.description
    assert entry.recognizer is None or entry.recognizes("nowhere") in (True, False)


def test_real_data(shared):
    data = shared / "data"
    assert len(load_dataset(data / "CUB_200_2011", boxes=True).boxes) == 837
    assert len(load_dataset(data / "ucf101").groups) == 104
    assert len(load_dataset(data / "ucf101" / "UCF-101", split=3).indices("test")) == 28
    with pytest.raises(DataError, match="None of the 14,377 videos"):
        load_dataset(data / "activitynet")
