"""The same store from Ray: on one machine, on a cluster that loses one of two, and where items kill their workers."""

import functools
import importlib.util
import itertools
import os
import shutil
import signal
import threading
import time
import types

import numpy as np
import pytest

from keras_fvvae.encoding.extraction import Extraction
from keras_fvvae.encoding.fetching import FetchError
from keras_fvvae.encoding.item_encoder import Encoding, Result
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


def test_no_machine_is_large_enough(run, images, tmp_path):
    with pytest.raises(RunError, match="No machine of the Ray cluster has the 1000 CPUs that --ray-cpus"):
        Extraction(run, images, tmp_path / "out").run(engine="ray", ray_cpus=1000, verbose=0)


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
    """A stand-in of Ray of one machine of two CPUs, on which the tasks of `_encode` run one after the other.

    Its model is none: a worker dies over an item of a deadly name, or while it loads the model.
    """

    def __init__(self, deadly=(), cpus=2.0):
        self.deadly, self.cpus, self.tried, self.failing_starts = set(deadly), cpus, [], iter(())

    def nodes(self):
        dead = {"Alive": False, "Resources": {"CPU": 64.0}}
        return [{"Alive": True, "Resources": {"CPU": self.cpus}}, {"Alive": True, "Resources": {}}, dead]

    def remote(self, **options):
        assert options["max_retries"] == 0
        return lambda function: types.SimpleNamespace(remote=lambda *arguments: functools.partial(function, *arguments))

    def wait(self, tasks, timeout):
        return tasks[:1], tasks[1:]

    def get(self, task):
        task()

    def cancel(self, task, force):
        pass

    def load(self, encoding, cpus):
        from ray.exceptions import WorkerCrashedError

        if next(self.failing_starts, False):
            raise WorkerCrashedError
        return self

    def encode(self, output, part):
        from ray.exceptions import WorkerCrashedError

        items = read_part(part)
        self.tried.append([item.name for item in items])
        if self.deadly.intersection(self.tried[-1]):
            raise WorkerCrashedError
        writer = output.writer()
        for item in items:
            writer.keep(Result(item.key, np.zeros((1, 2), "float32")))
        writer.flush()
        part.unlink()


@pytest.fixture
def job(tmp_path, monkeypatch):
    from keras_fvvae.encoding import ray_tasks

    def make(extraction, cluster, cpus=2):
        monkeypatch.setattr(ray_tasks, "_encoder", cluster.load)
        return ray_tasks._Job(cluster, extraction.output, tmp_path / PLAN, extraction.items, cpus)

    return make


@pytest.mark.parametrize("places", [[5], [1, 5, 9, 13, 17, 21, 25], [0, 1, 2, 3, 40]])
def test_items_that_kill_their_workers(run, images, tmp_path, small_parts, job, places):
    """Their parts die three times, then they do alone; the others are stored, and they are on the list."""
    extraction = Extraction(run, images, tmp_path / "out")
    deadly = [extraction.items[place].name for place in places]
    cluster, counts = Cluster(deadly), []
    job(extraction, cluster).run(counts.append)
    summary = extraction.summary()
    assert sorted(summary.failed) == sorted(deadly)
    assert all("3 workers died while they encoded it (" in reason for reason in summary.failed.values())
    assert (summary.missing, summary.stored) == ([], len(extraction.items) - len(deadly))
    assert counts[-1] == len(extraction.items)
    assert [len(names) for names in cluster.tried if deadly[0] in names] == [4, 4, 4, 1, 1, 1]
    assert not list((tmp_path / PLAN).iterdir())


