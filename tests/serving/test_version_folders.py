import pytest

from keras_fvvae.serving.errors import MAX_MESSAGE, ServingError, without_paths
from keras_fvvae.serving.version_folders import MAX_VERSION, version_folders, version_number


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
