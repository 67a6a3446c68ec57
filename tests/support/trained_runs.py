"""What tests of trainings compare of finished runs, and how they end others before their time."""

import contextlib
import os
import signal

import numpy as np
import pytest

from keras_fvvae import zoo
from keras_fvvae.training.stages import Training


def weights(run):
    """All weights of a run's classifier."""
    return zoo.load_classifier(run.path / "model.keras").get_weights()


def same(one, other):
    """Whether two lists hold the same arrays, to the bit."""
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@contextlib.contextmanager
def interrupted(kind, number):
    """A training that reads inputs of a kind, which Ctrl-C ends before the batch of this number, counted from 0."""
    original = kind.training_batches

    def interrupting(self, *arguments):
        for position, batch in enumerate(original(self, *arguments)):
            if position == number:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kind, "training_batches", interrupting)
        with pytest.raises(KeyboardInterrupt):
            yield


class _StageReachedError(Exception):
    """The stage before which a training was to end."""


@contextlib.contextmanager
def stopped_before(stage):
    """A training that ends before this stage, a method of `Training`: what follows has no part in what is tested."""

    def stop(self):
        raise _StageReachedError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Training, stage, stop)
        with pytest.raises(_StageReachedError):
            yield
