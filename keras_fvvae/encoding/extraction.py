"""Encoding a whole collection, or a static shard of it, with one machine or a Beam runner."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fvvae.data.collection import UNLABELLED
from keras_fvvae.data.datasets.folder import load_folder
from keras_fvvae.data.datasets.listing import load_list
from keras_fvvae.encoding.item_encoder import open_encoding
from keras_fvvae.encoding.items import Shard, is_stored, list_items, shard_of
from keras_fvvae.encoding.output import Output
from keras_fvvae.encoding.processes import encode_in_processes
from keras_fvvae.encoding.ray_tasks import encode_on_ray
from keras_fvvae.encoding.stored_items import find_stored
from keras_fvvae.errors import DataError, RunError, unknown_name
from keras_fvvae.features import SHARD_BYTES, write
from keras_fvvae.features.formats import FORMATS
from keras_fvvae.features.writing import PART_BYTES, Part
from keras_fvvae.runs.datasets import open_dataset
from keras_fvvae.utils.progress import progress_bar

if TYPE_CHECKING:
    from keras_fvvae.data.collection import Collection
    from keras_fvvae.encoding.output import Summary

# What encodes, beside Beam's runners.
ENGINES = ("processes", "ray")


class Extraction:
    """The vectors of a collection's items, encoded by a trained run or pack and stored in a folder.

    Any number of these may write to one folder at the same time, in any division of the work; what is stored is
    skipped, so that a call that was stopped anywhere is repeated to go on. The vectors do not depend on the division.

    Args:
        run: see `open_encoding`.
        data: folder (everything below it is taken, labels are not needed) or list of images or videos; or tar files
            or a folder of an object store, see `keras_fvvae.encoding.stored_items.find_stored`.
        out: the output folder, see `Output`.
        raw: whether to store vectors before normalisation.
        dtype: `"float32"` (default) or `"float16"`.
        shard: a `Shard`; `None` (default): all items.
        kind: `"image"`, `"video"`, or `"auto"`: as the files are.
        dataset: the layout of the data where it matters (boxes of `"cub"`); `None`: a folder or list of files.
        dataset_options: arguments of the layout's loader, such as `{"boxes": True}`.
        shard_bytes: size of the store's shards, see `FeatureStore`.
        decoder: see `open_encoding`.

    Raises:
        RunError, WeightsError, RecipeError, DataError: if one of them cannot be used.
        ValueError: for an unknown `dtype`, `dataset` or `decoder`.
    """

    def __init__(
        self,
        run: str | Path,
        data: str | Path,
        out: str | Path,
        raw: bool = False,
        dtype: str = "float32",
        shard: Shard | None = None,
        kind: str = "auto",
        dataset: str | None = None,
        dataset_options: dict[str, Any] | None = None,
        shard_bytes: int = SHARD_BYTES,
        decoder: str | None = None,
    ):
        self.shard = shard = shard or Shard()
        # What lies elsewhere is no collection: its readers want files.
        self.collection: Collection | None = None
        self.absent: dict[str, str] = {}
        if dataset is None and is_stored(data) and not Path(data).is_dir():
            stored = find_stored(data, kind, shard)
            found, self.labels, self.absent = stored.kind, stored.labels, stored.absent
        else:
            self.collection = collection = _open_data(data, kind, dataset, dataset_options or {})
            found = collection.kind
            missing = (name for name in collection.missing if shard_of(name, shard.count) == shard.number)
            self.absent = dict.fromkeys(missing, "it is listed, and not on disk")
            self.labels = {
                Path(name).as_posix(): collection.class_names[label]
                for name, label in zip(collection.names, collection.labels.tolist(), strict=True)
                if label != UNLABELLED
            }
        self.encoding = open_encoding(run, found, raw, dtype, decoder)
        self.output = Output(out, self.encoding, shard_bytes)
        self.items = stored.items if self.collection is None else list_items(self.collection, shard)

    def run(
        self,
        processes: int = 1,
        retry_failed: bool = False,
        runner: str | None = None,
        beam_options: Sequence[str] = (),
        engine: str = "processes",
        ray_address: str | None = None,
        ray_cpus: int | None = None,
        verbose: int = 1,
    ) -> Summary:
        """Encodes what is not stored yet.

        Args:
            processes: processes on this machine.
            retry_failed: whether to try again what failed before.
            runner: name of a Beam runner (`"DirectRunner"`, `"FlinkRunner"`, ...); `None`: no Beam.
            beam_options: further options of the pipeline, such as `"--flink_master=host:8081"`.
            engine: `"processes"` of this machine, unless there is a `runner`; or `"ray"`.
            ray_address, ray_cpus: of a cluster and of a worker, see `keras_fvvae.encoding.ray_tasks.encode_on_ray`.
            verbose: 1 for a progress bar.

        Returns:
            A `Summary`.

        Raises:
            RunError: if processes, the pipeline or tasks fail, a store of the data does not answer (any more), or Beam
                or Ray is not installed. What was encoded is kept.
            ValueError: for an unknown engine, and for a runner beside Ray.
            DataError: if the disk is full.
        """
        if engine not in ENGINES:
            raise ValueError(unknown_name("engine", engine, ENGINES))
        if runner is not None:
            require_beam()
        if engine == "ray":
            if runner is not None:
                raise ValueError("A `runner` is Beam's: leave it out, or `engine='ray'`.")
            require_ray()
        self.output.note_labels(self.labels)
        store, failures = self.output.open_store(), self.output.failures()
        todo = [i for i in self.items if i.key not in store and (retry_failed or i.key not in failures)]
        del store, failures  # keys of everything, which nobody needs while it runs
        done = len(self.items) - len(todo)
        if todo:
            with progress_bar("Encoding", len(self.items), done, enabled=bool(verbose)) as update:
                if engine == "ray":
                    encode_on_ray(self.output, todo, ray_address, ray_cpus, lambda count: update(done + count))
                elif runner is None:
                    self._run_here(todo, processes, lambda count: update(done + count))
                else:
                    from keras_fvvae.encoding.beam import encode_on_runner

                    encode_on_runner(
                        self.output, todo, runner, processes, beam_options, lambda count: update(done + count)
                    )
        return self.summary()

    def _run_here(self, items, processes, update):
        writer = self.output.writer()
        try:
            for count, result in enumerate(encode_in_processes(self.encoding, items, processes), start=1):
                writer.keep(result)
                update(count)
        finally:
            writer.flush()

    def write(self, form: str) -> Path:
        """Writes what is stored of the items as one file of another format, in the data's order.

        The store stays: a call that was stopped goes on from it.

        Args:
            form: of `keras_fvvae.features.formats.FORMATS`: `"parquet"`, `"lance"` or `"hdf5"`.

        Returns:
            The file, `vectors.SUFFIX` in the output folder; of a shard `vectors-I-of-N.SUFFIX`.

        Raises:
            DataError: if nothing is stored, the file cannot be written, or a package is not installed.
        """
        part = "" if self.shard.count == 1 else f"-{self.shard.number}-of-{self.shard.count}"
        path = self.output.path / f"vectors{part}{FORMATS[form].suffixes[0]}"
        return write(path, self._parts(), self.encoding.settings)

    def _parts(self) -> Iterator[Part]:
        """What is stored of the items, so much at a time as is written together."""
        store = self.output.open_store()
        stored = [item for item in self.items if item.key in store]
        rows = max(1, PART_BYTES // store[stored[0].key].nbytes) if stored else 1
        for start in range(0, len(stored), rows):
            some = stored[start : start + rows]
            names = [item.name for item in some]
            vectors = np.stack([store[item.key].ravel() for item in some])
            yield Part(names, [self.labels.get(name, "") for name in names], vectors)

    def summary(self, shards: int = 1, check: bool = False) -> Summary:
        """How far it is: a `Summary`; see `Output.summary`."""
        return self.output.summary(self.items, shards, check, self.absent)


def _open_data(data, kind, dataset, dataset_options):
    if dataset is not None:
        return open_dataset(data, dataset, dataset_options)
    if Path(data).is_dir():
        return load_folder(data, kind=kind, unlabelled=True)
    if not Path(data).exists():
        raise DataError(f"The data folder or list {data} does not exist.")
    return load_list(data, kind=kind)


def require_ray() -> None:
    """Raises `RunError` where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise RunError("`--engine ray` needs Ray: pip install keras-fvvae[ray]")


def require_beam() -> None:
    """Raises `RunError` where Apache Beam is not installed."""
    if importlib.util.find_spec("apache_beam") is None:
        raise RunError("A `--runner` needs Apache Beam: pip install keras-fvvae[beam]")
