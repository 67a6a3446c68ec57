"""Whose fault it is where an item cannot be had: fsspec's own store, in memory, with faults."""

import importlib.util
import pickle
import resource
import tempfile
import uuid

import pytest

from keras_fvvae.encoding import extraction as module
from keras_fvvae.encoding import fetching
from keras_fvvae.encoding.extraction import Extraction
from keras_fvvae.encoding.fetching import FetchError, fetched
from keras_fvvae.encoding.item_encoder import Encoding, ItemEncoder
from keras_fvvae.encoding.items import Item
from keras_fvvae.encoding.plan import PartEncoder, read_part, write_part
from keras_fvvae.errors import DataError
from tests.encoding.conftest import write_run

needs_fsspec = pytest.mark.skipif(importlib.util.find_spec("fsspec") is None, reason="needs fsspec: pip install fsspec")


class Store:
    """A bucket, the names of the files that were asked for, and what is raised for one, if anything."""

    def __init__(self, files):
        import fsspec

        self.address = f"memory://bucket-{uuid.uuid4().hex}"
        self.asked = []
        self.fault = lambda path: None
        for name, content in files.items():
            fsspec.filesystem("memory").pipe_file(f"{self.address}/photos/{name}", content)

    def item(self, name):
        return Item(f"{name}:1", name, f"{self.address}/photos/{name}")

    def ask(self, path):
        self.asked.append(path.rpartition("/")[2])
        if error := self.fault(path):
            raise error


@pytest.fixture
def make_store(monkeypatch):
    from fsspec.implementations.memory import MemoryFileSystem

    monkeypatch.setattr(fetching, "RETRY_SECONDS", (0, 0, 0))

    def make(files):
        store = Store(files)
        for name in ("_open", "info"):
            monkeypatch.setattr(MemoryFileSystem, name, asking(store, getattr(MemoryFileSystem, name)))
        return store

    def asking(store, method):
        def call(system, path, *args, **options):
            store.ask(path)
            return method(system, path, *args, **options)

        return call

    return make


@pytest.fixture
def store(make_store):
    return make_store({"1.jpg": b"one", "2.jpg": b"two"})


def _read(item):
    with fetched(item) as path:
        return path.read_bytes()


@needs_fsspec
@pytest.mark.parametrize("error", [OSError("no route"), PermissionError("expired"), RuntimeError("boto")])
def test_a_store_that_comes_back(store, error):
    """Until it does, it tells of nothing."""
    store.fault = lambda path: error if store.asked.count("1.jpg") < 3 else None
    assert _read(store.item("1.jpg")) == b"one"
    assert store.asked.count("1.jpg") == 3


@needs_fsspec
@pytest.mark.parametrize("error", [OSError("no route"), PermissionError("expired"), ValueError("bad key")])
def test_a_store_that_is_gone(store, error):
    store.fault = lambda path: error
    with pytest.raises(FetchError) as raised:
        _read(store.item("1.jpg"))
    assert store.asked.count("1.jpg") == 4
    text = str(raised.value)
    assert text.startswith(f"{store.address}/photos/1.jpg cannot be read: {error}. Check ")
    assert text.endswith("It was asked 4 times. What was encoded is kept: the same command goes on.")
    assert str(pickle.loads(pickle.dumps(raised.value))) == text  # from a process to its parent


@needs_fsspec
def test_a_file_that_is_refused_alone(store):
    """It has failed: the store tells of its folder."""
    store.fault = lambda path: PermissionError("Forbidden") if path.endswith("1.jpg") else None
    with pytest.raises(DataError, match=r"1.jpg cannot be read: Forbidden\."):
        _read(store.item("1.jpg"))
    assert store.asked.count("1.jpg") == 1
    assert _read(store.item("2.jpg")) == b"two"


@needs_fsspec
def test_a_file_that_is_not_there(store):
    with pytest.raises(DataError, match="3.jpg does not exist"):
        _read(store.item("3.jpg"))
    assert store.asked.count("3.jpg") == 1


@needs_fsspec
@pytest.mark.skipif(importlib.util.find_spec("s3fs") is not None, reason="s3fs is installed")
def test_a_package_that_is_missing(monkeypatch):
    """On one of several machines, for example; it is not waited for."""
    monkeypatch.setattr(fetching, "RETRY_SECONDS", (1000,))
    with pytest.raises(FetchError, match=r"needs s3fs: pip install s3fs\. What was encoded is kept"):
        _read(Item("1.jpg:1", "1.jpg", "s3://bucket/1.jpg"))


def test_no_room_for_a_copy(tmp_path, monkeypatch):
    (tmp_path / "x.tar").write_bytes(bytes(4096))
    item = Item("1.jpg:4096", "1.jpg", str(tmp_path / "x.tar"), None, (0, 4096))
    assert _read(item) == bytes(4096)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(FetchError, match=r"x.tar cannot be copied to .*\(TMPDIR\): File too large\. What"):
            _read(item)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(FetchError, match=r"x.tar cannot be copied to .*\(TMPDIR\): No such file"):
        _read(item)


@pytest.fixture
def stored_images(make_store, images):
    """The images of the folder in a store."""
    return make_store({path.relative_to(images).as_posix(): path.read_bytes() for path in images.rglob("*.png")})


@needs_fsspec
def test_a_call_ends_and_the_same_one_goes_on(stored_images, tmp_path, monkeypatch):
    """What is missing or broken has failed; what could not be had has not, and is encoded the next time."""

    def encode_here(encoding, items, processes):  # the memory is this process's
        encoder, size = ItemEncoder(encoding), encoding.chunk_items
        for start in range(0, len(items), size):
            yield from encoder.results(encoder.submit(items[start : start + size]))

    monkeypatch.setattr(Encoding, "chunk_items", 4)
    monkeypatch.setattr(module, "encode_in_processes", encode_here)
    run, store = write_run(tmp_path / "run", kind="image"), stored_images
    extraction = Extraction(run, f"{store.address}/photos", tmp_path / "out")
    gone, later = extraction.items[5].name, extraction.items[9].name
    store.fault = lambda path: (
        FileNotFoundError(path) if path.endswith(gone) else OSError("no route") if path.endswith(later) else None
    )
    with pytest.raises(FetchError, match=rf"{later} cannot be read: no route"):
        extraction.run(verbose=0)
    summary = extraction.summary()
    assert (summary.stored, list(summary.failed)) == (7, [gone])
    assert len(summary.missing) == 33
    store.fault = lambda path: None
    summary = extraction.run(verbose=0)
    assert (summary.stored, sorted(summary.failed)) == (39, sorted([gone, "part0/broken.png"]))
    assert summary.complete


@needs_fsspec
def test_what_a_part_of_the_plan_had_done_is_kept(stored_images, tmp_path, monkeypatch):
    """Of Beam's and Ray's workers."""
    monkeypatch.setattr(Encoding, "chunk_items", 4)
    run, store = write_run(tmp_path / "run", kind="image"), stored_images
    extraction = Extraction(run, f"{store.address}/photos", tmp_path / "out")
    (tmp_path / "plan").mkdir()
    part = tmp_path / "plan" / write_part(tmp_path / "plan", extraction.items[:12])[0]
    last = extraction.items[11].name
    store.fault = lambda path: OSError("no route") if path.endswith(last) else None
    with pytest.raises(FetchError, match="no route"):
        PartEncoder(extraction.encoding, 1).encode(extraction.output, part)
    assert extraction.summary().stored == 8
    assert len(read_part(part)) == 12
