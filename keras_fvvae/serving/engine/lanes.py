"""Who asks for little does not wait for who asks for much: what a request costs, and threads for each kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from keras_fvvae.data.readers.image_size import claimed_pixels

# What costs more is heavy. An ordinary request, an image of a megapixel or two, or numbers of a million bytes, is not;
# vectors for 8 images of 131,072 numbers each as JSON are, and most videos.
LIGHT_BYTES = 8 << 20
# Of an image, beside its pixels: what a network of usual size makes of it while it computes.
_IMAGE_BYTES = 1 << 20
_PIXEL_BYTES = 3


def is_heavy(cost: int) -> bool:
    """Whether work of that cost in bytes is heavy."""
    return cost > LIGHT_BYTES


def decoding_cost(arrays: Iterable[np.ndarray]) -> int:
    """What the encoded images in arrays cost to decode and to compute with, in bytes; by their headers.

    Args:
        arrays: of a request; arrays of other things than strings of bytes cost nothing here.

    Example:
        >>> decoding_cost([np.array([b"no image", b""], object), np.zeros(3)])
        2097152
    """
    strings = [content for array in arrays if array.dtype == object for content in array.flat]
    return sum(_IMAGE_BYTES + _PIXEL_BYTES * (claimed_pixels(content) or 0) for content in strings)


class Lanes:
    """Threads for what Python does with a request: reading it, looking at its images, writing its answer.

    Heavy work has few threads of its own, so that light work finds a free one and a free interpreter, and heavy work
    has its turn however much light work there is.

    Args:
        workers: that compute; half of them, and one at least, do heavy work here.
    """

    def __init__(self, workers: int):
        self._heavy = ThreadPoolExecutor(max(1, workers // 2), thread_name_prefix="heavy")
        # Of files of videos nobody knows beforehand how long they take: one at a time, in the way of nothing else.
        self._videos = ThreadPoolExecutor(1, thread_name_prefix="videos")

    async def run(self, cost: int, function: Callable, *arguments: Any) -> Any:
        """What a function returns or raises, called in a thread of the lane of that cost in bytes."""
        if is_heavy(cost):
            return await asyncio.get_running_loop().run_in_executor(self._heavy, function, *arguments)
        return await asyncio.to_thread(function, *arguments)

    async def decode_video(self, function: Callable, *arguments: Any) -> Any:
        """What a function that decodes a file returns or raises."""
        return await asyncio.get_running_loop().run_in_executor(self._videos, function, *arguments)

    def close(self) -> None:
        """Ends the threads when what they do has ended; what waits for them is given up."""
        for threads in (self._heavy, self._videos):
            threads.shutdown(wait=False, cancel_futures=True)