@pytest.mark.parametrize("before", [0, 4])
def test_workers_that_die_everywhere(run, images, tmp_path, small_parts, job, before):
    """While they load the model, from the beginning or later: that is no item's fault."""
    extraction, cluster = Extraction(run, images, tmp_path / "out"), Cluster()
    cluster.failing_starts = itertools.chain([False] * (before // 4), itertools.repeat(True))
    with pytest.raises(RunError, match="Workers on Ray die wherever they are started, before they encode anything: "):
        job(extraction, cluster).run(lambda done: None)
    summary = extraction.summary()
    assert (summary.failed, summary.stored, len(summary.missing)) == ({}, before, len(extraction.items) - before)


def test_workers_that_die_at_the_start_now_and_then(run, images, tmp_path, small_parts, job):
    extraction, cluster = Extraction(run, images, tmp_path / "out"), Cluster()
    cluster.failing_starts = itertools.cycle([True] * 6 + [False])
    job(extraction, cluster).run(lambda done: None)
    summary = extraction.summary()
    assert (summary.failed, summary.missing) == ({}, [])


@pytest.mark.parametrize(("machine", "cpus", "taken", "workers"), [(2, None, 2, 1), (64, None, 4, 16), (64, 6, 6, 10)])
def test_cpus_of_a_worker(run, images, tmp_path, job, machine, cpus, taken, workers):
    """Four, where there are so many."""
    work = job(Extraction(run, images, tmp_path / "out"), Cluster(cpus=float(machine)), cpus)
    assert (work.cpus, work.slots) == (taken, workers)


@pytest.mark.parametrize(("machine", "cpus"), [(2, 3), (0, None)])
def test_cpus_that_no_machine_has(run, images, tmp_path, job, machine, cpus):
    with pytest.raises(RunError, match=rf"the {cpus or 1} CPUs that --ray-cpus .* the largest has {machine}\. Give"):
        job(Extraction(run, images, tmp_path / "out"), Cluster(cpus=float(machine)), cpus)
    assert not (tmp_path / PLAN).exists()


def test_a_store_that_is_gone(run, images, tmp_path, job, monkeypatch):
    """What a task says of it is said once."""
    from ray.exceptions import RayTaskError

    extraction, cluster = Extraction(run, images, tmp_path / "out"), Cluster()
    error = FetchError("s3://bucket/x.jpg cannot be read: no route. What was encoded is kept.")

    def get(task):
        raise RayTaskError("_encode", "a traceback", error)

    monkeypatch.setattr(cluster, "get", get)
    with pytest.raises(RunError) as raised:
        job(extraction, cluster).run(lambda done: None)
    assert str(raised.value) == str(error)


def _kill_over_some():
    """What a worker of Ray begins with: from now on it dies over items that say so."""
    from keras_fvvae.encoding import item_encoder

    fetched = item_encoder.fetched

    def deadly(item):
        if "deadly" in item.name:
            os.kill(os.getpid(), signal.SIGKILL)
        return fetched(item)

    item_encoder.fetched = deadly


@pytest.mark.slow
def test_real_workers_that_are_killed(run, images, tmp_path, monkeypatch):
    """In a row, over three parts of one item, where there is room for one worker; each counts, as starts take long."""
    import ray

    from keras_fvvae.encoding import ray_tasks

    monkeypatch.setattr(Encoding, "chunk_items", 1)
    monkeypatch.setattr(ray_tasks, "MAX_DEATHS", 1)
    data = tmp_path / "data"
    data.mkdir()
    for number, path in enumerate(sorted(images.glob("part1/*.png"))[:6]):
        shutil.copy(path, data / (f"{number}-deadly.png" if number < 3 else f"{number}.png"))
    extraction = Extraction(run, data, tmp_path / "out")
    hook = {"worker_process_setup_hook": _kill_over_some, "env_vars": {"PYTHONPATH": os.getcwd()}}
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, runtime_env=hook)
    try:
        summary = extraction.run(engine="ray", verbose=0)
    finally:
        ray.shutdown()
    assert sorted(summary.failed) == ["0-deadly.png", "1-deadly.png", "2-deadly.png"]
    assert (summary.stored, summary.missing) == (3, [])


def test_what_is_left_is_planned(run, images, tmp_path, small_parts):
    extraction = Extraction(run, images, tmp_path / "out")
    parts = write_plan(tmp_path / PLAN, extraction.items, extraction.encoding)
    assert sum(parts.values()) == len(extraction.items)
    assert max(parts.values()) == 4
