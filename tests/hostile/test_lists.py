"""Lists, tables of scores and of labels: read as they are meant, or refused with the line and what to do."""

import os

import numpy as np
import pytest

from keras_fvvae.data import load_folder
from keras_fvvae.data.datasets.cub import load_cub
from keras_fvvae.data.datasets.listing import load_list
from keras_fvvae.data.datasets.ucf101 import load_ucf101
from keras_fvvae.evaluation.activitynet import read_blocked
from keras_fvvae.evaluation.score_tables import read_features, read_scores
from keras_fvvae.tasks.scores.evaluate import evaluate
from tests.support.hostile import Refused, check

HEAD = "file,label,split\n"
# Files that the lists name.
FILES = ("a.jpg", "b.jpg", "sub/c.jpg", "x, y.jpg", "#1.jpg", "é.jpg", "猫/犬.jpg", "a b.jpg", "café\udce9.jpg")


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def items(collection):
    names = [collection.class_names[label] if label >= 0 else None for label in collection.labels]
    return dict(zip(collection.names, names, strict=True))


LISTS = {
    "plain": (HEAD + "a.jpg,A,train\nb.jpg,B,test\n", {"a.jpg": "A", "b.jpg": "B"}),
    "lines of Windows": (
        HEAD.replace("\n", "\r\n") + "a.jpg,A,train\r\nb.jpg,B,test\r\n",
        {"a.jpg": "A", "b.jpg": "B"},
    ),
    "lines of an old Mac": ("file,label\ra.jpg,A\rb.jpg,B\r", {"a.jpg": "A", "b.jpg": "B"}),
    "a byte order mark": ("\ufeff" + HEAD + "a.jpg,A,train\n", {"a.jpg": "A"}),
    "no end of the last line": (HEAD + "a.jpg,A,train", {"a.jpg": "A"}),
    "blank lines and comments": ("# of today\n\n" + HEAD + "\n# a\na.jpg,A,train\n\n", {"a.jpg": "A"}),
    "semicolons": ("file;label\na.jpg;A\n", {"a.jpg": "A"}),
    "tabs": ("file\tlabel\na.jpg\tA\n", {"a.jpg": "A"}),
    "columns in another order": ("split,label,file\ntrain,A,a.jpg\n", {"a.jpg": "A"}),
    "a header in capitals": ("FILE,Label\na.jpg,A\n", {"a.jpg": "A"}),
    "other names of the columns": ("path,class\na.jpg,A\n", {"a.jpg": "A"}),
    "spaces around fields": ("file , label\n a.jpg ,  A \n", {"a.jpg": "A"}),
    "quoted names": (HEAD + '"x, y.jpg",A,train\n"#1.jpg",B,train\n', {"x, y.jpg": "A", "#1.jpg": "B"}),
    "quoted labels": ('file,label\na.jpg,"A, the ""first"""\n', {"a.jpg": 'A, the "first"'}),
    "no labels": ("file\na.jpg\n", {"a.jpg": None}),
    "an empty label": ("file,label\na.jpg,\nb.jpg,B\n", {"a.jpg": None, "b.jpg": "B"}),
    "letters of any language": ("file,label\né.jpg,É\n猫/犬.jpg,猫\n", {"é.jpg": "É", "猫/犬.jpg": "猫"}),
    "decomposed letters": ("file\ne\u0301.jpg\n", {"e\u0301.jpg": None}),
    "separators of Windows": ("file,label\nsub\\c.jpg,A\n", {"sub\\c.jpg": "A"}),
    "a dot before": ("file,label\n./a.jpg,A\n", {"a.jpg": "A"}),
    "slashes": ("file,label\nsub//c.jpg,A\n", {"sub/c.jpg": "A"}),
    "up and down": ("file,label\nsub/../a.jpg,A\n", {"a.jpg": "A"}),
    "the same item twice": ("file,label\na.jpg,A\n./a.jpg,A\n", {"a.jpg": "A"}),
    "the same item in two splits": (HEAD + "a.jpg,A,train\na.jpg,A,test\n", {"a.jpg": "A"}),
    "labels that are numbers": ("file,label\na.jpg,10\nb.jpg,9\n", {"a.jpg": "10", "b.jpg": "9"}),
    "labels that are formulas": ("file,label\na.jpg,=1+1\nb.jpg,$^$\n", {"a.jpg": "=1+1", "b.jpg": "$^$"}),
    "what is not there": ("file,label\na.jpg,A\nnowhere.jpg,B\n", {"a.jpg": "A"}),
    "a null character": ("file,label\na.jpg,A\nb\0.jpg,B\n", {"a.jpg": "A"}),
    "what leads out": ("file,label\na.jpg,A\n../../../../etc/passwd,B\n", {"a.jpg": "A"}),
    "a column that is not known": ("file,label,colour\na.jpg,A,red\n", {"a.jpg": "A"}),
    "a file whose name is no Unicode": (b"file,label\ncaf\xc3\xa9\xe9.jpg,A\n", {"café\udce9.jpg": "A"}),
    "a column beside that is no Unicode": (b"file,label,predicted\na.jpg,A,caf\xe9\n", {"a.jpg": "A"}),
    "a label of 5,000 digits": ("file,label\na.jpg,9\nb.jpg," + "7" * 5000, {"a.jpg": "9", "b.jpg": "7" * 5000}),
    "nothing": ("", Refused("lists no files: it has no line besides its")),
    "a header alone": (HEAD, Refused("lists no files")),
    "comments alone": ("# a\n# b\n", Refused("lists no files")),
    "no header": ("a.jpg,A\nb.jpg,B\n", Refused("must name the columns, one of them 'file'.*Found: a.jpg, a")),
    "too many fields": (HEAD + "a.jpg,A,train,x\n", Refused("Line 2 .*has 4 fields, the header 3; put names")),
    "too few fields": (HEAD + "\na.jpg,A\n", Refused("Line 3 .*has 2 fields, the header 3")),
    "no file": (HEAD + ",A,train\n", Refused("Line 2 .* names no file")),
    "a split that is none": (
        HEAD + "a.jpg,A,training!\n",
        Refused("Line 2 .*: the split must be .* Found: 'training!'"),
    ),
    "a split of some": (HEAD + "a.jpg,A,train\nb.jpg,B,\n", Refused("Line 3 .* has no split, others have one")),
    "a quote that does not end": (HEAD + '"a.jpg,A,train\n', Refused("is not valid CSV: .*unexpected end of data")),
    "a quote that does not fit": (
        HEAD + '"a.jpg"x,A,train\n',
        Refused("is not valid CSV: line 2: .*expected after '\"'"),
    ),
    "a field of 200 kB": (
        "file,label\n" + "x" * 200_000 + ",A\n",
        Refused("is not valid CSV: line 2: field larger than"),
    ),
    "a label of two": (
        "file,label\na.jpg,A\n./a.jpg,B\n",
        Refused("Lines 2 and 3 .*contradict.*'a.jpg': 'A' and 'B'; drop"),
    ),
    "nothing of it": (
        "file\nnowhere.jpg\n",
        Refused("None of the 1 listed files .*the first: nowhere.jpg.; pass the folder"),
    ),
    "other files": ("file\nlist.csv\n", Refused("Nothing that .* lists is an image by its name")),
    "binary": (b"\x89PNG\r\n\x1a\n\0\xff", Refused("is not UTF-8 text .byte 0.; save it as UTF-8")),
    "Latin-1": ("file\né.jpg\n".encode("latin-1"), Refused("is not UTF-8 text .byte 5.")),
    "a label in Latin-1": (b"file,label\na.jpg,caf\xe9\n", Refused("is not UTF-8 text .byte 20.")),
    "a header in Latin-1": (b"file,label,caf\xe9\na.jpg,A,x\n", Refused("is not UTF-8 text .byte 14.")),
    "UTF-16": ("file\na.jpg\n".encode("utf-16"), Refused("is not UTF-8 text .byte 0.")),
}
JSON_LISTS = {
    "plain": ('{"file": "a.jpg", "label": "A"}\n', {"a.jpg": "A"}),
    "several labels": (
        '{"file": "a.jpg", "label": ["A", "B"]}\n{"file": "b.jpg", "label": "B"}',
        {"a.jpg": "A", "b.jpg": "B"},
    ),
    "whole numbers": ('{"file": "a.jpg", "label": 7}\n', {"a.jpg": "7"}),
    "no label": ('{"file": "a.jpg", "label": null}\n', {"a.jpg": None}),
    "a number in a text": (
        '{"file": "a.jpg", "label": 1.5}\n',
        Refused("Line 1 .*the label must be a text, a whole number"),
    ),
    "true": ('{"file": "a.jpg", "label": {"a": 1}}\n', Refused("Line 1 .*the label must be")),
    "a list": ('["a.jpg"]\n', Refused('Line 1 .*must be an object such as .*"label": "cat"')),
    "no file": ('{"label": "A"}\n', Refused("Line 1 .*names no file")),
    "a file that is none": ('{"file": ["a.jpg"]}\n', Refused("Line 1 .*the file and the split must be texts")),
    "half a line": ('{"file": "a.jpg"}\n{"file": \n', Refused("Line 2 .*is not JSON")),
    "two on a line": ('{"file": "a.jpg"} {"file": "b.jpg"}\n', Refused("Line 1 .*is not JSON: Extra data")),
    "NaN": ('{"file": "a.jpg", "label": NaN}\n', Refused("Line 1 .*is not JSON: it holds nan, which is not finite")),
    "1e999": ('{"file": "a.jpg", "label": 1e999}\n', Refused("Line 1 .*is not JSON: it holds inf")),
    "5,000 digits": ('{"file": "a.jpg", "label": ' + "7" * 5000 + "}\n", Refused("an integer of too many digits")),
    "a deep list": (
        '{"file": "a.jpg", "label": ' + "[" * 200 + "]" * 200 + "}\n",
        Refused("nested more than 100 deep"),
    ),
    "a very deep list": ("[" * 100_000 + "\n", Refused("is not JSON: ")),
    "half of a pair": ('{"file": "a.jpg", "label": "\\ud800"}\n', Refused("it holds text that is no Unicode")),
    "contradictions": (
        '{"file": "a.jpg", "label": "A"}\n{"file": "a.jpg", "label": "B"}\n',
        Refused("Lines 1 and 2 .*contradict"),
    ),
}
SCORES = {
    "plain": ("id,A,B\nx,1,-2\n", {"x": [1, -2]}),
    "exponents": ("id,A\nx,1e-3\ny,+2.5E2\n", {"x": [0.001], "y": [250]}),
    "spaces": ("id,A\nx, 1 \n", {"x": [1]}),
    "spellings of an item": ("id,A\n./a//b,1\n", {"a/b": [1]}),
    "addresses": ("id,A\nhttp://h/a,1\n", {"http://h/a": [1]}),
    "bytes that are no UTF-8": (b"id,A\ncaf\xe9,1\n", {"caf\udce9": [1]}),
    "a byte order mark": ("\ufeffid,A\nx,1\n", {"x": [1]}),
    "nothing": ("", Refused("first line .* must be `id`")),
    "no items": ("id,A\n", Refused("holds no items")),
    "no classes": ("id\nx\n", Refused("first line .* must be `id` and the names of the columns")),
    "another header": ("name,A\nx,1\n", Refused("must be `id`.*Found: .'name', 'A'")),
    "too many fields": ("id,A\nx,1,2\n", Refused("Line 2 .*has 3 fields; the first has 2")),
    "text": ("id,A\nx,high\n", Refused("Line 2 .*could not convert string to float: 'high'")),
    "a decimal comma": ('id,A\nx,"1,5"\n', Refused("Line 2 .*could not convert string to float: '1,5'")),
    "NaN": ("id,A\nx,nan\n", Refused("the row of 'x' holds nan; every value must be finite")),
    "infinity": ("id,A\nx,-inf\n", Refused("the row of 'x' holds -inf")),
    "1e999": ("id,A\nx,1e999\n", Refused("the row of 'x' holds inf")),
    "an item twice": ("id,A\nx,1\nx,1\n", Refused("the id 'x' more than once")),
    "an item in two spellings": ("id,A\nd/x,1\nd/./x,1\n", Refused("the id 'd/x' more than once")),
    "a class twice": ("id,A,A\nx,1,2\n", Refused("the class 'A' more than once")),
    "a field of 200 kB": ("id,A\n" + "x" * 200_000 + ",1\n", Refused("is not CSV: line 2: field larger")),
}
LABELS = {
    "plain": ("id,label\nx,A\ny,B\n", 1.0),
    "another order and more columns": ("label,why,id\nA,sure,x\nB,,y\n", 1.0),
    "spellings": ("id,label\n./x,A\nz/../y,B\n", 1.0),
    "one of them": ("id,label\nx,B\n", 0.0),
    "nothing": ("", Refused("must name the columns `id` and `label`")),
    "other columns": ("id,class\nx,A\n", Refused("must name the columns `id` and `label`")),
    "other items": ("id,label\nq,A\n", Refused("No item of .* has a label of its classes")),
    "other classes": ("id,label\nx,Q\n", Refused("No item of .* has a label of its classes")),
    "contradictions": (
        "id,label\nx,A\n\n./x,B\n",
        Refused("Lines 2 and 4 .*contradict each other about 'x': 'A' and 'B'"),
    ),
    "an item twice": ("id,label\nx,A\nx,A\n", Refused("the id 'x' more than once .lines 2 and 3.")),
    "a field of 200 kB": ("id,label\n" + "x" * 200_000 + ",A\n", Refused("is not CSV: line 2")),
}


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", LISTS)
def test_lists(folder, name):
    content, expected = LISTS[name]
    check(lambda: items(load_list(write(folder / "list.csv", content), test_fraction=0)), expected)


