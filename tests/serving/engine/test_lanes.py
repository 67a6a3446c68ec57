"""Who asks for little finds a thread, room in the queue and room in the memory, whatever others ask for."""

import asyncio
import threading

import numpy as np
import pytest

from keras_fvvae.serving import ServerSettings, ServingError
from keras_fvvae.serving.engine.engine import Engine, Held
from keras_fvvae.serving.engine.lanes import LIGHT_BYTES, Lanes, decoding_cost
from tests.serving.conftest import bomb, png

HEAVY = LIGHT_BYTES + 1
MEMORY = 64 << 20


def test_what_images_cost():
    """By what they claim to be, whatever their bytes are."""
    small, large = (decoding_cost([np.array([one], object)]) for one in (png((1, 2, 3)), bomb(5000)))
    assert small < LIGHT_BYTES < large
    assert large - small == 3 * (5000 * 5000 - 6 * 5)
    assert decoding_cost([np.array([[png((1, 2, 3))] * 5] * 2, object)]) == 10 * small


def test_light_work_does_not_wait_for_heavy_work():
    release = threading.Event()

    async def main():
        lanes = Lanes(1)
        try:
            heavy = [asyncio.create_task(lanes.run(HEAVY, release.wait, 10)) for _ in range(100)]
            await asyncio.sleep(0)  # all of them have asked for a thread
            assert await lanes.run(LIGHT_BYTES, str, 1) == "1"
            assert not any(one.done() for one in heavy)
            release.set()
            assert all(await asyncio.gather(*heavy))
        finally:
            release.set()
            lanes.close()

    asyncio.run(main())


def test_the_last_quarter_of_the_memory_is_for_light_requests():
    engine = Engine([], ServerSettings(max_pending_bytes=MEMORY))
    try:
        heavy, further, light, last = (Held(engine) for _ in range(4))
        heavy.add(MEMORY * 3 // 4)
        with pytest.raises(ServingError, match="fill the memory"):
            further.add(HEAVY)
        light.add(LIGHT_BYTES)
        with pytest.raises(ServingError, match="fill the memory"):
            light.add(1)  # it is no light one with this
        last.add(LIGHT_BYTES)
        with pytest.raises(ServingError, match="fill the memory"):
            Held(engine).add(1)
        heavy.release()
        further.add(HEAVY)
        light.add(1)
    finally:
        engine.close()
