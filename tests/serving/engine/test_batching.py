"""Batches form, hold what they may, and fail one by one."""

import asyncio
import threading

import numpy as np
import pytest
import tensorflow as tf

from keras_fvvae.serving import ServerSettings, ServingError
from keras_fvvae.serving.engine import batching, metrics
from keras_fvvae.serving.engine.lanes import LIGHT_BYTES
from keras_fvvae.serving.engine.servable import Servable
from keras_fvvae.serving.engine.signatures import TensorSpec


class Signature:
    """The part of a signature that batching reads."""

    def __init__(self, batchable=True):
        self.name = "serving_default"
        self.batchable = batchable
        self.inputs = {"x": TensorSpec("x", tf.string, (-1,))}


class Recorder:
    """A servable that notes its batches and can be held."""

    def __init__(self):
        self.batches = []
        self.gate = threading.Event()
        self.gate.set()

    def run(self, name, inputs):
        self.batches.append(inputs["x"].tolist())
        assert self.gate.wait(10)
        if b"bad" in inputs["x"]:
            raise ServingError("INVALID_ARGUMENT", "bad input")
        return {"y": np.array([one + b"!" for one in inputs["x"].ravel()], object).reshape(inputs["x"].shape)}


def strings(*values):
    return {"x": np.array(values, object)}


def play(scenario, **settings):
    """Runs a scenario with a batcher of one worker, and a servable."""
    recorder = Recorder()

    async def main():
        batcher = batching.Batcher(
            ServerSettings(**{"workers": 1, "max_batch_size": 4, "batch_timeout": 0.0} | settings), metrics.Metrics()
        )
        try:
            return await scenario(batcher, recorder)
        finally:
            recorder.gate.set()
            await asyncio.to_thread(batcher.close)

    return asyncio.run(main()), recorder.batches


def outputs(results):
    return [result["y"].tolist() if isinstance(result, dict) else result for result in results]


def test_requests_that_come_while_the_worker_is_busy_share_batches():
    async def scenario(batcher, servable):
        servable.gate.clear()
        jobs = [asyncio.create_task(batcher.run(servable, Signature(), strings(b"%d" % i))) for i in range(7)]
        await asyncio.sleep(0.05)
        servable.gate.set()
        return await asyncio.gather(*jobs)

    results, batches = play(scenario)
    assert outputs(results) == [[b"%d!" % i] for i in range(7)]
    assert [len(batch) for batch in batches] == [1, 4, 2]


def test_a_bad_request_fails_alone():
    async def scenario(batcher, servable):
        servable.gate.clear()
        values = (b"first", b"a", b"bad", b"b")
        jobs = [asyncio.create_task(batcher.run(servable, Signature(), strings(value))) for value in values]
        await asyncio.sleep(0.05)
        servable.gate.set()
        return await asyncio.gather(*jobs, return_exceptions=True)

    results, batches = play(scenario)
    assert [outputs([results[i]])[0] for i in (0, 1, 3)] == [[b"first!"], [b"a!"], [b"b!"]]
    assert isinstance(results[2], ServingError)
    assert batches[1] == [b"a", b"bad", b"b"]
    assert batches[2:] == [[b"a"], [b"bad"], [b"b"]]


def test_a_large_request_is_computed_in_parts():
    async def scenario(batcher, servable):
        return await batcher.run(servable, Signature(), strings(*[b"%d" % i for i in range(10)]))

    result, batches = play(scenario)
    assert result["y"].tolist() == [b"%d!" % i for i in range(10)]
    assert [len(batch) for batch in batches] == [4, 4, 2]


def test_frames_count_as_images():
    """Of videos of three frames, one fits into a batch of four images; other shapes are batches of their own."""

    async def scenario(batcher, servable):
        video = np.full((2, 3), b"f", object)
        jobs = [
            batcher.run(servable, Signature(), {"x": video}),
            batcher.run(servable, Signature(), {"x": video[:, :2]}),
        ]
        return await asyncio.gather(*jobs)

    results, batches = play(scenario)
    assert [result["y"].shape for result in results] == [(2, 3), (2, 2)]
    assert sorted((len(batch), len(batch[0])) for batch in batches) == [(1, 3), (1, 3), (2, 2)]


