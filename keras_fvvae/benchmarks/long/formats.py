"""One model in every runtime: agreement with Keras on many images, size, and time of a call, side by side.

    python -m keras_fvvae.benchmarks.long.formats SOURCE... [--data DIR [--dataset cub]] [--split test]
        [--limit N] [--quantize int8] [--markdown FILE]

SOURCE is a run, a pack or an entry with trained weights; DIR has the data that every runtime is compared with Keras on,
resized to the training's size and rounded. Entries of embedded data need none. Quantised files are made with DIR too, a
run's with its training images. Each runtime is a process of its own, one after the other.
"""

import argparse
import datetime
import platform
import shlex
import sys
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_fvvae.builders.encoders import load_model
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data import Collection
from keras_fvvae.data.catalogue import load_dataset
from keras_fvvae.data.views import Views, read_resized
from keras_fvvae.export.agreement import TOLERANCE, run_fresh
from keras_fvvae.export.formats import FORMATS
from keras_fvvae.export.portable import PixelModel
from keras_fvvae.export.quantization import MODES, QUANTIZED
from keras_fvvae.models import Classifier
from keras_fvvae.recipes import DATASETS
from keras_fvvae.runs.datasets import recipe_collection
from keras_fvvae.tasks.export_formats import Written, export_formats
from keras_fvvae.utils.cores import usable_cores
from keras_fvvae.utils.files import write_atomically
from keras_fvvae.zoo.sources import open_reading

# Items of a call.
BLOCK = 16

Cases = dict[str, dict[str, np.ndarray]]


def main() -> None:
    """Prints the table, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", metavar="SOURCE")
    parser.add_argument("--data", help="items of the sources' kind; default: data that come with the package")
    parser.add_argument("--dataset", default="auto")
    parser.add_argument("--split", default="all", choices=["all", "test"], help="items that are compared")
    parser.add_argument("--limit", type=int, help="so many items at most, spread over all")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--quantize", nargs="+", default=[], choices=list(MODES), help="further rows")
    parser.add_argument("--markdown", help="file for the result")
    arguments = parser.parse_args()
    lines = [
        f"    {shlex.join(['python', '-m', 'keras_fvvae.benchmarks.long.formats', *sys.argv[1:]])}",
        "",
        f"{datetime.date.today()}, {platform.machine()}, {usable_cores()} cores, Python {platform.python_version()}.",
        "",
        "| model | runtime | MB | ms, 1 | ms, 16 (videos: 4) | items | scores differ by | > 1e-4 | other labels |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for source in arguments.sources:
        with tempfile.TemporaryDirectory() as folder:
            written = export_formats(source, folder, arguments.formats)
            compared = compare(written, *read_examples(source, arguments))
            lines += [_row(source, one, compared.get(one.agreement.format)) for one in written]
            for mode in arguments.quantize:
                lines += quantized(source, mode, Path(folder, mode), arguments)
    text = "\n".join([*lines, ""])
    print(text)
    if arguments.markdown:
        write_atomically(arguments.markdown, text.encode())


def quantized(source: str, mode: str, folder: Path, arguments: argparse.Namespace) -> list[str]:
    """Rows of the formats that have a mode; what the export measured of accuracy, on a run's test items, is printed."""
    formats = [one for one in arguments.formats if mode in QUANTIZED.get(one, ())]
    written = export_formats(source, folder, formats, quantize=mode, calibration=arguments.data)
    for one in written:
        print(f"{source}: {one.agreement.text}", flush=True)
    return [_row(source, one, None, f" {mode}") for one in written]


def read_examples(source: str, arguments: argparse.Namespace) -> tuple[Cases, np.ndarray]:
    """Blocks of items as a caller would hand them over, and Keras's scores of all; none of either without data."""
    model = open_reading(source)
    if arguments.data is None and not DATASETS[model.recipe.dataset].embedded:
        return {}, np.zeros((0, 1))
    if arguments.data is None:
        items = recipe_collection(model.recipe)
    else:
        items = load_dataset(arguments.data, arguments.dataset)
    indices = items.indices("test") if arguments.split == "test" else np.arange(len(items))
    if arguments.limit is not None and arguments.limit < len(indices):
        indices = indices[np.linspace(0, len(indices) - 1, arguments.limit).round().astype(int)]
    views = recipe_views(model.recipe, model.kind)
    cases = {
        str(start): inputs(items, indices[start : start + BLOCK], views) for start in range(0, len(indices), BLOCK)
    }
    keras_model = PixelModel(load_model(model.model, (Classifier,)), views, model.kind, any_size=False)
    graph = tf.function(keras_model, autograph=False, reduce_retracing=True)
    scores = [graph(*map(tf.constant, case.values()))["scores"] for case in cases.values()]
    return cases, np.concatenate(scores)


def compare(written: list[Written], cases: Cases, wanted: np.ndarray) -> dict[str, tuple[int, float, int, int]]:
    """By format: number of items, largest difference of scores from Keras's, items beyond 1e-4, other labels."""
    results = {}
    for one in written:
        format = one.agreement.format
        if format == "keras" or not cases:
            continue
        outputs = run_fresh(format, one.path / FORMATS[format].file, cases)
        scores = np.concatenate([outputs[f"{case}/scores"] for case in cases])
        others = int(np.sum(scores.argmax(axis=1) != wanted.argmax(axis=1)))
        each = np.abs(scores - wanted).max(axis=1)
        results[format] = (len(scores), float(each.max()), int(np.sum(each > TOLERANCE)), others)
    return results


def inputs(items: Collection, indices: np.ndarray, views: Views) -> dict[str, np.ndarray]:
    """A block of items, resized and rounded to uint8; the frames of videos, with zeros up to the longest."""
    rows = [np.round(read_resized(items, int(index), [views])[0]).clip(0, 255).astype("uint8") for index in indices]
    if items.kind == "image":
        return {"pixels": np.concatenate(rows)}
    counts = [len(row) for row in rows]
    padded = [np.pad(row, [(0, max(counts) - len(row)), (0, 0), (0, 0), (0, 0)]) for row in rows]
    return {"pixels": np.stack(padded), "num_frames": np.array(counts, "int32")}


def _row(source: str, one: Written, compared: tuple[int, float, int, int] | None, mode: str = "") -> str:
    found = one.agreement
    times = [f"{1000 * value:.2f}" for value in found.seconds.values()]
    last = ["sample", f"{found.difference:.1e}", "", ""]
    if compared is not None:
        last = [str(compared[0]), f"{compared[1]:.1e}", str(compared[2]), str(compared[3])]
    name = Path(source).name
    cells = [name, FORMATS[found.format].title + mode, f"{found.size / 1e6:.2f}", *times, *last]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
