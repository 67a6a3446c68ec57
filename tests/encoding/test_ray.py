"""The same store from Ray: on one machine, on a cluster that loses one of two, and where items kill their workers."""

import importlib.util
import threading
import time
import types

import numpy as np
import pytest

from keras_fvvae.encoding.extraction import Extraction
from keras_fvvae.encoding.item_encoder import Encoding
from keras_fvvae.encoding.plan import PLAN, read_part, write_plan
from keras_fvvae.errors import RunError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs Ray: pip install keras-fvvae[ray]"
)


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of four images, so that there are many."""
    monkeypatch.setattr(Encoding, "chunk_items", 4)


@pytest.fixture
def cluster():
    """Two machines of one CPU each, on loopback."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.other = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def vectors(extraction):
    store = extraction.output.open_store()
    return {key: np.array(store[key]) for key in store}


def assert_equal(extraction, other):
    ones, others = vectors(extraction), vectors(other)
    assert ones.keys() == others.keys()
    assert ones
    for key, value in ones.items():
        assert np.array_equal(value, others[key])  # to the bit, wherever it was encoded


def test_one_machine(run, videos, tmp_path):
    by_ray, here = (Extraction(run, videos, tmp_path / name) for name in ("ray", "here"))
    summary, expected = by_ray.run(engine="ray", ray_cpus=1, verbose=0), here.run(verbose=0)
    assert (summary.stored, summary.failed, summary.missing) == (expected.stored, expected.failed, [])
    assert list(summary.failed) == ["broken.avi"]
    assert not (tmp_path / "ray" / PLAN).exists()
    assert_equal(by_ray, here)


def test_a_machine_that_is_lost(run, images, tmp_path, cluster, small_parts):
    """In the middle: what it had is done again by the other one."""
    by_ray, here = (Extraction(run, images, tmp_path / name) for name in ("ray", "here"))
    here.run(verbose=0)
    lost = []

    def lose():
        store = by_ray.output.path
        while not list(store.glob("*/shard-*.json")):
            time.sleep(0.02)
        left = len(list((store / PLAN).glob("*")))
        cluster.remove_node(cluster.other, allow_graceful=False)
        lost.append(left)

    killer = threading.Thread(target=lose)
    killer.start()
    summary = by_ray.run(engine="ray", ray_address=cluster.address, ray_cpus=1, verbose=0)
    killer.join()
    assert lost[0] > 0  # there was work left
    assert summary.complete
    assert list(summary.failed) == ["part0/broken.png"]
    assert_equal(by_ray, here)


@pytest.mark.parametrize("cpus", [1000])
def test_no_machine_is_large_enough(run, images, tmp_path, cpus):
    with pytest.raises(RunError, match="No machine of the Ray cluster has 1000 CPUs"):
        Extraction(run, images, tmp_path / "out").run(engine="ray", ray_cpus=cpus, verbose=0)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "no-such-host.invalid:6379"])
def test_no_cluster(run, images, tmp_path, address):
    """Told at once: Ray itself would try for many minutes."""
    with pytest.raises(RunError, match=f"Ray cannot be reached at {address}: "):
        Extraction(run, images, tmp_path / "out").run(engine="ray", ray_address=address, verbose=0)


def test_what_a_task_raises(run, images, tmp_path):
    extraction = Extraction(run, images, tmp_path / "out")
    object.__setattr__(extraction.encoding, "digest", "0" * 64)
    with pytest.raises(RunError, match="The encoding on Ray failed: .*is not the model.*What was encoded is kept"):
        extraction.run(engine="ray", ray_cpus=1, verbose=0)


class Cluster:
    """A stand-in of Ray in which a task dies where its part holds an item of that name, or always."""

    def __init__(self, output, deadly):
        self.output, self.deadly, self.started = output, deadly, []

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {"CPU": 64.0}}]

    def remote(self, **options):
        assert options["max_retries"] == 0
        return lambda function: types.SimpleNamespace(remote=lambda output, part, cpus: (len(self.started), part))

    def wait(self, tasks, timeout):
        return tasks[:1], tasks[1:]

    def get(self, task):
        from pathlib import Path

        from ray.exceptions import WorkerCrashedError

        from keras_fvvae.encoding.item_encoder import Result

        part = Path(task[1])
        items = read_part(part)
        self.started.append([item.name for item in items])
        if self.deadly is None or any(item.name == self.deadly for item in items):
            raise WorkerCrashedError
        writer = self.output.writer()
        for item in items:
            writer.keep(Result(item.key, np.zeros((1, 2), "float32")))
        writer.flush()
        part.unlink()

    def cancel(self, task, force):
        raise AssertionError("nothing runs any more")


def job(extraction, tmp_path, deadly):
    from keras_fvvae.encoding.ray_tasks import _Job

    return _Job(Cluster(extraction.output, deadly), extraction.output, tmp_path / PLAN, extraction.items, 1)


def test_an_item_that_kills_its_workers(run, images, tmp_path, small_parts):
    """Its part dies three times, then it does alone; the others of its part are stored, and it is on the list."""
    extraction = Extraction(run, images, tmp_path / "out")
    deadly = extraction.items[5].name
    work = job(extraction, tmp_path, deadly)
    counts = []
    work.run(counts.append)
    summary = extraction.summary()
    assert list(summary.failed) == [deadly]
    assert "3 workers died while they encoded it (" in summary.failed[deadly]
    assert summary.complete
    assert counts[-1] == len(extraction.items)
    assert [len(names) for names in work.ray.started if deadly in names] == [4, 4, 4, 1, 1, 1]


def test_workers_that_die_everywhere(run, images, tmp_path, small_parts):
    extraction = Extraction(run, images, tmp_path / "out")
    work = job(extraction, tmp_path, None)
    work.ray.cancel = lambda task, force: None
    with pytest.raises(RunError, match="Workers on Ray die wherever they are started"):
        work.run(lambda done: None)
    assert not extraction.summary().failed
    assert len(extraction.summary().missing) == len(extraction.items)


def test_what_is_left_is_planned(run, images, tmp_path, small_parts):
    extraction = Extraction(run, images, tmp_path / "out")
    parts = write_plan(tmp_path / PLAN, extraction.items, extraction.encoding)
    assert sum(parts.values()) == len(extraction.items)
    assert max(parts.values()) == 4