def test_signatures_without_batch_dimension_run_alone():
    async def scenario(batcher, servable):
        servable.gate.clear()
        signature = Signature(batchable=False)
        jobs = [asyncio.create_task(batcher.run(servable, signature, strings(b"a", b"b"))) for _ in range(3)]
        await asyncio.sleep(0.05)
        servable.gate.set()
        return await asyncio.gather(*jobs)

    _, batches = play(scenario)
    assert batches == [[b"a", b"b"]] * 3


def test_the_queue_is_bounded_and_empties():
    async def scenario(batcher, servable):
        servable.gate.clear()
        running = asyncio.create_task(batcher.run(servable, Signature(), strings(b"a")))
        await asyncio.sleep(0.05)
        waiting = [asyncio.create_task(batcher.run(servable, Signature(), strings(b"b"))) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(ServingError, match="The queue is full") as caught:
            await batcher.run(servable, Signature(), strings(b"c"))
        assert caught.value.http_status == 503
        waiting[0].cancel()  # whoever gives up makes room
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting[0] = asyncio.create_task(batcher.run(servable, Signature(), strings(b"c")))
        await asyncio.sleep(0)
        servable.gate.set()
        return await asyncio.gather(running, *waiting)

    results, batches = play(scenario, max_queued=5)
    assert len(results) == 6
    assert sum(map(len, batches)) == 6
    assert batches[-1][-1] == b"c"


HEAVY = 2 * LIGHT_BYTES


def test_a_light_request_starts_beside_heavy_ones_that_hold_all_workers():
    async def scenario(batcher, servable):
        servable.gate.clear()
        costs = {b"heavy": HEAVY, b"second": HEAVY, b"light": 0, b"another": 0}
        jobs = [asyncio.create_task(batcher.run(servable, Signature(), strings(one), costs[one])) for one in costs]
        await asyncio.sleep(0.05)
        started = list(servable.batches)
        servable.gate.set()
        await asyncio.gather(*jobs)
        return started

    started, batches = play(scenario)
    assert sorted(started) == [[b"heavy"], [b"light"]]
    assert sorted(batches[2:]) == [[b"another"], [b"second"]]


def test_heavy_requests_do_not_fill_the_queue_of_light_ones():
    async def scenario(batcher, servable):
        servable.gate.clear()
        heavy = [asyncio.create_task(batcher.run(servable, Signature(), strings(b"heavy"), HEAVY)) for _ in range(6)]
        await asyncio.sleep(0)
        with pytest.raises(ServingError, match=r"The queue is full \(5 images wait\)"):
            await batcher.run(servable, Signature(), strings(b"heavy"), HEAVY)
        light = [asyncio.create_task(batcher.run(servable, Signature(), strings(b"light"))) for _ in range(6)]
        await asyncio.sleep(0)
        servable.gate.set()
        return await asyncio.gather(*heavy, *light)

    assert len(play(scenario, max_queued=5)[0]) == 12


def test_more_than_the_queue_holds_is_the_clients_mistake():
    async def scenario(batcher, servable):
        with pytest.raises(ServingError, match="6 images, more than the limit of 5") as caught:
            await batcher.run(servable, Signature(), strings(*[b"a"] * 6))
        return caught.value.http_status

    assert play(scenario, max_queued=5)[0] == 400


def test_too_many_frames():
    async def scenario(batcher, servable):
        with pytest.raises(ServingError, match="holds 9 frames, more than the limit of 8"):
            await batcher.run(servable, Signature(), {"x": np.full((1, 9), b"f", object)})

    play(scenario, max_images=8)


def test_batch_timeout_waits_for_others():
    async def scenario(batcher, servable):
        first = asyncio.create_task(batcher.run(servable, Signature(), strings(b"a")))
        await asyncio.sleep(0.02)
        assert not servable.batches
        return await asyncio.gather(first, batcher.run(servable, Signature(), strings(b"b")))

    _, batches = play(scenario, batch_timeout=0.2)
    assert batches == [[b"a", b"b"]]


def test_full_batches_do_not_wait():
    async def scenario(batcher, servable):
        async with asyncio.timeout(5):
            return await batcher.run(servable, Signature(), strings(*[b"a"] * 4))

    play(scenario, batch_timeout=60.0)


def test_wrong_number_of_rows_is_an_error():
    class Wrong(Recorder):
        def run(self, name, inputs):
            return {"y": np.zeros(1)}

    async def scenario(batcher, servable):
        with pytest.raises(ServingError, match="Output y has 1 rows for 2 examples"):
            await batcher.run(Wrong(), Signature(), strings(b"a", b"b"))

    play(scenario)


def test_defects_become_errors_and_the_worker_lives():
    class Broken(Recorder):
        def run(self, name, inputs):
            raise RuntimeError("oops\nsecond line")

    async def scenario(batcher, servable):
        with pytest.raises(ServingError, match="^RuntimeError: oops$") as caught:
            await batcher.run(Broken(), Signature(), strings(b"a"))
        assert caught.value.http_status == 500
        return await batcher.run(servable, Signature(), strings(b"a"))

    assert play(scenario)[0]["y"].tolist() == [b"a!"]


def test_what_nobody_waits_for_does_not_keep_its_worker(saved_models):
    """A request that took too long gives its worker back, in the middle of its computation."""
    settings = ServerSettings(workers=1, batch_timeout=0.0)
    servable = Servable("numbers", 1, saved_models / "numbers" / "1")

    async def main():
        batcher = batching.Batcher(settings, metrics.Metrics())
        slow, quick = (servable.signatures[name] for name in ("slow", "serving_default"))
        start = asyncio.get_running_loop().time()
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):  # alone it would take minutes
                    await batcher.run(servable, slow, {"rounds": np.array([10**6], np.int32)})
            result = await batcher.run(servable, quick, {"x": np.float32([[1, 2]])})
            return result["y"].tolist(), asyncio.get_running_loop().time() - start
        finally:
            batcher.close()

    values, seconds = asyncio.run(main())
    assert values == [[2, 4]]
    assert seconds < 5