def test_whole_paths_and_relative_ones_are_of_one_file(folder):
    rows = f"file,label\na.jpg,A\n{folder}/a.jpg,B\n"
    check(lambda: load_list(write(folder / "list.csv", rows)), Refused("Lines 2 and 3 .*contradict.*'A' and 'B'"))


def test_a_named_pipe_is_not_waited_for(folder):
    os.mkfifo(folder / "list.csv")
    check(lambda: load_list(folder / "list.csv"), Refused("list.csv cannot be read: it is a named pipe, not a file"))


@pytest.mark.parametrize("name", JSON_LISTS)
def test_lists_of_json(folder, name):
    content, expected = JSON_LISTS[name]
    check(lambda: items(load_list(write(folder / "list.jsonl", content), test_fraction=0)), expected)


@pytest.mark.parametrize("name", SCORES)
def test_scores(tmp_path, name):
    content, expected = SCORES[name]
    path = write(tmp_path / "scores.csv", content)
    check(lambda: _rows(read_scores(path)), expected)
    if "class" not in name:  # tables of vectors have none
        check(lambda: _rows(read_features(path)), expected)


def _rows(table):
    return dict(zip(table.ids, table.values.tolist(), strict=True))


@pytest.mark.parametrize("name", LABELS)
def test_labels(tmp_path, name):
    content, expected = LABELS[name]
    scores = write(tmp_path / "scores.csv", "id,A,B\nx,1,0\ny,0,1\n")
    labels = write(tmp_path / "labels.csv", content)

    def accuracy():
        (result,) = evaluate([], [scores], labels=labels, resamples=2)["results"]
        return result["accuracy"]["value"]

    check(accuracy, expected)


