"""The machines that train together, as the environment variable TF_CONFIG names them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from keras_fvvae.errors import RunError
from keras_fvvae.utils.text import parse_json

EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The machines of TF_CONFIG: how many processes there are, and which this one is; 0 is the chief."""

    count: int
    index: int


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """The `Cluster` of the environment variable TF_CONFIG; `None` where it is not set.

    Raises:
        RunError: if it is no JSON, names no workers, or does not say which of them this process is.

    Example:
        >>> read_cluster({"TF_CONFIG": EXAMPLE})
        Cluster(count=2, index=0)
    """
    text = environment.get("TF_CONFIG", "").strip()
    if not text:
        return None
    try:
        config = parse_json(text)
        jobs, task = config["cluster"], config["task"]
        kind, index = task["type"], int(task["index"])
        order = [(job, number) for job in ("chief", "worker") for number in range(len(jobs.get(job, ())))]
        addresses = [address for job in ("chief", "worker") for address in jobs.get(job, ())]
        if not all(isinstance(address, str) and address.rpartition(":")[2].isdigit() for address in addresses):
            raise ValueError("an address is not of the form host:port")
        if set(jobs) - {"chief", "worker"}:
            raise ValueError("the cluster may have a chief and workers only")
        if (kind, index) not in order:
            raise ValueError(f"the task {kind} {index} is not in the cluster")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise RunError(f"TF_CONFIG cannot be used: {what}. It must read like {EXAMPLE}.") from error
    return Cluster(len(order), order.index((kind, index)))