def test_one_of_a_batch_that_is_given_up_leaves_the_others():
    async def scenario(batcher, recorder):
        recorder.gate.clear()
        first = asyncio.create_task(batcher.run(recorder, Signature(), strings(b"first")))
        await asyncio.sleep(0.05)  # holds the worker, so that the next two share a batch
        two = [asyncio.create_task(batcher.run(recorder, Signature(), strings(one))) for one in (b"a", b"b")]
        await asyncio.sleep(0.05)
        recorder.gate.set()
        await first
        two[0].cancel()
        return (await two[1])["y"].tolist()

    result, _ = play(scenario)
    assert result == [b"b!"]


def test_stopping_answers_what_waits_and_what_runs():
    async def scenario(batcher, recorder):
        recorder.gate.clear()
        runs = asyncio.create_task(batcher.run(recorder, Signature(), strings(b"a")))
        await asyncio.sleep(0.05)
        waits = asyncio.create_task(batcher.run(recorder, Signature(), strings(b"b")))
        await asyncio.sleep(0.05)
        batcher.abort()
        later = asyncio.create_task(batcher.run(recorder, Signature(), strings(b"c")))
        return await asyncio.gather(runs, waits, later, return_exceptions=True)

    results, batches = play(scenario)
    assert [str(one) for one in results] == ["The server is stopping. Try again later."] * 3
    assert {one.code for one in results} == {"UNAVAILABLE"}
    assert batches == [[b"a"]]
