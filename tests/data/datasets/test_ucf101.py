"""UCF101 as it lies on disk: official and MMAction2's lists, files and frames, partial copies."""

from pathlib import Path

import pytest

from keras_fvvae.data.datasets.ucf101 import load_ucf101
from keras_fvvae.errors import DataError

TRAIN = ["Archery/v_Archery_g08_c01", "HandstandPushups/v_HandStandPushups_g08_c02"]
TEST = ["Archery/v_Archery_g01_c01", "HandstandPushups/v_HandStandPushups_g01_c03"]
NAMES = [*TRAIN, *TEST]
LABELS = {"Archery": 0, "HandstandPushups": 1}


def _touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def _official(folder, train=TRAIN, test=TEST, split=1):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classInd.txt").write_bytes(b"\xef\xbb\xbf1 Archery\r\n2 HandstandPushups\r\n\r\n")
    lines = [f"{name}.avi {LABELS[name.split('/')[0]] + 1}" for name in train]
    (folder / f"trainlist{split:02d}.txt").write_bytes("\r\n".join(lines).encode() + b"\r\n\r\n")
    (folder / f"testlist{split:02d}.txt").write_bytes("\r\n".join(f"{name}.avi" for name in test).encode())


def _mmaction(folder, form):
    folder.mkdir(parents=True, exist_ok=True)
    for part, names in (("train", TRAIN), ("val", TEST)):
        tail = ".avi {}" if form == "videos" else " 164 {}"
        lines = [name + tail.format(LABELS[name.split("/")[0]]) for name in names]
        (folder / f"ucf101_{part}_split_1_{form}.txt").write_text("\n".join(lines) + "\n")


def _check(collection):
    assert collection.kind == "video"
    assert collection.class_names == ["Archery", "HandstandPushups"]
    assert [Path(name).with_suffix("").as_posix() for name in collection.names] == NAMES
    assert collection.labels.tolist() == [0, 1, 0, 1]
    assert collection.splits.tolist() == ["train", "train", "test", "test"]
    assert collection.groups == ["Archery/g08", "HandstandPushups/g08", "Archery/g01", "HandstandPushups/g01"]
    assert [Path(source).stem for source in collection.sources] == [name.split("/")[1] for name in NAMES]
    assert collection.missing == []


@pytest.mark.parametrize("lists", ["ucfTrainTestlist", "annotations", ".", "../ucfTrainTestlist"])
@pytest.mark.parametrize("videos", ["", "UCF-101/", "videos/"])
def test_official_layouts(tmp_path, lists, videos):
    data = tmp_path / "data"
    _touch(data, *(f"{videos}{name}.avi" for name in NAMES))
    _official(data / lists)
    _check(load_ucf101(data))


def test_flat_of_other_extensions_and_case(tmp_path):
    _official(tmp_path / "lists")
    _touch(tmp_path / "data", *(f"{name.split('/')[1].replace('HandStand', 'Handstand')}.MP4" for name in NAMES))
    collection = load_ucf101(tmp_path / "data", annotations=tmp_path / "lists")
    assert collection.labels.tolist() == [0, 1, 0, 1]
    assert collection.sources[1].name == "v_HandstandPushups_g08_c02.MP4"
    by_file = load_ucf101(tmp_path / "data", annotations=tmp_path / "lists" / "trainlist01.txt")
    assert by_file.names == collection.names


def test_frame_folders(tmp_path):
    _official(tmp_path)
    _touch(tmp_path / "rawframes", *(f"{name}/img_{i:05d}.jpg" for name in NAMES for i in range(2)))
    _check(load_ucf101(tmp_path))
    (tmp_path / "rawframes" / NAMES[0] / "img_00000.jpg").unlink()
    (tmp_path / "rawframes" / NAMES[0] / "img_00001.jpg").unlink()
    assert load_ucf101(tmp_path).missing == [f"{NAMES[0]}.avi"]


@pytest.mark.parametrize("lists", ["annotations", "."])
@pytest.mark.parametrize("form", ["videos", "rawframes"])
def test_mmaction2_layouts(tmp_path, lists, form):
    _mmaction(tmp_path / lists, form)
    tail = ".avi" if form == "videos" else "/img_00001.jpg"
    _touch(tmp_path / form, *(name + tail for name in NAMES))
    _check(load_ucf101(tmp_path))


@pytest.mark.parametrize("form", ["videos", "rawframes"])
def test_the_form_that_the_list_names_is_taken(tmp_path, form):
    _mmaction(tmp_path, form)
    _touch(tmp_path / "videos", *(f"{name}.avi" for name in NAMES))
    _touch(tmp_path / "rawframes", *(f"{name}/img_00001.jpg" for name in NAMES))
    collection = load_ucf101(tmp_path)
    assert {source.relative_to(tmp_path).parts[0] for source in collection.sources} == {form}
    assert any("4 videos are there more than once" in note for note in collection.notes)


