"""The order in which requests are computed, on a clock of its own."""

import types

import numpy as np
import pytest

from keras_fvvae.serving.engine.batch_queue import BatchQueue, BatchTask
from keras_fvvae.serving.engine.lanes import LIGHT_BYTES, is_heavy

SIGNATURE = types.SimpleNamespace(name="serving_default", batchable=True)
BOTH = {False, True}
SECOND = 64 << 20  # bytes that are weighed as a second


def task(cost, arrival=0.0, images=1, signature=SIGNATURE):
    inputs = {"x": np.zeros((images, 2))}
    return BatchTask(None, signature, inputs, images, images, cost, arrival, None)


def queue_of(*tasks, timeout=0.0):
    queue = BatchQueue(4, timeout)
    for one in tasks:
        queue.add(one)
    return queue


def order(queue, now=100.0, lanes=BOTH):
    """Batches until nothing may start."""
    batches = []
    while batch := queue.take(now, lanes)[0]:
        batches.append(batch)
    return batches


def test_what_is_heavy():
    assert not is_heavy(LIGHT_BYTES)
    assert is_heavy(LIGHT_BYTES + 1)


def test_light_ones_come_before_heavy_ones_that_were_there():
    heavy, light = task(SECOND), task(1000, arrival=0.5)
    assert order(queue_of(heavy, light)) == [[light], [heavy]]


def test_small_ones_come_before_large_ones():
    large, small = task(3 * SECOND, images=4), task(SECOND, arrival=1.0, images=4)
    assert order(queue_of(large, small)) == [[small], [large]]


def test_no_request_waits_for_ever():
    """A heavy one of two seconds' work, and a light one every tenth of a second, which the worker takes to compute."""
    heavy, overtaken = task(2 * SECOND), 0
    queue = queue_of(heavy)
    for i in range(1000):
        queue.add(task(1000, arrival=i / 10))
        if queue.take(i / 10, BOTH)[0] == [heavy]:
            break
        overtaken += 1
    assert overtaken == 20


def test_light_ones_do_not_share_a_batch_with_heavy_ones():
    light, heavy = [task(1000) for _ in range(2)], [task(SECOND) for _ in range(2)]
    assert order(queue_of(*heavy, *light)) == [light, heavy]


@pytest.mark.parametrize("heavy", BOTH)
def test_only_kinds_that_may_start(heavy):
    tasks = {False: task(1000), True: task(SECOND)}
    queue = queue_of(*tasks.values())
    assert order(queue, lanes={heavy}) == [[tasks[heavy]]]
    assert list(queue) == [tasks[not heavy]]


def test_a_batch_waits_for_others_until_it_is_full():
    queue = queue_of(task(1000, arrival=1.0), timeout=2.0)
    assert queue.take(2.9, BOTH) == ([], 3.0)
    assert len(queue.take(3.0, BOTH)[0]) == 1
    for arrival in (5.0, 5.1, 5.2, 5.3, 5.4):
        queue.add(task(1000, arrival))
    assert [one.arrival for one in queue.take(5.4, BOTH)[0]] == [5.0, 5.1, 5.2, 5.3]


def test_what_was_given_up_is_gone():
    first, second = task(1000), task(1000, arrival=1.0)
    queue = queue_of(first, second)
    assert queue.remove(first)
    assert not queue.remove(first)
    assert order(queue) == [[second]]
    assert queue.take(100.0, BOTH) == ([], None)


def test_signatures_without_batch_dimension_run_alone():
    tasks = [task(1000, signature=types.SimpleNamespace(name="x", batchable=False)) for _ in range(2)]
    assert order(queue_of(*tasks)) == [[one] for one in tasks]
