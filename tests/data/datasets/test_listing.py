"""Lists of files as researchers write them."""

import json

import pytest

from keras_fvvae.data.datasets.listing import load_list
from keras_fvvae.errors import DataError

CSV = "file,label,split\na.jpg,cat,train\nb c.jpg,dog,val\n"


def _touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def _list(folder, text, name="list.csv"):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


@pytest.mark.parametrize(
    "text",
    [
        CSV,
        b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode(),
        "Split;Class;Path\ntraining;cat;a.jpg\nTESTING;dog;b c.jpg\n",
        "image\tlabel\tsplit\na.jpg\tcat\ttrain\nb c.jpg\tdog\tvalid\n",
        '# from a spreadsheet\n\nfile, label, split\n\n"a.jpg", cat, train\n # one\nb c.jpg,dog,test\n,,\n',
    ],
)
def test_csv(tmp_path, text):
    _touch(tmp_path, "a.jpg", "b c.jpg")
    text = text.replace('"a.jpg", cat', '"a.jpg",cat') if isinstance(text, str) else text
    collection = load_list(_list(tmp_path, text))
    assert collection.names == ["a.jpg", "b c.jpg"]
    assert collection.class_names == ["cat", "dog"]
    assert collection.labels.tolist() == [0, 1]
    assert collection.splits.tolist() == ["train", "test"]
    assert (collection.kind, collection.label_sets, collection.missing) == ("image", None, [])


def test_json_lines(tmp_path):
    rows = [
        {"file": "a.jpg", "label": ["dog", "cat"], "split": "train"},
        {"path": "b.jpg", "class": "cat", "split": "test"},
        {"image": "c.jpg", "label": None, "split": "train", "camera": 3},
        {"file": "d.jpg", "label": [], "split": "test"},
    ]
    _touch(tmp_path, *(f"{name}.jpg" for name in "abcd"))
    text = "# rows\n\n" + "\r\n".join(map(json.dumps, rows))
    collection = load_list(_list(tmp_path, text, "list.jsonl"))
    assert collection.class_names == ["cat", "dog"]
    assert collection.labels.tolist() == [1, 0, -1, -1]
    assert collection.label_sets == [(1, 0), (0,), (), ()]
    assert collection.notes[0] == "Keys of list.jsonl that are not used: camera."


def test_random_split_is_that_of_folders(tmp_path):
    names = [f"{c}{i}.jpg" for c in "xy" for i in range(8)]
    _touch(tmp_path, *names, "u.jpg")
    path = _list(tmp_path, "file,label\n" + "".join(f"{name},{name[0]}\n" for name in names) + "u.jpg,\n")
    collection = load_list(path)
    assert [int(((collection.labels == k) & (collection.splits == "test")).sum()) for k in (0, 1)] == [2, 2]
    assert (collection.labels[-1], collection.splits[-1]) == (-1, "train")
    assert load_list(path).splits.tolist() == collection.splits.tolist() != load_list(path, seed=1).splits.tolist()
    assert set(load_list(path, test_fraction=0).splits) == {"train"}


def test_numbered_classes_are_in_the_order_of_numbers(tmp_path):
    _touch(tmp_path, "a.jpg")
    text = "".join(json.dumps({"file": "a.jpg", "label": [10, 9, "x"]}))
    assert load_list(_list(tmp_path, text, "l.json"), test_fraction=0).class_names == ["9", "10", "x"]


def test_videos_and_frames(tmp_path):
    _touch(tmp_path, "v/a.MP4", "v/b/img_00001.jpg", "v/b/img_00002.jpg")
    (tmp_path / "v" / "empty").mkdir()
    collection = load_list(
        _list(tmp_path, "video,label\na.MP4,x\nb,y\nempty,y\n"), root=tmp_path / "v", test_fraction=0
    )
    assert (collection.kind, collection.names, collection.missing) == ("video", ["a.MP4", "b"], ["empty"])
    assert collection.sources == [tmp_path / "v" / "a.MP4", tmp_path / "v" / "b"]


def test_kinds_are_not_mixed(tmp_path):
    _touch(tmp_path, "a.jpg", "b.avi", "c.txt")
    path = _list(tmp_path, "file\na.jpg\nb.avi\nc.txt\n")
    with pytest.raises(DataError, match="lists both images and videos; pass `kind`"):
        load_list(path)
    for kind, name in (("image", "a.jpg"), ("video", "b.avi")):
        collection = load_list(path, kind=kind, test_fraction=0)
        assert (collection.names, collection.kind) == ([name], kind)
        assert f"2 listed files are not {kind}s by their names and are left out." in collection.notes
    with pytest.raises(ValueError, match="`kind` must be"):
        load_list(path, kind="film")


def test_names_as_they_come(tmp_path):
    names = ["Möwe groß/bild 1.jpg", "鸟/二.jpg", "x, y.jpg", "#1.jpg"]
    _touch(tmp_path, *names, "sub/w.jpg", "de\u0301ja\u0300.jpg", "abs.jpg")
    listed = [
        '"Möwe groß/bild 1.jpg"',
        "鸟/二.jpg",
        '"x, y.jpg"',
        '"#1.jpg"',
        "sub\\w.jpg",
        "déjà.jpg",
        tmp_path / "abs.jpg",
    ]
    collection = load_list(_list(tmp_path, "file\n" + "\n".join(map(str, listed))), test_fraction=0)
    assert collection.missing == []
    assert collection.names == [*names, "sub\\w.jpg", "déjà.jpg", str(tmp_path / "abs.jpg")]
    assert all(source.is_file() for source in collection.sources)


