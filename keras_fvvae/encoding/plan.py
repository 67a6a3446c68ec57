"""What is left to encode as small files of items, for engines whose workers are anywhere: Beam's and Ray's."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_fvvae.encoding.item_encoder import ItemEncoder
from keras_fvvae.encoding.items import Item
from keras_fvvae.utils.files import write_atomically

if TYPE_CHECKING:
    from keras_fvvae.encoding.item_encoder import Encoding
    from keras_fvvae.encoding.output import Output

PLAN = "plan"
# Items that a worker takes at a time, about: what is repeated costs at most so many, and fewer would make small files.
# Of a small collection fewer, so that all workers have something to do.
PART_ITEMS = 128
MIN_PARTS = 64


def write_plan(plan: Path, items: Sequence[Item], encoding: Encoding) -> dict[str, int]:
    """Writes items to files of whole chunks; returns a dictionary from name to number of items.

    An engine's messages then carry names of files only, however many items there are, and what it repeats finds what
    is finished gone.
    """
    plan.mkdir(parents=True)
    chunk = encoding.chunk_items
    size = -(-min(PART_ITEMS, -(-len(items) // MIN_PARTS)) // chunk) * chunk
    starts = range(0, len(items), size)
    return dict(write_part(plan, items[start : start + size]) for start in starts)


def write_part(plan: Path, items: Sequence[Item]) -> tuple[str, int]:
    """Writes items to one file; returns its name and their number."""
    name = f"{uuid.uuid4().hex}.jsonl"
    write_atomically(plan / name, "\n".join(json.dumps(item) for item in items).encode())
    return name, len(items)


def read_part(path: Path) -> list[Item]:
    """The items of a part; none where it was finished."""
    try:
        with open(path, encoding="utf-8") as file:
            return [Item(*json.loads(line)) for line in file]
    except FileNotFoundError:
        return []


class PartEncoder:
    """A worker's model, which encodes parts of a plan, one at a time, and stores their vectors.

    Args:
        encoding: an `Encoding`.
        cores: that it may use.

    Raises:
        WeightsError: if the model is another than the encoding names.
    """

    def __init__(self, encoding: Encoding, cores: int):
        self.encoder = ItemEncoder(encoding, threads=cores + 1)
        self._lock = threading.Lock()

    def encode(self, output: Output, part: Path) -> int:
        """Encodes the items of a part, stores their vectors, and removes the part; returns how many they are.

        Raises:
            FetchError: if items cannot be had for a reason that is not theirs. What was encoded is stored.
        """
        items = read_part(part)
        if not items:
            return 0  # it was finished before the engine repeated it
        writer, size = output.writer(), output.encoding.chunk_items
        # One thread at a time: two batches on the same cores are not faster, and take twice the memory.
        with self._lock:
            chunks = [items[start : start + size] for start in range(0, len(items), size)]
            ahead = self.encoder.submit(chunks[0])
            try:
                for following in [*chunks[1:], None]:
                    current = ahead
                    ahead = self.encoder.submit(following) if following else None
                    for result in self.encoder.results(current):
                        writer.keep(result)
            finally:
                writer.flush()  # where the store of the data is gone, too: what was encoded is kept
        part.unlink(missing_ok=True)
        return len(items)
