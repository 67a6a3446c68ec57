"""From files to an index and to neighbours: `keras-fvvae index` and `search`, with the digits' shipped weights."""

import json
import shutil

import pytest
from click.testing import CliRunner
from keras_fvvae.tools.index import command as index_command
from keras_fvvae.tools.search import command as search_command

from keras_fvvae.encoding.extraction import Extraction
from keras_fvvae.errors import DataError
from keras_fvvae.search import Index, QueryEncoder, index_data
from keras_fvvae.search.building import folder_label
from tests.encoding.conftest import write_run
from tests.support.small_data import write_digits

MODEL = "digits_conv"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Eight digits of three classes, a copy of one, one that is no image, and one without a class."""
    folder = write_digits(tmp_path_factory.mktemp("digits") / "data")
    first = min(folder.glob("7/*.png"))
    shutil.copy(first, folder / "7" / "copy.png")
    shutil.copy(first, folder / "unsorted.png")
    (folder / "1" / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def built(files, tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "index"
    result = CliRunner().invoke(index_command, [MODEL, "--data", str(files), "--out", str(path)])
    assert result.exit_code == 0, result.exception or result.output
    assert "26 images, 25 with a label" in result.output
    assert "1/broken.png: " in result.output
    assert not path.with_name("index.encoding").exists()
    return path


def _search(*arguments):
    result = CliRunner().invoke(search_command, [*map(str, arguments)], catch_exceptions=False)
    return result.exit_code, result.output


def test_queries_are_read_as_the_items_were(built):
    index = Index.open(built)
    index.encoding["views"]["decoder"] = "fast"
    assert QueryEncoder(index).reader.views.decoder == "fast"
    assert QueryEncoder(Index.open(built)).reader.views.decoder == "exact"


def test_neighbours_of_files(built, files, tmp_path):
    query = min(files.glob("7/*.png"))
    code, output = _search(query, files / "1" / "broken.png", "--index", built, "-k", 4)
    lines = output.splitlines()
    assert code == 0
    assert lines[0] == f"{query}:"
    assert {line.split()[2] for line in lines[1:4]} == {f"7/{query.name}", "7/copy.png", "unsorted.png"}
    assert all(line.split()[1] in ("1.0000", "0.9999") and line.endswith("the same file") for line in lines[1:4])
    assert "(7)" in lines[4]
    assert "same" not in lines[4]
    assert "broken.png: " in output
    code, output = _search(query, "--index", built, "--json", "-k", 1)
    (neighbour,) = json.loads(output)["neighbours"]
    assert (neighbour["same_file"], neighbour["similarity"]) == (True, pytest.approx(1, abs=1e-4))
    assert _search(files / "1" / "broken.png", "--index", built)[0] == 1


def test_the_whole_index(built):
    code, output = _search("--index", built, "--evaluate", "--json")
    assert code == 0
    assert json.loads(output)["queries"] == 25
    code, output = _search("--index", built, "--duplicates", 0.9999)
    assert code == 0
    assert output.splitlines()[-1].endswith(" pairs of 26 items, 3 of them the same file twice")
    for arguments, message in (
        (["--index", built], "Name files to search for"),
        (["a.png", "--evaluate", "--index", built], "Name files to search for"),
        (["a.png", "--sample", 3, "--index", built], "--sample is of --evaluate"),
    ):
        code, output = _search(*arguments)
        assert code == 2
        assert message in output


@pytest.mark.parametrize("data", ["photos.tar", "s3://bucket/photos", "photos.tgz"])
def test_what_is_no_file_is_refused(data, tmp_path):
    with pytest.raises(DataError, match="is no folder or list: an index names files"):
        index_data(MODEL, data, tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


def test_another_model_is_refused(built, tmp_path):
    index = Index.open(built)
    other = write_run(tmp_path / "other", kind="image")
    with pytest.raises(DataError, match="holds vectors of another model than .*other would make: search with digits"):
        QueryEncoder(index, other)
    with pytest.raises(DataError, match="other sizes or crops"):
        index.require_encoding({**index.encoding, "views": {}}, "a run")
    unknown = Index.build(tmp_path / "vectors", index.vectors, index.items.names)
    with pytest.raises(DataError, match="does not say which model"):
        QueryEncoder(unknown)


def test_vectors_of_encode_are_taken_and_kept(files, tmp_path, monkeypatch):
    Extraction(MODEL, files, tmp_path / "encoded").run(verbose=0)
    monkeypatch.setattr("keras_fvvae.encoding.extraction.encode_in_processes", None)  # nothing is encoded again
    index = index_data(MODEL, files, tmp_path / "index", encoded=tmp_path / "encoded", dtype="float16", whiten=True)
    assert (len(index), index.vectors.dtype, index.vectors.shape[1]) == (26, "float16", 3)
    assert (tmp_path / "encoded").is_dir()
    with pytest.raises(DataError, match="is there already"):
        index_data(MODEL, files, tmp_path / "index")


def test_a_folder_of_vectors_that_was_there_before_is_kept(files, tmp_path, monkeypatch):
    """Somebody's own, of the same model, has the name that `index` would take for its own."""
    Extraction(MODEL, files, tmp_path / "index.encoding").run(verbose=0)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr("keras_fvvae.encoding.extraction.encode_in_processes", None)  # nothing is encoded again
    assert len(index_data(MODEL, files, tmp_path / "index")) == 26
    assert [path for path in sorted(tmp_path.rglob("*")) if tmp_path / "index" not in (path, path.parent)] == before


def test_vectors_of_a_call_that_was_stopped_are_taken_and_removed(files, tmp_path, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Index, "build", stop)
        with pytest.raises(KeyboardInterrupt):
            index_data(MODEL, files, tmp_path / "index", verbose=0)
    assert (tmp_path / "index.encoding").is_dir()
    monkeypatch.setattr("keras_fvvae.encoding.extraction.encode_in_processes", None)  # nothing is encoded again
    assert len(index_data(MODEL, files, tmp_path / "index")) == 26
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_labels_of_folders():
    assert [folder_label(name) for name in ("val/cat/a.jpg", "val/a.jpg", "cats/val/a.jpg")] == ["cat", "val", "cats"]
