"""ActivityNet's annotations in the forms in which they are passed on, against made-up and real files."""

import json

import pytest

from keras_fvvae.data.datasets.activitynet import load_activitynet
from keras_fvvae.errors import DataError

TRAINED, TESTED, HIDDEN = "aaaaaaaaaaa", "-bbbbbbbbb_", "ccccccccccc"
VIDEOS = {
    # Two short Surfing segments outlast one of Canoeing; the first label is not the main one.
    TRAINED: ("training", [("Canoeing", 0, 10), ("Surfing", 10, 16), ("Surfing", 20, 26)]),
    TESTED: ("validation", [("Canoeing", 1.5, 2.5)]),
    HIDDEN: ("testing", []),
}
TAXONOMY = [("Root", None), ("Water", "Root"), ("Surfing", "Water"), ("Canoeing", "Water"), ("Ballet", "Root")]


def _entry(name, with_subset):
    subset, segments = VIDEOS[name]
    annotations = [{"label": label, "segment": [start, end]} for label, start, end in segments]
    return {"annotations": annotations} | ({"subset": subset} if with_subset else {})


def _official(folder, name="activity_net.v1-3.min.json", **changes):
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "version": "VERSION 1.3",
        "taxonomy": [{"nodeName": node, "parentName": parent} for node, parent in TAXONOMY],
        "database": {name: _entry(name, True) for name in VIDEOS},
    }
    (folder / name).write_text(json.dumps(content | changes), encoding="utf-8-sig")


def _repackaged(folder):
    database = {f"v_{name}": _entry(name, False) for name in VIDEOS}
    (folder / "anet_anno_action.json").write_text(json.dumps(database))
    rows = [f"v_{name},10,1.0,30.0,29.9,{subset},9" for name, (subset, _) in VIDEOS.items()]
    table = "\r\n".join(["video,numFrame,seconds,fps,rfps,subset,featureFrame", *rows, ""])
    (folder / "video_info_new.csv").write_bytes(table.encode())
    (folder / "action_name.csv").write_bytes(b"action\r\nBallet\r\nCanoeing\r\nSurfing\r\n")


def _mmaction(folder, full=True):
    for part, name in (("train", TRAINED), ("val", TESTED), ("test", HIDDEN)):
        (folder / f"anet_anno_{part}.json").write_text(json.dumps({f"v_{name}": _entry(name, False)}))
    if full:
        database = {f"v_{name}": _entry(name, False) for name in VIDEOS}
        (folder / "anet_anno_full.json").write_text(json.dumps(database))


def _touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def _check(collection, class_names):
    assert collection.kind == "video"
    assert collection.class_names == class_names
    assert [class_names[label] for label in collection.labels] == ["Surfing", "Canoeing"]
    assert [{class_names[label] for label in labels} for labels in collection.label_sets] == [
        {"Surfing", "Canoeing"},
        {"Canoeing"},
    ]
    assert [name.removeprefix("v_") for name in collection.names] == [TRAINED, TESTED]
    assert collection.splits.tolist() == ["train", "test"]
    assert collection.missing == []
    assert any("passed over: 1 of 'testing'" in note for note in collection.notes)


@pytest.mark.parametrize(
    "names", [["v_{}.mp4", "v_{}.webm"], ["{}.MKV", "deep/v_{}.mp4.mkv"], ["{}/img_00000.jpg"] * 2]
)
def test_official_json(tmp_path, names):
    _official(tmp_path)
    files = [name.format(video) for name, video in zip(names, (TRAINED, TESTED), strict=True)]
    _touch(tmp_path / "videos", *files)
    _touch(tmp_path / "videos", f"{HIDDEN}.mp4", f"{TRAINED}.mp4.part")
    collection = load_activitynet(tmp_path)
    _check(collection, ["Ballet", "Canoeing", "Surfing"])
    assert [source.relative_to(tmp_path / "videos").as_posix() for source in collection.sources] == [
        file.removesuffix("/img_00000.jpg") for file in files
    ]