UCF = {
    "plain": ("1 A\n", "A/v_A_g01_c01.avi 1\n", ["A/v_A_g01_c01.avi", "A/v_A_g02_c01.avi"]),
    "slashes": ("1 A\n", "./A//v_A_g01_c01.avi 1\n", ["A/v_A_g01_c01.avi", "A/v_A_g02_c01.avi"]),
    "no number of a class": (
        "A\n",
        "A/v_A_g01_c01.avi 1\n",
        Refused("Line 1 of .*classInd.txt must be a number and a"),
    ),
    "no label": ("1 A\n", "A/v_A_g01_c01.avi\n", Refused("Line 1 of .*trainlist01.txt must be a video and its label")),
    "a label that is text": ("1 A\n", "A/v_A_g01_c01.avi x\n", Refused("must be a video and its label. Found")),
    "another label": (
        "1 A\n2 B\n",
        "A/v_A_g01_c01.avi 2\n",
        Refused("the label 2 contradicts that of the class 'A', 1"),
    ),
    "an unknown class": ("1 A\n", "Q/v_Q_g01_c01.avi 1\n", Refused("the class 'Q' is not in classInd.txt")),
    "no class": ("1 A\n", "clip.avi 1\n", Refused("Line 1 .*names no class: 'clip.avi'")),
    "a video of two classes": (
        "1 A\n2 B\n",
        "A/v_A_g01_c01.avi 1\nB/v_A_g01_c01.avi 2\n",
        Refused("Line 2 of .* and line 1 of .* contradict each other about 'B/v_A_g01_c01.avi': 'B' and 'A'"),
    ),
}


