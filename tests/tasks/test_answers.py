"""Answers in files: columns by rank, errors, names that are no Unicode, and nothing half-written."""

import csv
import json

import pytest

from keras_fvvae.errors import DataError
from keras_fvvae.tasks.answers import write_answers

RESULTS = [
    {"file": "absent.jpg", "error": "cannot be opened"},
    {"file": 'a, "b".jpg', "labels": ["cat", "dog"], "scores": [1.5, -0.5], "seen": "content"},
    {"file": "caf\udce9.jpg", "labels": ["dog"], "scores": [2.0], "seen": ""},
    {"file": "c.jpg", "error": "it is empty"},
]


def test_csv(tmp_path):
    path = tmp_path / "deep" / "a.csv"
    assert list(write_answers(RESULTS, path)) == RESULTS
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "label", "score", "label_2", "score_2", "seen", "error"]
    assert rows == [
        ["absent.jpg", "", "", "", "", "", "cannot be opened"],
        ['a, "b".jpg', "cat", "1.5", "dog", "-0.5", "content", ""],
        ["caf\udce9.jpg", "dog", "2.0", "", "", "", ""],
        ["c.jpg", "", "", "", "", "", "it is empty"],
    ]


def test_errors_alone(tmp_path):
    list(write_answers(RESULTS[:1], tmp_path / "a.csv"))
    assert (tmp_path / "a.csv").read_text() == "file,error\nabsent.jpg,cannot be opened\n"


def test_json_lines(tmp_path):
    list(write_answers(RESULTS, tmp_path / "a.jsonl"))
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()] == RESULTS


def test_nothing_half_written(tmp_path):
    def broken():
        yield RESULTS[1]
        raise KeyboardInterrupt

    (tmp_path / "a.csv").write_text("before")
    with pytest.raises(KeyboardInterrupt):
        list(write_answers(broken(), tmp_path / "a.csv"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "before"
    with pytest.raises(ValueError, match=r"ends in .csv or .jsonl"):
        list(write_answers(RESULTS, tmp_path / "a.txt"))
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        list(write_answers(RESULTS, tmp_path / "file" / "a.csv"))
