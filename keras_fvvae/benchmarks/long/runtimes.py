"""A model of images beside its bare backbone in every runtime: what encoding and SVM add to the time of a call.

    python -m keras_fvvae.benchmarks.long.runtimes SOURCE [--rounds 3] [--batches 1 16] [--formats savedmodel onnx ...]
        [--markdown FILE]

SOURCE is a run, a pack or an entry with trained weights. Both graphs go from pixels of the training's size through the
same preprocessing and network, written by the same converter: one ends with scores and, but for the SavedModel, their
parts, as `export` writes it, the other with the average of the network's activations. In every round each runtime, in
random order, is opened and has its turn with both, so that what else the machine does meets all alike, and one
runtime's memory is free before the next one's.
"""

import argparse
import datetime
import functools
import gc
import random
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_fvvae.benchmarks.harness.machine import describe_machine, load
from keras_fvvae.benchmarks.harness.rounds import TURN_SECONDS, Timing, time_rounds, time_rows
from keras_fvvae.builders.encoders import load_model
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data.views import Views
from keras_fvvae.errors import RunError
from keras_fvvae.export.bundle import WRITERS
from keras_fvvae.export.formats import FORMATS, require_formats
from keras_fvvae.export.fresh_process import RUNTIMES
from keras_fvvae.export.portable import PixelModel
from keras_fvvae.models import Classifier
from keras_fvvae.utils.files import write_atomically
from keras_fvvae.zoo.sources import open_reading

# Turns with one image a call, each time that a runtime is opened; with several images there are fewer.
TURNS = 8

WHOLE, BARE = "classifier", "bare backbone"


def main() -> None:
    """Prints the table, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--formats", nargs="+", default=list(RUNTIMES), choices=list(RUNTIMES))
    parser.add_argument("--markdown", help="file for the result")
    arguments = parser.parse_args()
    before = load()
    timings = measure(arguments.source, arguments.formats, arguments.batches, arguments.rounds)
    machine = describe_machine()
    lines = [
        f"    {shlex.join(['python', '-m', 'keras_fvvae.benchmarks.long.runtimes', *sys.argv[1:]])}",
        "",
        f"{datetime.date.today()}, {machine['cpu']}, {machine['cores']} cores, Python {machine['python']}; load "
        f"{before} before, {load()} after. Milliseconds an image, medians of {arguments.rounds} rounds; the share is "
        f"the median of all turns' ratios less one.",
        "",
        "| runtime | images a call | classifier | bare backbone | FV-VAE's share | of CPU time |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_row(*key, timing) for key, timing in timings.items()),
    ]
    text = "\n".join([*lines, ""])
    print(text)
    if arguments.markdown:
        write_atomically(arguments.markdown, text.encode())


def measure(
    source: str, formats: list[str], batches: list[int], rounds: int
) -> dict[tuple[str, int], dict[str, Timing]]:
    """By format and images a call, the timings of both graphs.

    Raises:
        RunError: for a source of videos, of flow or of several crops.
    """
    require_formats(formats)
    model = open_reading(source)
    views = recipe_views(model.recipe, model.kind)
    if model.kind != "image" or views.is_flow or views.per_item("image") != 1:
        raise RunError(f"{source} is not of single crops of images, which are what is measured here.")
    classifier = load_model(model.model, (Classifier,))
    graphs = {WHOLE: classifier, BARE: BareBackbone(classifier)}
    pixels = np.random.default_rng(0).integers(0, 256, (max(batches), *views.resize_to, 3)).astype("uint8")
    timings: dict = {(format, batch): {name: Timing() for name in graphs} for format in formats for batch in batches}
    with tempfile.TemporaryDirectory() as folder:
        paths = {
            (format, name): _write(format, graph, views, Path(folder, format, name.replace(" ", "_")))
            for format in formats
            for name, graph in graphs.items()
        }
        for _ in range(rounds):
            for format in random.sample(formats, len(formats)):
                opened = {name: RUNTIMES[format](str(paths[format, name])) for name in graphs}
                for batch in batches:
                    given = {"pixels": pixels[:batch]}
                    jobs = {name: functools.partial(run, given) for name, run in opened.items()}
                    turns = max(1, TURNS // batch)
                    found = time_rounds(jobs, turns, TURN_SECONDS if turns > 1 else 0)
                    for name, timing in found.items():
                        timings[format, batch][name].seconds += timing.seconds
                        timings[format, batch][name].cpu_seconds += timing.cpu_seconds
                    del jobs
                del opened
                gc.collect()
    return timings


class BareBackbone(keras.Model):
    """What `PixelModel` takes for a classifier: its vectors, and scores, are averages of a network's activations.

    Args:
        classifier: a built `keras_fvvae.models.Classifier`, whose backbone it shares.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(dtype=classifier.dtype_policy)
        self.encoder = _Averages(classifier.encoder.backbone)
        self.svm = keras.layers.Identity()
        self.calibration = None
        self.class_names: list[str] = []
        self.built = True


class _Averages(keras.layers.Layer):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.built = True

    def call(self, images: Any, mask: Any = None, training: bool = False) -> Any:
        maps = tree.flatten(self.backbone(images, training=False))
        return ops.concatenate([ops.mean(one, axis=list(range(1, len(one.shape) - 1))) for one in maps], axis=-1)


def _write(format: str, graph: Any, views: Views, folder: Path) -> Path:
    """The graph's file, by the exporter's own writer; a SavedModel with the one signature that is called."""
    folder.mkdir(parents=True)
    if format != "savedmodel":
        path = folder / FORMATS[format].file
        WRITERS[format](graph, views, "image", path, explained=isinstance(graph, Classifier))
        return path
    model = PixelModel(graph, views, "image", any_size=False)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("classify_pixels", model, model.specs)
    archive.write_out(str(folder / "model"), verbose=False)
    return folder / "model"


def _row(format: str, batch: int, timings: dict[str, Timing]) -> str:
    rows = {row["what"]: row for row in time_rows(timings, BARE, "ms an image", batch)}
    whole, bare = rows[WHOLE], rows[BARE]
    shares = [f"{100 * (value - 1):+.1f} %" for value in (whole["ratio"], whole["cpu_ratio"])]
    cells = [FORMATS[format].title, str(batch), f"{whole['median']:.2f}", f"{bare['median']:.2f}", *shares]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