@pytest.mark.parametrize("name", UCF)
def test_ucf101(tmp_path, name):
    classes, train, expected = UCF[name]
    write(tmp_path / "classInd.txt", classes)
    write(tmp_path / "trainlist01.txt", train)
    write(tmp_path / "testlist01.txt", "A/v_A_g02_c01.avi\n")
    for group in ("g01", "g02"):
        write(tmp_path / f"v_A_{group}_c01.avi", b"")
    check(lambda: load_ucf101(tmp_path).names, expected)


CUB = {
    "plain": ({}, ["A/a.jpg", "A/b.jpg"]),
    "slashes": ({"images.txt": "1 ./A//a.jpg\n2 A/b.jpg\n"}, ["A/a.jpg", "A/b.jpg"]),
    "no number": ({"images.txt": "A/a.jpg\n"}, Refused("Line 1 of .*images.txt must be a number and a value")),
    "a number twice": (
        {"images.txt": "1 A/a.jpg\n1 A/b.jpg\n"},
        Refused("Line 2 of .* contradicts line 1 about number 1"),
    ),
    "no label": ({"image_class_labels.txt": "1 1\n"}, Refused("image 2 .*is not in .*image_class_labels.txt")),
    "an unknown class": (
        {"image_class_labels.txt": "1 1\n2 9\n"},
        Refused("has the class '9', which classes.txt does not"),
    ),
    "a split that is none": ({"train_test_split.txt": "1 1\n2 x\n"}, Refused("must be 1 .training. or 0")),
    "an image of two classes": (
        {"images.txt": "1 A/a.jpg\n2 A/../A/a.jpg\n", "image_class_labels.txt": "1 1\n2 2\n"},
        Refused("Lines 1 and 2 of .*images.txt contradict each other about 'A/a.jpg': 'A' and 'B'"),
    ),
    "none of them": (
        {"images.txt": "1 A/q.jpg\n2 A/r.jpg\n"},
        Refused("None of the 2 images of CUB-200-2011 is below"),
    ),
}


