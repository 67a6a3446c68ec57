"""Files of scores and features that others wrote, and how items and classes are matched."""

import json

import numpy as np
import pytest

from keras_fvvae.errors import DataError
from keras_fvvae.evaluation.activitynet import write_predictions
from keras_fvvae.evaluation.score_tables import ScoreTable, item_keys, read_features, read_scores, scores_csv

IDS, CLASSES = ["b.avi", "a, 2.avi", "ü.avi"], ["swim", "dive, high"]
VALUES = np.array([[1.5, -2.0], [0.1, 1e-9], [3.0, 4.0]])


def _write(tmp_path, form):
    path = tmp_path / f"scores.{form}"
    if form == "csv":
        path.write_text(scores_csv(IDS, CLASSES, VALUES), encoding="utf-8")
    elif form == "json":
        path.write_text(json.dumps({"ids": IDS, "class_names": CLASSES, "scores": VALUES.tolist()}))
    else:
        np.save(path, VALUES.astype("float32"))
        (tmp_path / "scores.ids.txt").write_text("\n".join(IDS) + "\n", encoding="utf-8")
        (tmp_path / "scores.classes.txt").write_text("\n".join(CLASSES) + "\n")
    return path


@pytest.mark.parametrize("form", ["csv", "json", "npy"])
def test_forms(tmp_path, form):
    table = read_scores(_write(tmp_path, form))
    assert (table.ids, table.class_names) == (IDS, CLASSES)
    assert np.allclose(table.values, VALUES, rtol=1e-6, atol=0)


def test_activitynet_form(tmp_path):
    write_predictions(tmp_path / "p.json", ["b", "a"], ["swim", "dive"], VALUES[:2])
    table = read_scores(tmp_path / "p.json")
    assert table.rows(["a", "b"], ["swim", "dive"]).tolist() == VALUES[[1, 0]].tolist()
    content = json.loads((tmp_path / "p.json").read_text())
    content["results"]["a"].pop()
    (tmp_path / "p.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="'a' has 1 scores for 2 classes.*activitynet evaluate"):
        read_scores(tmp_path / "p.json")


def test_features(tmp_path):
    np.save(tmp_path / "idt.npy", VALUES)
    (tmp_path / "idt.ids.txt").write_text("x\ny\nz\n")
    table = read_features(tmp_path / "idt.npy")
    assert isinstance(table.values, np.memmap)
    assert table.rows(["z", "x"]).tolist() == VALUES[[2, 0]].tolist()
    (tmp_path / "c3d.csv").write_text("id,0,1\nx,1,2\n")
    assert read_features(tmp_path / "c3d.csv").values.tolist() == [[1, 2]]


def test_classes_are_matched_by_name():
    table = ScoreTable("s", ["x"], np.array([[1, 2, 3]]), ["a", "b", "c"])
    assert table.rows(["x"], ["c", "a", "b"]).tolist() == [[3, 1, 2]]
    with pytest.raises(DataError, match="s is of different classes: of 2 1 are not wanted .such as 'c'"):
        table.rows(["x"], ["a", "b"])
    with pytest.raises(DataError, match="1 are missing .such as 'd'.*1 are not wanted .such as 'a'"):
        table.rows(["x"], ["b", "c", "d"])


def test_items_are_matched_by_stem_only_where_that_is_unique():
    assert item_keys([["a.avi", "b.mp4"], ["b", "a"]]) == [["a", "b"], ["b", "a"]]
    assert item_keys([["a.avi", "b.mp4"], ["b.mp4", "b.avi"]]) == [["a.avi", "b.mp4"], ["b.mp4", "b.avi"]]
    assert item_keys([["a.avi", "a.avi"]]) == [["a", "a"]]  # views of one item


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite(bad):
    values = VALUES.copy()
    values[1, 0] = bad
    with pytest.raises(DataError, match=f"s: the row of 'a, 2.avi' holds {bad}; every value must be finite"):
        ScoreTable("s", IDS, values, CLASSES)


def test_duplicates():
    with pytest.raises(DataError, match="s has the id 'x' more than once"):
        ScoreTable("s", ["x", "y", "x"], VALUES)
    assert ScoreTable("s", ["x", "y", "x"], VALUES, views=True).ids == ["x", "y", "x"]
    with pytest.raises(DataError, match="s has the class 'swim' more than once"):
        ScoreTable("s", IDS, VALUES, ["swim", "swim"])


def test_numbers_that_differ():
    with pytest.raises(DataError, match=r"s has 2 ids for values of shape \(3, 2\)"):
        ScoreTable("s", ["x", "y"], VALUES)
    with pytest.raises(DataError, match="s has 1 classes for 2 columns"):
        ScoreTable("s", IDS, VALUES, ["swim"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line .* must be `id`"),
        ("name,swim\na,1\n", "first line .* must be `id`.* Found: .'name', 'swim'"),
        ("id,swim\n", "holds no items"),
        ("id,swim\na,1,2\n", "Line 2 .* has 3 fields; the first has 2"),
        ("id,swim\na,x\n", "Line 2 .*could not convert string to float: 'x'"),
        ("id,swim\na,nan\n", "holds nan"),
        ("id,swim\na,1\na,2\n", "the id 'a' more than once"),
        ("id,swim\nb/a,1\n./b//a,2\n", "the id 'b/a' more than once"),
        ("id,swim,swim\na,1,2\n", "the class 'swim' more than once"),
    ],
)
def test_bad_csv(tmp_path, text, message):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_scores(tmp_path / "s.csv")


def test_other_bad_files(tmp_path):
    with pytest.raises(DataError, match="none.csv cannot be read: No such file"):
        read_scores(tmp_path / "none.csv")
    with pytest.raises(DataError, match="none.npy cannot be read: No such file"):
        read_scores(tmp_path / "none.npy")
    with pytest.raises(DataError, match="must be a .npy, .csv or"):
        read_scores(tmp_path / "s.mat")
    path = tmp_path / "s.npy"
    np.save(path, VALUES)
    with pytest.raises(DataError, match="s.npy needs s.ids.txt beside it"):
        read_scores(path)
    (tmp_path / "s.ids.txt").write_text("a\nb\nc\n")
    with pytest.raises(DataError, match="s.npy needs s.classes.txt beside it"):
        read_scores(path)
    np.save(path, np.array(["x"]))
    with pytest.raises(DataError, match="must hold real numbers"):
        read_features(path)
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match="is not an array of numbers"):
        read_features(path)
    path = tmp_path / "s.json"
    for text, message in (("{", "is not JSON"), ("{}", "holds no predictions"), ("4", "holds no predictions")):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_scores(path)
    path.write_text('{"ids": ["a", "b"], "class_names": ["x"], "scores": [[1], [1, 2]]}')
    with pytest.raises(DataError, match="`scores` must be rows of numbers"):
        read_scores(path)
