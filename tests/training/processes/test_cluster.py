"""TF_CONFIG: which process is which, and what is refused."""

import json

import pytest

from keras_fvvae.errors import RunError
from keras_fvvae.training.processes.cluster import Cluster, read_cluster

CLUSTER = {"worker": ["one:2222", "two:2222"]}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "TF_CONFIG cannot be used: Expecting property name"),
        ("[]", "TF_CONFIG cannot be used: list indices must be integers"),
        ({"cluster": CLUSTER}, "TF_CONFIG cannot be used: 'task' is missing"),
        ({"cluster": CLUSTER, "task": {"type": "worker", "index": 2}}, "the task worker 2 is not in the cluster"),
        ({"cluster": CLUSTER, "task": {"type": "chief", "index": 0}}, "the task chief 0 is not in the cluster"),
        ({"cluster": {"worker": ["one"]}, "task": {"type": "worker", "index": 0}}, "is not of the form host:port"),
        (
            {"cluster": {**CLUSTER, "ps": ["three:1"]}, "task": {"type": "worker", "index": 0}},
            "a chief and workers only",
        ),
    ],
)
def test_tf_config_that_cannot_be_used(config, message):
    text = config if isinstance(config, str) else json.dumps(config)
    with pytest.raises(RunError) as error:
        read_cluster({"TF_CONFIG": text})
    assert message in str(error.value)
    assert 'It must read like {"cluster": {"worker": ["host1:2222"' in str(error.value)


def test_the_chief_is_the_first_of_the_cluster():
    cluster = {"chief": ["zero:1"], **CLUSTER}
    tasks = [("chief", 0), ("worker", 0), ("worker", 1)]
    for index, (kind, number) in enumerate(tasks):
        config = {"cluster": cluster, "task": {"type": kind, "index": number}}
        assert read_cluster({"TF_CONFIG": json.dumps(config)}) == Cluster(count=3, index=index)
    assert read_cluster({}) is None
