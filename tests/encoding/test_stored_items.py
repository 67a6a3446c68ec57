"""Tar files and object stores: the same vectors as of a folder, and every mistake in one sentence."""

import gzip
import io
import os
import tarfile
import uuid

import pytest

from keras_fvvae.encoding.extraction import Extraction
from keras_fvvae.encoding.fetching import fetched
from keras_fvvae.encoding.items import Item, Shard
from keras_fvvae.encoding.stored_items import find_stored
from keras_fvvae.errors import DataError
from tests.encoding.conftest import write_run


def _tar(files):
    """The bytes of a tar file of pairs of name and content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _write_tar(path, files):
    path.write_bytes(_tar(files.items()))
    return path


@pytest.fixture
def small():
    """Files of two tar files, as WebDataset writes them."""
    first = {"a/1.jpg": b"one", "a/1.cls": b"7\n", "a/1.json": b"{}", "2.seg.png": b"two", "2.cls": b"cat"}
    return first, {"3.jpg": b"three", "._3.jpg": b"of a Mac", ".hidden/4.jpg": b"x", "notes.txt": b"x"}


@pytest.fixture
def shards(small, tmp_path):
    for number, files in enumerate(small, start=8):
        _write_tar(tmp_path / f"s{number:02d}.tar", files)
    return tmp_path


NAMES = ["s08.tar/a/1.jpg", "s08.tar/2.seg.png", "s09.tar/3.jpg"]


@pytest.mark.parametrize("pattern", ["s*.tar", "s{08..09}.tar", "s0[89].tar", "s{08..8}.tar"])
def test_patterns(pattern, shards):
    if pattern == "s{08..8}.tar":
        assert [item.name for item in find_stored(shards / pattern).items] == NAMES[:2]
        return
    found = find_stored(shards / pattern)
    assert (found.kind, [item.name for item in found.items]) == ("image", NAMES)
    assert found.labels == {NAMES[0]: "7", NAMES[1]: "cat"}
    assert [item.key.rpartition(":")[2] for item in found.items] == ["3", "3", "5"]
    contents = []
    for item in found.items:
        with fetched(item) as path:
            contents.append(path.read_bytes())
        assert not path.exists()
    assert contents == [b"one", b"two", b"three"]


def test_shards_of_the_work(shards):
    parts = [find_stored(shards / "s*.tar", shard=Shard(number, 2)) for number in (1, 2)]
    assert sorted(item.name for part in parts for item in part.items) == sorted(NAMES)


def test_of_one_name_twice_the_later_counts(tmp_path):
    (tmp_path / "x.tar").write_bytes(_tar([("1.jpg", b"old"), ("1.jpg", b"newer")]))
    (item,) = find_stored(tmp_path / "x.tar").items
    with fetched(item) as path:
        assert path.read_bytes() == b"newer"


def _add_link(tar, name, target, kind=tarfile.LNKTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    tar.addfile(info)


def _add_file(tar, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def test_hard_links_of_files_on_disk(tmp_path):
    """What `tar` writes of a file that it has already written under another name."""
    for name in "ab":
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(b"one")
    os.link(tmp_path / "a" / "1.jpg", tmp_path / "b" / "2.jpg")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name in "ab":
            tar.add(tmp_path / name, arcname=f"./{name}")
        assert tar.getmember("./b/2.jpg").islnk()
    found = find_stored(tmp_path / "x.tar")
    assert [item.key for item in found.items] == ["x.tar/a/1.jpg:3", "x.tar/b/2.jpg:3"]
    assert found.absent == {}
    for item in found.items:
        with fetched(item) as path:
            assert path.read_bytes() == b"one"


def test_hard_links_name_what_is_before_them(tmp_path):
    """Also of what is no item itself, of links, and of labels; and the file that had the name by then."""
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        _add_file(tar, ".pool/7", b"seven")
        _add_file(tar, "a/1.jpg", b"old")
        _add_link(tar, "a/2.jpg", ".pool/7")
        _add_link(tar, "a/3.jpg", "a/2.jpg")
        _add_link(tar, "a/4.jpg", "./a/1.jpg")
        _add_file(tar, "a/1.jpg", b"newer")
        _add_file(tar, "a/1.cls", b"cat")
        _add_link(tar, "a/2.cls", "a/1.cls")
    found = find_stored(tmp_path / "x.tar")
    contents = {}
    for item in found.items:
        with fetched(item) as path:
            contents[item.name.removeprefix("x.tar/a/")] = path.read_bytes()
    assert contents == {"1.jpg": b"newer", "2.jpg": b"seven", "3.jpg": b"seven", "4.jpg": b"old"}
    assert found.labels == {"x.tar/a/1.jpg": "cat", "x.tar/a/2.jpg": "cat"}


def test_links_that_lead_to_nothing_are_counted(tmp_path, run):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        _add_link(tar, "1.jpg", "/etc/passwd", tarfile.SYMTYPE)
        _add_link(tar, "2.jpg", "1.jpg")
        _add_link(tar, "3.jpg", "/etc/passwd")
        _add_link(tar, "notes.txt", "nothing")
    with pytest.raises(DataError, match=r"1 files, 1 of them tar files\. x.tar/1.jpg is a symbolic link"):
        find_stored(tmp_path / "x.tar")
    with tarfile.open(tmp_path / "x.tar", "a") as tar:
        _add_file(tar, "4.jpg", b"four")
        _add_link(tar, "5.jpg", "4.jpg")
    found = find_stored(tmp_path / "x.tar")
    assert [item.name for item in found.items] == ["x.tar/4.jpg", "x.tar/5.jpg"]
    assert list(found.absent) == ["x.tar/1.jpg", "x.tar/2.jpg", "x.tar/3.jpg"]
    parts = [find_stored(tmp_path / "x.tar", shard=Shard(number, 2)) for number in (1, 2)]
    assert sorted(name for part in parts for name in part.absent) == sorted(found.absent)
    summary = Extraction(run, tmp_path / "x.tar", tmp_path / "out", kind="image").summary()
    assert (summary.items, len(summary.missing)) == (5, 2)
    assert summary.failed["x.tar/3.jpg"].startswith("a hard link to '/etc/passwd', of which the tar file holds no")


def test_videos_where_there_are_any(tmp_path):
    path = _write_tar(tmp_path / "x.tar", {"1.jpg": b"one", "2.mp4": b"two"})
    assert [item.name for item in find_stored(path).items] == ["x.tar/2.mp4"]
    assert [item.name for item in find_stored(path, kind="image").items] == ["x.tar/1.jpg"]


def test_mistakes(shards, tmp_path):
    with pytest.raises(DataError, match="absent.tar does not exist, or is empty"):
        find_stored(tmp_path / "absent.tar")
    with pytest.raises(DataError, match="s10.tar does not exist, or is empty"):
        find_stored(shards / "s{08..10}.tar")
    with pytest.raises(DataError, match="the numbers in braces must rise"):
        find_stored(shards / "s{9..8}.tar")
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress((shards / "s08.tar").read_bytes()))
    with pytest.raises(DataError, match="x.tar.gz .* is compressed: .* pack them as a plain .tar"):
        find_stored(tmp_path / "x.tar.gz")
    (tmp_path / "y.tar").write_bytes((tmp_path / "x.tar.gz").read_bytes())
    with pytest.raises(DataError, match="y.tar is damaged, or compressed, after 0 images and videos: .* leave it out"):
        find_stored(tmp_path / "y.tar")
    with pytest.raises(ValueError, match="`kind` must be one of"):
        find_stored(tmp_path / "x.tar", kind="sound")
    with pytest.raises(DataError, match="ftp://host/x cannot be used: only s3, gs"):
        find_stored("ftp://host/x")


def test_tar_file_that_is_cut_off(shards):
    content = (shards / "s08.tar").read_bytes()
    (shards / "cut.tar").write_bytes(content[:700])
    with pytest.raises(DataError, match="cut.tar is damaged, or compressed, after 1 images"):
        find_stored(shards / "cut.tar")
    item = Item("x:5", "x.jpg", str(shards / "s08.tar"), None, (len(content) - 2, 5))
    with pytest.raises(DataError, match="its tar file ends within it"), fetched(item):
        pass


def test_vectors_are_those_of_the_folder(images, tmp_path):
    run = write_run(tmp_path / "run", kind="image")
    folder = Extraction(run, images, tmp_path / "folder")
    folder.run(verbose=0)
    files = {path.relative_to(images).as_posix(): path.read_bytes() for path in sorted(images.rglob("*.png"))}
    _write_tar(tmp_path / "x.tar", files | {"part0/000.cls": b"zero"})
    stored = Extraction(run, tmp_path / "x.tar", tmp_path / "tar")
    summary = stored.run(verbose=0)
    assert (summary.stored, list(summary.failed)) == (40, ["x.tar/part0/broken.png"])
    assert str(tmp_path) not in str(summary.failed)
    one, other = (extraction.output.open_store() for extraction in (folder, stored))
    for item in folder.items:
        if item.name != "part0/broken.png":
            assert (one[item.key] == other[f"x.tar/{item.key}"]).all()
    assert stored.labels == {"x.tar/part0/000.png": "zero"}
    again = Extraction(run, tmp_path / "x.tar", tmp_path / "tar").run(verbose=0)
    assert (again.stored, again.missing) == (40, [])


class TestStore:
    """fsspec's own store, in memory, which behaves as one."""

    @pytest.fixture
    def bucket(self, small):
        fsspec = pytest.importorskip("fsspec", reason="needs fsspec: pip install fsspec")
        system, name = fsspec.filesystem("memory"), f"bucket-{uuid.uuid4().hex}"
        for path, content in {"a/1.jpg": b"one", "a/.x.jpg": b"x", "2.png": b"two", "x.txt": b"x"}.items():
            system.pipe_file(f"/{name}/photos/{path}", content)
        for number, files in enumerate(small):
            system.pipe_file(f"/{name}/shards/s{number}.tar", _tar(files.items()))
        return f"memory://{name}"

    @pytest.mark.parametrize("end", ["", "/"])
    def test_folder(self, bucket, end):
        found = find_stored(f"{bucket}/photos{end}")
        assert [item.name for item in found.items] == ["2.png", "a/1.jpg"]
        with fetched(found.items[1]) as path:
            assert (path.read_bytes(), path.suffix) == (b"one", ".jpg")

    @pytest.mark.parametrize("pattern", ["shards", "shards/", "shards/*.tar", "shards/s{0..1}.tar"])
    def test_tar_files(self, bucket, pattern):
        found = find_stored(f"{bucket}/{pattern}")
        assert [item.name for item in found.items] == [
            name.replace("s0", "s").replace("8", "0").replace("9", "1") for name in NAMES
        ]
        with fetched(found.items[2]) as path:
            assert path.read_bytes() == b"three"

    def test_mistakes(self, bucket):
        with pytest.raises(DataError, match="absent does not exist, or is empty"):
            find_stored(f"{bucket}/absent")
        gone = Item("x:1", "x.jpg", f"{bucket}/x.jpg")
        with pytest.raises(DataError, match=r"x.jpg does not exist. Check the address"), fetched(gone):
            pass
