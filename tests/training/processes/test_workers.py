"""Several processes on loopback train as one does, and go on after one of them was killed."""

import contextlib
import json
import signal
import socket
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.errors import RunError
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training import fine_tune
from keras_fvvae.training.processes.workers import Workers, open_workers
from tests.support import forked, strategy_worker
from tests.support.small_data import write_digits

TIMEOUT = 300  # of a machine that does much else; alone it takes 20
CLUSTER = {"worker": ["one:2222", "two:2222"]}


def _ports(count):
    """Ports that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def _started(calls, folder):
    """Processes that run at the same time, which TF_CONFIG names when they are several; none outlives the block."""
    addresses = [f"127.0.0.1:{port}" for port in _ports(len(calls))]
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        processes = []
        for index, call in enumerate(calls):
            config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            environment = {"CUDA_VISIBLE_DEVICES": "-1"}
            environment |= {"TF_CONFIG": json.dumps(config)} if len(calls) > 1 else {}
            process = forked.start(*call, stem=folder / str(index), environment=environment)
            stack.callback(process.join)
            stack.callback(process.kill)
            processes.append((process, folder / str(index)))
        yield processes


def _ended(processes):
    """Exit code, standard output and standard error of each, once it has ended."""
    return [forked.end(process, stem, TIMEOUT) for process, stem in processes]


def _run(calls, folder):
    with _started(calls, folder) as processes:
        return _ended(processes)


def _trainings(strategy, folder, *, count=1, of_last=None, **options):
    """Calls of so many processes that train, each in its folder."""
    calls = []
    for index in range(count):
        (folder / str(index)).mkdir(parents=True, exist_ok=True)
        own = (of_last or {}) if index == count - 1 else {}
        calls.append((strategy_worker.main, strategy, folder / str(index), {**options, **own}))
    return calls


def _results(runs):
    for code, _, errors in runs:
        assert code == 0, errors[-3000:]
    return [json.loads(output.splitlines()[-1]) for _, output, _ in runs]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """Of this process, without a strategy."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fine_tune, "DROPOUT", 0.0)
        return strategy_worker.compute(None, tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Of one process with two logical CPUs, `mirrored`, and of two processes, `pair`.

    The pair continues in `noisy` what two others had begun: of these, which ended as `killed` says and left the
    checkpoints `left`, the second was killed before the fourth of six steps.
    """
    folders = [tmp_path_factory.mktemp(name) for name in ("mirrored", "pair")]
    killing = _trainings("multiworker", folders[1], others=False, count=2, of_last={"stop": 3})
    mirroring = _trainings("mirrored", folders[0], devices=2)
    # Neither needs the other: they start together.
    with _started(killing, folders[1] / "killed") as first, _started(mirroring, folders[0] / "streams") as second:
        killed, mirrored = _ended(first), _results(_ended(second))
    left = sorted(path.relative_to(folders[1]).as_posix() for path in folders[1].glob("*/noisy/checkpoints/*.h5"))
    pair = _results(_run(_trainings("multiworker", folders[1], count=2), folders[1] / "streams"))
    return SimpleNamespace(mirrored=mirrored[0], pair=pair, killed=killed, left=left)


@pytest.fixture
def mirrored(several):
    return several.mirrored


@pytest.fixture
def pair(several):
    return several.pair


def _assert_same(result, expected):
    assert result["history"] == expected["history"]
    assert result["weights"] == expected["weights"]


def _assert_close(result, expected):
    assert result["history"].keys() == expected["history"].keys()
    for name, values in expected["history"].items():
        np.testing.assert_allclose(result["history"][name], values, rtol=1e-4, err_msg=name)
    for weight, other in zip(result["weights"], expected["weights"], strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-4, atol=1e-6)


@pytest.mark.system
@pytest.mark.parametrize(("case", "steps"), [("selected", 4), ("softmax", 6), ("fine_tuning", 6)])
def test_two_devices_train_as_one_on_the_same_batches(one, mirrored, case, steps):
    """Without noise; FV-VAE however labelled images fall on the replicas, a softmax with clipping and weight decay."""
    losses = one[case]["history"]["loss"]
    assert len(set(losses)) == len(losses) == steps
    _assert_close(mirrored[case], one[case])


@pytest.mark.system
def test_the_chief_chooses_the_step_for_all(mirrored, pair):
    """All stop two scores after the best step, whose weights the chief takes."""
    for result in (mirrored, *pair):
        assert len(result["selected"]["history"]["loss"]) == 4
        assert result["selected"]["history"] == mirrored["selected"]["history"]
    assert pair[0]["selected"]["weights"] == mirrored["selected"]["weights"]
    assert pair[0]["selected"]["weights"] != pair[1]["selected"]["weights"]


@pytest.mark.system
@pytest.mark.parametrize("case", ["softmax", "fine_tuning"])
def test_two_processes_train_as_two_devices(mirrored, pair, case):
    """The same losses and weights in both processes, and bit by bit those of two devices in one."""
    for result in pair:
        _assert_same(result[case], mirrored[case])


@pytest.mark.system
def test_replicas_draw_each_for_itself(one, mirrored):
    """With the same masks and noise on both replicas this would be a coarser draw; it may not be that of one device."""
    assert mirrored["noisy"]["history"]["loss"] != one["noisy"]["history"]["loss"]
    assert len(mirrored["seeds"]) == 2
    assert mirrored["seeds"][0] == one["seeds"][0]
    assert mirrored["seeds"][0] != mirrored["seeds"][1]


@pytest.mark.system
def test_what_the_user_is_told(pair, mirrored):
    assert mirrored["described"] == "One process; each step, 3 of 6 items on each of 2 devices."
    assert pair[0]["described"].startswith("Worker 0 of 2, the chief, which writes the run; each step, 3 of 6 items")
    assert pair[1]["described"].startswith("Worker 1 of 2, which computes for the chief; each step, 3 of 6 items")


@pytest.mark.system
def test_after_a_worker_was_killed_the_same_call_continues(several, mirrored, pair):
    """SIGKILL before the fourth of six steps; with dropout, sampling of z and of descriptors.

    Two processes end, together with the two before them, bit by bit as two devices do that nobody stopped.
    """
    (code, _, errors), (killed, _, _) = several.killed
    assert killed == -signal.SIGKILL
    assert code == 1
    sentence = errors.splitlines()[-1]
    assert sentence.startswith("Error: Another of the 2 workers was lost: it ended, was killed, or cannot be reached.")
    # The chief's alone. What the worker sent last in step 3 may be lost with it: then the chief stands at step 2.
    last = 3 if "step-00000003" in several.left[-1] else 2
    assert several.left == [f"0/noisy/checkpoints/step-{step:08d}.weights.h5" for step in (last - 1, last)]
    _assert_same(pair[0]["noisy"], mirrored["noisy"])
    assert pair[1]["noisy"]["weights"] == mirrored["noisy"]["weights"]
    assert pair[1]["noisy"]["history"]["loss"] == mirrored["noisy"]["history"]["loss"][last:]


@pytest.mark.slow
def test_workers_with_other_settings_and_items_are_refused(tmp_path):
    calls = _trainings("multiworker", tmp_path, others=False, count=2, of_last={"seed": 4, "keep": 19})
    for code, _, errors in _run(calls, tmp_path / "streams"):
        assert code == 1
        assert "Error: Worker 1 has settings and training items other than the chief's" in errors


@pytest.mark.slow
def test_command_on_two_processes(tmp_path):
    """`keras-fvvae train`, from files to a finished run, whose activations each worker computed a part of."""
    data = write_digits(tmp_path / "data")
    recipe = strategy_worker.tiny_recipe(
        backbone="DigitsConvNet",
        backbone_options={"filters": 8},
        input_size=[8, 8],
        batch_size=8,
        sampled_descriptors=9,
    )
    (tmp_path / "tiny.yaml").write_text(recipe.to_yaml())
    words = ["train", tmp_path / "tiny.yaml", "--data", data, "--out", tmp_path / "run"]
    words += ["--backbone-weights", "none", "--cache", tmp_path / "cache", "--strategy", "multiworker"]
    chief, other = _run([(strategy_worker.command, *map(str, words))] * 2, tmp_path / "streams")
    assert chief[0] == other[0] == 0, chief[2][-2000:] + other[2][-2000:]
    assert "Report:" in chief[1]
    assert other[1] == f"Done; the chief has written {tmp_path / 'run'}.\n"
    results = RunFolder.open(tmp_path / "run").results
    assert results.own["examples"] == 6
    assert "Trained on 2 devices of 2 processes." in results.notes
    items = [json.loads(path.read_text())["keys"] for path in (tmp_path / "cache").glob("*/shard-*.json")]
    assert sorted(map(len, items)) == [12, 12]


# Settings


def test_multiworker_without_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(
        RunError, match="multiworker needs the environment variable TF_CONFIG on every machine, such as"
    ):
        open_workers("multiworker")


@pytest.mark.parametrize("strategy", ["none", "mirrored"])
def test_tf_config_of_several_processes_that_would_not_join(monkeypatch, strategy):
    config = {"cluster": CLUSTER, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(RunError, match=f"names 2 processes, which the strategy {strategy} would not join: choose"):
        open_workers(strategy)


def test_unknown_strategy():
    with pytest.raises(ValueError, match="`strategy` must be 'none', 'mirrored' or 'multiworker'. Received: .*'tpu'"):
        open_workers("tpu")


@pytest.mark.parametrize(("size", "near"), [(64, "63 or 66"), (2, "3")])
def test_batch_that_devices_cannot_share(size, near):
    workers = Workers(SimpleNamespace(num_replicas_in_sync=3))
    with pytest.raises(RunError, match=f"A batch of {size} cannot be shared evenly by 3 devices: .* to {near}[.]$"):
        workers.require_divisible(size)
    workers.require_divisible(66)


def test_one_mirrored_device_trains_as_without_a_strategy(one, tmp_path):
    """Bit by bit, with all that is drawn at random."""
    workers = Workers(tf.distribute.MirroredStrategy(["/cpu:0"]))
    assert workers.describe(6) == "One device: the same as without a strategy."
    _assert_same(strategy_worker.compute(workers, tmp_path, others=False)["noisy"], one["noisy"])