@pytest.mark.parametrize("write", [_repackaged, _mmaction, lambda folder: _mmaction(folder, full=False)])
def test_repackaged_forms(tmp_path, write):
    write(tmp_path)
    _touch(tmp_path, f"v_{TRAINED}.mp4", f"{TESTED}.webm")
    _check(
        load_activitynet(tmp_path),
        ["Ballet", "Canoeing", "Surfing"] if write is _repackaged else ["Canoeing", "Surfing"],
    )


@pytest.mark.parametrize("first", [0, 1])
def test_mmaction2_lists(tmp_path, first):
    """Older versions of its script counted the heading of action_name.csv."""
    (tmp_path / "action_name.csv").write_text("action\nBallet\nCanoeing\nSurfing\n")
    (tmp_path / "anet_train_video.txt").write_text(f"v_{TRAINED} 164 {2 + first}\nv_x 3 {first}\n")
    (tmp_path / "anet_val_video.txt").write_text(f"v_{TESTED} 12 {1 + first}")
    _touch(tmp_path / "rawframes", f"v_{TRAINED}/img_00000.jpg", f"v_{TESTED}/flow_x_00000.jpg")
    collection = load_activitynet(tmp_path)
    assert [collection.class_names[label] for label in collection.labels] == ["Surfing", "Canoeing"]
    assert collection.missing == ["v_x"]
    (tmp_path / "action_name.csv").unlink()
    assert load_activitynet(tmp_path).labels.tolist() == [2 + first, 1 + first]


def test_testing_videos_have_no_label(tmp_path):
    _official(tmp_path)
    _touch(tmp_path, f"{TRAINED}.mp4", f"{HIDDEN}.mp4")
    collection = load_activitynet(tmp_path, test_subset="testing")
    assert collection.labels.tolist() == [2, -1]
    assert collection.label_sets == [(1, 2), ()]
    assert collection.splits.tolist() == ["train", "test"]


def test_annotations_elsewhere(tmp_path):
    _touch(tmp_path / "videos", f"{TRAINED}.mp4", f"{TESTED}.mp4")
    _official(tmp_path / "lists", "activity_net.v1-2.min.json", database={})
    _official(tmp_path / "lists")
    for annotations in (tmp_path / "lists", tmp_path / "lists" / "activity_net.v1-3.min.json"):
        assert len(load_activitynet(tmp_path / "videos", annotations=annotations)) == 2
    _official(tmp_path / "annotations")
    assert len(load_activitynet(tmp_path / "videos")) == len(load_activitynet(tmp_path)) == 2


def test_identifiers_are_case_sensitive_and_may_begin_with_v(tmp_path):
    names = {"v_XXXXXXXXX": "training", "v_xxxxxxxxx": "validation", "XXXXXXXXX": "training"}
    segments = [{"label": "Surfing", "segment": [0, 1]}]
    database = {name: {"subset": subset, "annotations": segments} for name, subset in names.items()}
    _official(tmp_path, database=database)
    _touch(tmp_path, "v_XXXXXXXXX.mp4", "v_v_xxxxxxxxx.mp4")
    collection = load_activitynet(tmp_path)
    assert dict(zip(collection.names, (source.name for source in collection.sources), strict=True)) == {
        "v_XXXXXXXXX": "v_XXXXXXXXX.mp4",
        "v_xxxxxxxxx": "v_v_xxxxxxxxx.mp4",
    }


def test_both_names_of_a_video(tmp_path):
    _official(tmp_path, database={name: _entry(name, True) for name in VIDEOS} | {f"v_{TRAINED}": _entry(TESTED, True)})
    _touch(tmp_path, f"v_{TRAINED}.mp4", f"{TRAINED}.mp4", f"{TRAINED}.webm", f"{TESTED}.mp4")
    collection = load_activitynet(tmp_path)
    assert [source.name for source in collection.sources] == [f"{TRAINED}.mp4", f"{TESTED}.mp4"]
    assert any(note.startswith("1 videos are annotated twice") for note in collection.notes)
    assert any(note.startswith("1 videos are there more than once") for note in collection.notes)