def test_repeated_and_missing_files(tmp_path):
    _touch(tmp_path, "a.jpg", "b c.jpg")
    text = CSV + "a.jpg,cat,train\nb c.jpg,dog,train\nno\u0000.jpg,cat,train\n" + "x" * 300 + ".jpg,cat,train\n"
    collection = load_list(_list(tmp_path, text))
    assert collection.names == ["a.jpg", "b c.jpg"]
    assert len(collection.missing) == 2
    assert collection.notes[0] == "2 lines of list.csv repeat a file; its first line counts."
    assert "1 of them say another split than the first, such as line 5 (b c.jpg)." in collection.notes
    assert any(note.startswith("2 of 4 listed files of list.csv are below") for note in collection.notes)
    assert "1 class has test images but no training images: 'dog'." in collection.notes


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a0.jpg", "./a0.jpg"),
        ("sub/a.jpg", "sub//a.jpg"),
        ("sub/a.jpg", "sub/./a.jpg"),
        ("a0.jpg", "sub/../a0.jpg"),
        ("./a0.jpg", ".//sub/../a0.jpg"),
        ("sub/a.jpg", "sub\\a.jpg"),
        ("a0.jpg", "{root}/a0.jpg"),
        ("é.jpg", "e\u0301.jpg"),
        ("absent.jpg", "./absent.jpg"),
    ],
)
def test_spellings_of_one_item(tmp_path, first, second):
    _touch(tmp_path, "a0.jpg", "sub/a.jpg", "é.jpg", "other.jpg")
    first, second = (name.format(root=tmp_path) for name in (first, second))
    text = CSV.splitlines()[0] + "\n{},a,train\nother.jpg,b,train\n{},{},train\n"
    collection = load_list(_list(tmp_path, text.format(first, second, "a")))
    assert len(collection.names) + len(collection.missing) == 2
    assert "1 lines of list.csv repeat a file; its first line counts." in collection.notes
    with pytest.raises(DataError, match=r"Lines 2 and 4 of .*list.csv contradict each other about .*: 'a' and 'b'; dr"):
        load_list(_list(tmp_path, text.format(first, second, "b")))
    with pytest.raises(DataError, match=r"Lines 2 and 4 of .*list.csv contradict each other about .*: 'a' and no lab"):
        load_list(_list(tmp_path, text.format(first, second, "")))


def test_upper_and_lower_case_are_two_items(tmp_path):
    _touch(tmp_path, "a.jpg", "A.jpg")
    collection = load_list(_list(tmp_path, "file,label\n./a.jpg,a\nA.jpg,b\n"), test_fraction=0)
    assert collection.names == ["a.jpg", "A.jpg"]
    assert collection.labels.tolist() == [0, 1]


def test_contradicting_lists_of_labels(tmp_path):
    _touch(tmp_path, "a.jpg")
    path = tmp_path / "list.jsonl"
    path.write_text('{"file": "a.jpg", "label": ["a", "b"]}\n\n{"file": "x/../a.jpg", "label": "b"}\n')
    with pytest.raises(DataError, match="Lines 1 and 3 of .*list.jsonl contradict .* about 'a.jpg': 'a, b' and 'b'"):
        load_list(path)


def test_a_loop_is_a_missing_file(tmp_path):
    _touch(tmp_path, "a.jpg")
    (tmp_path / "b.jpg").symlink_to("b.jpg")
    assert load_list(_list(tmp_path, "file\na.jpg\nb.jpg\n"), test_fraction=0).missing == ["b.jpg"]


def test_unused_columns_are_noted(tmp_path):
    _touch(tmp_path, "a.jpg")
    collection = load_list(_list(tmp_path, "file,label,splt\na.jpg,cat,train\n"), test_fraction=0)
    assert collection.notes == ["Columns of list.csv that are not used: splt."]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no files"),
        ("a.jpg,cat\n", "The first line of .*list.csv must name the columns, one of them 'file'.*Found: a.jpg, cat"),
        ("file,label\n", "lists no files"),
        ("file,label\n\n# x\na.jpg,cat\nb, c.jpg,cat\n", "Line 5 of .* has 3 fields, the header 2"),
        ('file,label\n"a.jpg,cat\n', "list.csv is not valid CSV: line 2: unexpected end of data"),
        ("file,label\na.jpg,cat\n,cat\n", "Line 3 of .* names no file"),
        ("file,split\na.jpg,tset\n", "Line 2 of .*the split must be 'train'.*Found: 'tset'"),
        ("file,split\na.jpg,train\nb.jpg,\n", "Line 3 of .* has no split, others have one"),
        ("file\nnone.jpg\n", "None of the 1 listed files of list.csv is below .*none.jpg"),
        ("file\nlist.csv\n", "Nothing that .* lists is an image by its name"),
        (b"\xff\xfef\x00", "not UTF-8"),
    ],
)
def test_malformed_csv(tmp_path, text, message):
    _touch(tmp_path, "a.jpg")
    with pytest.raises(DataError, match=message):
        load_list(_list(tmp_path, text))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "Line 2 of .* is not JSON"),
        ("[1]", "Line 2 of .* must be an object"),
        ('{"label": "x"}', "Line 2 of .* names no file"),
        ('{"file": 3}', "Line 2 of .*must be texts"),
        ('{"file": "b.jpg", "label": 1.5}', "Line 2 of .*the label must be"),
        ('{"file": "b.jpg", "split": "no"}', "Line 2 of .*the split must be"),
    ],
)
def test_malformed_json(tmp_path, line, message):
    _touch(tmp_path, "a.jpg")
    with pytest.raises(DataError, match=message):
        load_list(_list(tmp_path, '{"file": "a.jpg"}\n' + line, "list.jsonl"))


def test_no_list(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        load_list(tmp_path / "nowhere.csv")
