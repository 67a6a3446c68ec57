"""One process and many offer the same."""

import inspect
from types import SimpleNamespace

import pytest

from keras_fvvae.training.processes.interface import Processes, Trained
from keras_fvvae.training.processes.one_process import OneModel, OneProcess
from keras_fvvae.training.processes.replicated_model import ReplicatedModel
from keras_fvvae.training.processes.workers import Workers


@pytest.mark.parametrize(
    ("protocol", "made"),
    [(Processes, OneProcess), (Processes, Workers), (Trained, OneModel), (Trained, ReplicatedModel)],
)
def test_methods_take_the_same_arguments(protocol, made):
    methods = [name for name, value in vars(protocol).items() if inspect.isfunction(value) and name[0] != "_"]
    assert len(methods) >= 4
    for name in methods:
        expected, found = (list(inspect.signature(getattr(kind, name)).parameters) for kind in (protocol, made))
        assert found == expected, name


def test_both_have_the_attributes():
    for processes in (OneProcess(), Workers(SimpleNamespace(num_replicas_in_sync=1))):
        assert isinstance(processes, Processes)
        assert (processes.is_chief, processes.index, processes.count, processes.replicas) == (True, 0, 1, 1)
