import os
import re

import pytest

from keras_fvvae.errors import RunError
from keras_fvvae.serving.errors import MAX_MESSAGE, ServingError, without_paths
from keras_fvvae.serving.version_folders import MAX_VERSION, require_export_folder, version_folders, version_number


@pytest.mark.parametrize(
    "name", ["", "-1", "1.5", "1_000", "\u00b2", "\u0663", "\uff11", "9223372036854775808", "1" * 5000, " 1", "1\n"]
)
def test_what_is_no_version(name):
    assert version_number(name) is None


def test_folders_are_found_by_their_numbers(tmp_path):
    for name in ("1", "0012", str(MAX_VERSION), str(MAX_VERSION + 1), "\u0663", "\u00b2", "x", ".partial-1"):
        (tmp_path / name).mkdir()
    (tmp_path / "5").write_text("a file")
    found = {number: path.name for number, path in version_folders(tmp_path).items()}
    assert found == {1: "1", 12: "0012", MAX_VERSION: str(MAX_VERSION)}
    assert version_folders(tmp_path / "absent") == {}


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("OSError: SavedModel file does not exist at: /srv/models/birds/3/{saved_model.pbtxt}", "{saved_model.pbtxt}"),
        ("ValueError: '/a b/c' and \"/x/y.pb\": no", None),
        ("/home/me/models/1/variables: not found", "variables: not found"),
        ("1/2 of a and/or b, https://example.com", None),
    ],
)
def test_messages_without_folders(message, shown):
    found = without_paths(message)
    for folder in ("/srv", "models", "/home", "me/", "/x/"):
        assert folder not in found
    assert shown is None or found.endswith(shown)


def test_half_a_word_is_no_path():
    assert without_paths("1/2 of a and/or b") == "1/2 of a and/or b"


def test_long_messages_are_cut():
    assert str(ServingError("INTERNAL", "x" * 5000)) == "x" * MAX_MESSAGE + "..."
    assert str(ServingError("INTERNAL", "x" * MAX_MESSAGE)) == "x" * MAX_MESSAGE


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a [1]", r"takes '\[' in a path for a pattern"),
        ("a*/b", r"takes '\*' in a path for a pattern"),
        ("what?", r"takes '\?' in a path for a pattern"),
        ("a\\b", r"takes '\\\\' in a path for a pattern"),
        ("gs://bucket/a", "is an address, not a folder on this machine"),
        ("ram://a", "is an address"),
        ("http://host/a", "is an address"),
        ("s3://a/b", "is an address"),
        ("hdfs:/a", "is an address"),
        ("a\nb", "holds control characters"),
        ("caf\udce9", "takes no path that is no Unicode"),
    ],
)
def test_export_folders_that_cannot_be_loaded(path, message):
    with pytest.raises(RunError, match=f"The export folder {re.escape(path)} cannot be used: .*{message}.*. Choose an"):
        require_export_folder(path)


@pytest.mark.parametrize("path", ["a b", "{a}", "$^$", "猫", "c:a", "a://b/c", "]", "%s", "#a"])
def test_export_folders_that_can(path, tmp_path):
    require_export_folder(tmp_path / path)
    require_export_folder(str(tmp_path / path))


def test_the_current_folder_counts(tmp_path, monkeypatch):
    """Whoever loads the export by its whole path would fail."""
    (tmp_path / "[1]").mkdir()
    monkeypatch.chdir(tmp_path / "[1]")
    with pytest.raises(RunError, match=r"The export folder out cannot be used: TensorFlow takes '\['"):
        require_export_folder("out")


def test_export_folders_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file cannot be written: it is a file"):
        require_export_folder(tmp_path / "file")
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(RunError, match="a/b cannot be written: Permission denied"):
        require_export_folder(tmp_path / "a" / "b")