@pytest.mark.parametrize("name", CUB)
def test_cub(tmp_path, name):
    changes, expected = CUB[name]
    lists = {
        "images.txt": "1 A/a.jpg\n2 A/b.jpg\n",
        "image_class_labels.txt": "1 1\n2 1\n",
        "train_test_split.txt": "1 1\n2 0\n",
        "classes.txt": "1 A\n2 B\n",
    }
    for file, content in {**lists, **changes}.items():
        write(tmp_path / file, content)
    (tmp_path / "images" / "A").mkdir(parents=True)
    for image in ("a.jpg", "b.jpg"):
        write(tmp_path / "images" / "A" / image, b"")
    check(lambda: load_cub(tmp_path).names, expected)


FOLDERS = {
    "two classes": (["A/1.jpg", "B/1.jpg"], {"A/1.jpg": "A", "B/1.jpg": "B"}),
    "hidden files": (["A/1.jpg", "B/1.jpg", "B/.2.jpg", ".git/1.jpg"], {"A/1.jpg": "A", "B/1.jpg": "B"}),
    "other files": (["A/1.jpg", "B/1.jpg", "B/notes.txt"], {"A/1.jpg": "A", "B/1.jpg": "B"}),
    "names that are formulas": (["$^$/1.jpg", "_x/1.jpg"], {"$^$/1.jpg": "$^$", "_x/1.jpg": "_x"}),
    "a name that is no Unicode": (["A/1.jpg", "\udce9/1.jpg"], {"A/1.jpg": "A", "\udce9/1.jpg": "\udce9"}),
    "one class": (["A/1.jpg"], Refused("holds images of 1 class; at least two are needed")),
    "no classes": (["1.jpg", "2.jpg"], Refused("holds images of 0 classes; at least two are needed")),
    "empty classes": (["A/a.txt", "B/b.txt"], Refused("holds images of 0 classes")),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders(tmp_path, name):
    files, expected = FOLDERS[name]
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        write(tmp_path / file, b"")
    check(lambda: items(load_folder(tmp_path, test_fraction=0)), expected)


ARRAYS = {
    "plain": (np.eye(2), "x\ny\n", {"x": [1, 0], "y": [0, 1]}),
    "names of files": (np.eye(2), "./x\na/../y\n", {"x": [1, 0], "y": [0, 1]}),
    "half precision": (np.eye(2, dtype="float16"), "x\ny\n", {"x": [1, 0], "y": [0, 1]}),
    "whole numbers": (np.eye(2, dtype="int8"), "x\ny\n", {"x": [1, 0], "y": [0, 1]}),
    "another number of names": (np.eye(2), "x\n", Refused("has 1 ids for values of shape")),
    "three dimensions": (np.ones((2, 2, 2)), "x\ny\n", Refused("has 2 ids for values of shape .2, 2, 2.")),
    "complex numbers": (np.eye(2, dtype=complex), "x\ny\n", Refused("must hold real numbers; its dtype is complex128")),
    "texts": (np.array([["a"], ["b"]]), "x\ny\n", Refused("must hold real numbers")),
    "objects": (np.array([[{}], [{}]]), "x\ny\n", Refused("is not an array of numbers in the .npy format")),
    "NaN": (np.array([[1.0], [np.nan]]), "x\ny\n", Refused("the row of 'y' holds nan")),
    "no names": (np.eye(2), None, Refused("needs a.ids.txt beside it")),
    "half a file": (b"\x93NUMPY\x01\x00v\0", "x\n", Refused("is not an array of numbers")),
    "text of it": (b"1 2\n3 4\n", "x\n", Refused("is not an array of numbers")),
    "nothing of it": (b"", "x\n", Refused("is not an array of numbers|cannot be read")),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(tmp_path, name):
    values, ids, expected = ARRAYS[name]
    path = tmp_path / "a.npy"
    if isinstance(values, bytes):
        path.write_bytes(values)
    else:
        np.save(path, values, allow_pickle=True)
    if ids is not None:
        write(tmp_path / "a.ids.txt", ids)
    check(lambda: _rows(read_features(path)), expected)


BLOCKED = {
    "a list": ('["v_1", "2"]', {"1", "2"}),
    "lines": ("v_1\n\n# none\n2\n", {"1", "2"}),
    "an object": ('{"a": 1}', Refused("must be a JSON list of videos, or hold one a line")),
    "a number": ("7", Refused("must be a JSON list of videos")),
    "half a list": ('["a"', {'["a"'}),
}


@pytest.mark.parametrize("name", BLOCKED)
def test_blocked_videos(tmp_path, name):
    content, expected = BLOCKED[name]
    check(lambda: read_blocked(write(tmp_path / "a.json", content)), expected)