def test_other_split(tmp_path):
    _official(tmp_path, TRAIN, TEST)
    _official(tmp_path, TEST, TRAIN, split=2)
    _touch(tmp_path, *(f"{name}.avi" for name in NAMES))
    assert load_ucf101(tmp_path, split=2).names == [f"{name}.avi" for name in [*TEST, *TRAIN]]
    with pytest.raises(DataError, match="split 3"):
        load_ucf101(tmp_path, split=3)
    with pytest.raises(ValueError, match="`split` must be one of"):
        load_ucf101(tmp_path, split=4)


def test_partial_copy(tmp_path):
    _official(tmp_path)
    _touch(tmp_path, *(f"{name}.avi" for name in NAMES[1:]), "Archery/._v_Archery_g08_c01.avi")
    collection = load_ucf101(tmp_path)
    assert collection.missing == ["Archery/v_Archery_g08_c01.avi"]
    assert any(note.startswith("3 of 4 videos of UCF101's split 1") for note in collection.notes)
    assert any("test videos but no training videos" in note and "'Archery'" in note for note in collection.notes)
    assert collection.of_common_classes().class_names == ["HandstandPushups"]


def test_loops_and_repetitions(tmp_path):
    _official(tmp_path, [*TRAIN, TRAIN[0]], [*TEST, TRAIN[1]])
    _touch(tmp_path, *(f"{name}.avi" for name in NAMES))
    (tmp_path / "Archery" / "loop").symlink_to(tmp_path, target_is_directory=True)
    collection = load_ucf101(tmp_path)
    _check(collection)
    assert any(note.startswith("2 videos are listed more than once") for note in collection.notes)


def test_comments_tests_with_labels_and_windows_paths(tmp_path):
    _official(tmp_path)
    names = [name.replace("/", "\\") for name in TEST]
    (tmp_path / "testlist01.txt").write_text(f"# of split 1\n\n{names[0]}.avi 1\n  {names[1]}.avi 2  \n")
    _touch(tmp_path, *(f"{name}.avi" for name in NAMES))
    _check(load_ucf101(tmp_path))


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "trainlist01.txt",
            "Archery/v_Archery_g08_c01.avi 1\nArchery/v_x.avi\n",
            "Line 2 of .*trainlist01.txt must be",
        ),
        ("trainlist01.txt", "\nArchery/v_Archery_g08_c01.avi 2\n", "Line 2 of .* label 2 contradicts .*'Archery', 1"),
        ("trainlist01.txt", "Jumping/v_Jumping_g08_c01.avi 3\n", "Line 1 of .*'Jumping' is not in classInd.txt"),
        ("testlist01.txt", "some clip.avi\n", "Line 1 of .*testlist01.txt names no class"),
        ("classInd.txt", "1 Archery\nHandstandPushups\n", "Line 2 of .*classInd.txt must be a number and a class"),
        ("testlist01.txt", b"\xff\xfeA", "not UTF-8"),
    ],
)
def test_malformed_lists(tmp_path, file, text, message):
    _official(tmp_path)
    _touch(tmp_path, *(f"{name}.avi" for name in NAMES))
    (tmp_path / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        load_ucf101(tmp_path)


def test_contradicting_mmaction2_labels(tmp_path):
    _mmaction(tmp_path, "videos")
    (tmp_path / "ucf101_train_split_1_videos.txt").write_text("A/v_A_g01_c01.avi 0\nB/v_B_g01_c01.avi 0\n")
    with pytest.raises(DataError, match="Line 2 of .*the label 0 of 'B' is that of another class"):
        load_ucf101(tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="No lists of UCF101's split 1 in .*pass `annotations`"):
        load_ucf101(tmp_path)
    _official(tmp_path)
    with pytest.raises(DataError, match=r"None of the 4 videos of UCF101's split 1 is below .*Archery_g08_c01"):
        load_ucf101(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        load_ucf101(tmp_path / "nowhere", annotations=tmp_path)
    (tmp_path / "classInd.txt").unlink()
    with pytest.raises(DataError, match="classInd.txt is missing"):
        load_ucf101(tmp_path)


@pytest.mark.parametrize("split", [1, 2, 3])
def test_real_clips(shared, split):
    root = shared / "data" / "ucf101"
    collection = load_ucf101(root, split=split)
    for part in ("train", "test"):
        lines = (root / f"{part}list{split:02d}_present.txt").read_text().splitlines()
        indices = collection.indices(part)
        assert sorted(collection.names[i] for i in indices) == sorted(line.split()[0] for line in lines)
        if part == "train":
            labels = dict(line.split() for line in lines)
            assert [collection.labels[i] + 1 for i in indices] == [int(labels[collection.names[i]]) for i in indices]
    assert len(collection) == 104
    assert len(collection.class_names) == 101
    assert len(collection.missing) == 13320 - 104
    assert all(source.is_file() for source in collection.sources)
    assert any(note.startswith("104 of 13,320 videos") for note in collection.notes)


def test_one_video_of_two_classes(tmp_path):
    """Videos are looked for by their names alone: the same name in two class folders is one."""
    _official(tmp_path, [*TRAIN, TRAIN[0].replace("Archery/", "HandstandPushups//")])
    with pytest.raises(
        DataError, match=r"Line \d of .*trainlist01.txt and line 1 of .*trainlist01.txt contradict each"
    ):
        load_ucf101(tmp_path)
