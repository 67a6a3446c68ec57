"""Encoding as an Apache Beam pipeline, for its runners: Flink, Spark, Dataflow, or processes on one machine."""

from __future__ import annotations

import shutil
import threading
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

from keras_fvvae.encoding.items import Item
from keras_fvvae.encoding.plan import PLAN, PartEncoder, write_plan
from keras_fvvae.errors import RunError

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
    parts = write_plan(plan, items, output.encoding)
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
        encoding, cores = self.output.encoding, self.cores or usable_cores()
        self.model = self.shared.acquire(lambda: PartEncoder(encoding, cores))

    def process(self, part: str) -> list[int]:
        """Encodes the items that the file `part` lists; returns a list of how many, none where it was done before."""
        count = self.model.encode(self.output, Path(part))
        return [count] if count else []
