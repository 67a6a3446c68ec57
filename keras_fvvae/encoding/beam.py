"""Encoding as an Apache Beam pipeline, for its runners: Flink, Spark, Dataflow, or processes on one machine."""

from __future__ import annotations

import json
import shutil
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_fvvae.utils.cores import usable_cores

if TYPE_CHECKING:
    from keras_fvvae.encoding.output import Output

try:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.utils.shared import Shared
except ImportError:  # `extraction.require_beam` says how to install it, before anything of this is called
    beam = None

from keras_fvvae.encoding.item_encoder import ItemEncoder
from keras_fvvae.encoding.items import Item
from keras_fvvae.errors import RunError
from keras_fvvae.utils.files import write_atomically

PLAN = "plan"
# Items that a worker takes at a time, about: a repeated bundle costs at most so many, and fewer would make small files.
# Of a small collection fewer, so that all workers have something to do.
PART_ITEMS = 128
MIN_PARTS = 64
# Options of the runners that run on this machine.
LOCAL_RUNNERS = ("DirectRunner", "BundleBasedDirectRunner", "FnApiRunner")
PROGRESS_SECONDS = 1.0


def encode_on_runner(
    output: Output,
    items: Sequence[Item],
    runner: str,
    processes: int = 1,
    options: Sequence[str] = (),
    update: Callable[[int], None] = lambda done: None,
) -> None:
    """Encodes items on a Beam runner and waits for the end.

    Items are listed in small files, the plan, in the output folder; a worker takes one, stores its vectors in the
    feature store, and removes it. So the pipeline itself carries names of files only, however many items there are,
    and a bundle that the runner repeats finds what is finished gone. Data, run and output folder must be at the same
    paths on all workers. One pipeline at a time for an output folder.

    Args:
        output: an `Output`.
        items: list of `Item`s that are files.
        runner: name of a runner.
        processes: of a local runner.
        options: further options of the pipeline.
        update: called with the number of items done, now and then.

    Raises:
        RunError: if the pipeline fails.
    """
    plan = output.path / PLAN
    shutil.rmtree(plan, ignore_errors=True)  # of a pipeline that was stopped
    parts = _write_plan(plan, items, output.encoding)
    arguments = [f"--runner={runner}", *options]
    if runner in LOCAL_RUNNERS:
        local = ("direct_running_mode=multi_processing", "default_sdk_harness_log_level=ERROR")
        arguments = [f"--direct_num_workers={processes}", *(f"--{option}" for option in local), *arguments]
    encode = EncodePart(output, max(1, usable_cores() // processes) if runner in LOCAL_RUNNERS else None)
    stop = threading.Event()

    def report():
        while not stop.wait(PROGRESS_SECONDS):
            update(sum(count for part, count in parts.items() if not (plan / part).exists()))

    threading.Thread(target=report, daemon=True).start()
    try:
        pipeline = beam.Pipeline(options=PipelineOptions(arguments))
        names = pipeline | "Parts" >> beam.Create([str(plan / part) for part in parts])
        _ = names | "Spread" >> beam.Reshuffle() | "Encode" >> beam.ParDo(encode)
        pipeline.run().wait_until_finish()
    except Exception as error:  # every runner raises its own
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise RunError(f"The Beam pipeline on {runner} failed: {lines[-1]}. What was encoded is kept.") from error
    finally:
        stop.set()
        shutil.rmtree(plan, ignore_errors=True)


def _write_plan(plan, items, encoding):
    """Writes the items to files of whole chunks; returns a dictionary from name to number of items."""
    plan.mkdir(parents=True)
    chunk = encoding.chunk_items
    size = -(-min(PART_ITEMS, -(-len(items) // MIN_PARTS)) // chunk) * chunk
    parts = {}
    for start in range(0, len(items), size):
        rows = [json.dumps(item) for item in items[start : start + size]]
        name = f"{uuid.uuid4().hex}.jsonl"
        write_atomically(plan / name, "\n".join(rows).encode())
        parts[name] = len(rows)
    return parts


class EncodePart(beam.DoFn if beam else object):  # type: ignore[misc]
    """Encodes the items of a part of the plan.

    Beam's own handler of TensorFlow models fails on those of Keras 3: the model is loaded in `setup`, once for each
    process, which its threads share.

    Args:
        output: an `Output`.
        cores: of a worker; `None`: all of its machine.
    """

    def __init__(self, output: Output, cores: int | None = None):
        self.output = output
        self.cores = cores
        self.shared = Shared()

    def setup(self) -> None:
        """Loads the model, unless another thread of the process did."""
        self.model = self.shared.acquire(lambda: _Model(self.output.encoding, self.cores or usable_cores()))

    def process(self, part: str) -> list[int]:
        """Encodes the items that the file `part` lists; returns a list of how many."""
        try:
            with open(part, encoding="utf-8") as file:
                items = [Item(*json.loads(line)) for line in file]
        except FileNotFoundError:
            return []  # it was finished before the runner repeated the bundle
        writer, size = self.output.writer(), self.output.encoding.chunk_items
        # One thread at a time: two batches on the same cores are not faster, and take twice the memory.
        with self.model.lock:
            encoder = self.model.encoder
            chunks = [items[start : start + size] for start in range(0, len(items), size)]
            ahead = encoder.submit(chunks[0])
            for following in [*chunks[1:], None]:
                current = ahead
                ahead = encoder.submit(following) if following else None
                for result in encoder.results(current):
                    writer.keep(result)
        writer.flush()
        Path(part).unlink(missing_ok=True)
        return [len(items)]


class _Model:
    def __init__(self, encoding, cores):
        self.encoder = ItemEncoder(encoding, threads=cores + 1)
        self.lock = threading.Lock()
