"""Training steps: what a lost worker leaves behind, and what a step draws."""

import weakref

import numpy as np
import pytest

from keras_fvvae.errors import RunError
from keras_fvvae.training import fit as task_fit
from keras_fvvae.training.processes.one_process import OneProcess
from tests.support import strategy_worker


class _Losing(OneProcess):
    """Loses another worker in the middle of the fourth step, when the weights are half changed."""

    def replicate(self, model, batch_size):
        trained = super().replicate(model, batch_size)
        whole_step = trained.step

        def step(inputs, labels):
            if int(model.optimizer.iterations) == 3:
                model.trainable_variables[0].assign_add(np.ones(model.trainable_variables[0].shape))
                raise RunError("Another worker was lost.")
            return whole_step(inputs, labels)

        trained.step = step
        return trained


def _train(folder, workers=None, checkpoint_seconds=0, **changes):
    recipe = strategy_worker.tiny_recipe(dropout=0.5, sampled_descriptors=9, **changes)
    model = strategy_worker.fvvae(recipe, noisy=True)
    return strategy_worker.train(
        "run", model, strategy_worker.ArrayInputs(20), recipe, folder, workers, None, checkpoint_seconds
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What a training gives that loses nobody."""
    return _train(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("seconds", [0, 1000])
def test_a_step_that_failed_is_not_kept(whole, tmp_path, seconds):
    """Checkpoints after every step, or none before the loss."""
    with pytest.raises(RunError, match="Another worker was lost"):
        _train(tmp_path, _Losing(), seconds)
    checkpoints = sorted(path.name[5:13] for path in (tmp_path / "run").glob("checkpoints/*.h5"))
    assert checkpoints == ([] if seconds else ["00000002", "00000003"])
    assert _train(tmp_path) == whole


def test_what_is_read_ahead_ends_with_the_training(tmp_path, monkeypatch):
    """Also where the traceback is kept, as that of an uncaught Ctrl-C is until the interpreter ends."""
    readers = []

    class Reading:
        def __init__(self, batches):
            self.batches = iter(batches)
            readers.append(weakref.ref(self))

        def __iter__(self):
            return self

        def __next__(self):
            return next(self.batches)

    training_batches = strategy_worker.ArrayInputs.training_batches
    monkeypatch.setattr(
        strategy_worker.ArrayInputs, "training_batches", lambda *arguments: Reading(training_batches(*arguments))
    )
    with pytest.raises(RunError, match="Another worker was lost") as kept:
        _train(tmp_path, _Losing(), 1000)
    assert kept.value.__traceback__ is not None
    assert [reader() for reader in readers] == [None]


def test_others_than_the_chief_write_nothing(tmp_path):
    class Other(OneProcess):
        is_chief = False

    (tmp_path / "run").mkdir()
    _train(tmp_path, Other(), steps=1)
    assert list((tmp_path / "run").iterdir()) == []


def test_position_stream_passes_over_all_items():
    stream = task_fit.position_stream([4, 6, 9], seed=2)
    passes = [[int(next(stream)) for _ in range(3)] for _ in range(4)]
    assert all(sorted(one) == [4, 6, 9] for one in passes)
    assert len({tuple(one) for one in passes}) > 1