def test_missing_videos_and_unknown_labels_are_noted(tmp_path):
    _official(tmp_path, taxonomy=[{"nodeName": "Surfing", "parentName": None}])
    _touch(tmp_path, f"{TRAINED}.mp4")
    collection = load_activitynet(tmp_path)
    assert collection.missing == [TESTED]
    assert collection.class_names == ["Surfing", "Canoeing"]
    assert any(note.startswith("1 of 2 videos of activity_net.v1-3.min.json are below") for note in collection.notes)
    assert any("1 labels of" in note and "'Canoeing'" in note for note in collection.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON: .*line 1"),
        ("[]", "it must be a JSON object of videos"),
        ('{"results": {"a": []}}', "neither a `database` nor videos with `annotations`"),
        ('{"a": {"annotations": []}}', "does not say which videos are for training; put video_info_new.csv"),
        ('{"database": {"a": {"annotations": []}}}', "names no subset for the video 'a'"),
        ('{"database": {"a": {"subset": "training", "annotations": [{"label": "x"}]}}}', "of the video 'a' must be"),
        ('{"database": {"a": {"subset": "training", "annotations": [{"label": "x", "segment": [0, NaN]}]}}}', "finite"),
        ('{"database": {"a": {"subset": "training", "annotations": []}}}', "subset 'validation'; it has 'training'"),
    ],
)
def test_malformed_annotations(tmp_path, text, message):
    (tmp_path / "activity_net.json").write_text(text)
    with pytest.raises(DataError, match=message):
        load_activitynet(tmp_path)


def test_malformed_lists(tmp_path):
    (tmp_path / "anet_train_video.txt").write_text(f"v_{TRAINED} 1 0\nv_{TESTED} 1\n")
    with pytest.raises(DataError, match="Line 2 of .*anet_train_video.txt must be"):
        load_activitynet(tmp_path)
    (tmp_path / "anet_train_video.txt").write_text(f"v_{TRAINED} 1 7\n")
    (tmp_path / "action_name.csv").write_text("action\nBallet\n")
    with pytest.raises(DataError, match="has the label 7; action_name.csv names 1 classes"):
        load_activitynet(tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="No annotations of ActivityNet in .*pass `annotations`"):
        load_activitynet(tmp_path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        load_activitynet(tmp_path, annotations=tmp_path / "nowhere.json")
    _official(tmp_path)
    with pytest.raises(DataError, match="None of the 2 videos"):
        load_activitynet(tmp_path)
    with pytest.raises(ValueError, match="`test_subset` must not"):
        load_activitynet(tmp_path, test_subset="training")


def test_real_annotations(shared, tmp_path):
    annotations = shared / "data" / "activitynet"
    # Training, validation and testing, with and without `v_`, and a folder of frames.
    _touch(tmp_path, "v_---9CpRcKoU.mp4", "--1DO2V4K74.mkv", "v_--tFD65KaK4.mp4", "--6bJUbfpnQ/img_00000.jpg")
    collection = load_activitynet(tmp_path, annotations=annotations)
    splits = dict(zip(collection.names, collection.splits, strict=True))
    assert splits == {"v_---9CpRcKoU": "train", "v_--1DO2V4K74": "test", "v_--6bJUbfpnQ": "test"}
    assert len(collection) + len(collection.missing) == 9649 + 4728
    assert any("4,851 of 'testing'" in note for note in collection.notes)
    assert len(collection.class_names) == 200
    assert collection.class_names[0] == "Applying sunscreen"
    content = json.loads((annotations / "anet_anno_action.json").read_text())
    for name, label in zip(collection.names, collection.labels, strict=True):
        assert collection.class_names[label] == content[name]["annotations"][0]["label"]
    hidden = load_activitynet(tmp_path, annotations=annotations, test_subset="testing")
    assert hidden.labels[hidden.names.index("v_--tFD65KaK4")] == -1
    assert len(hidden) + len(hidden.missing) == 9649 + 4851
