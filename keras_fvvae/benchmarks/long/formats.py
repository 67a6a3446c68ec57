"""One model in every runtime: agreement with Keras on many images, size, and time of a call, side by side.

    python -m keras_fvvae.benchmarks.long.formats SOURCE... [--data DIR [--dataset cub]] [--quantize int8]
        [--markdown FILE]

SOURCE is a run, a pack or an entry with trained weights; DIR has images, on all of which every runtime is compared with
Keras, resized to the training's size and rounded; quantised files are made with them too, a run's with its training
images. Each runtime is a process of its own, one after the other.
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
from keras_fvvae.tasks.export_formats import Written, export_formats
from keras_fvvae.utils.cores import usable_cores
from keras_fvvae.utils.files import write_atomically
from keras_fvvae.zoo.sources import open_reading

# Images that are in memory at once.
BLOCK = 16


def main() -> None:
    """Prints the table, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", metavar="SOURCE")
    parser.add_argument("--data", help="images of the first source's kind")
    parser.add_argument("--dataset", default="auto")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--quantize", nargs="+", default=[], choices=list(MODES), help="further rows")
    parser.add_argument("--markdown", help="file for the result")
    arguments = parser.parse_args()
    lines = [
        f"    {shlex.join(['python', '-m', 'keras_fvvae.benchmarks.long.formats', *sys.argv[1:]])}",
        "",
        f"{datetime.date.today()}, {platform.machine()}, {usable_cores()} cores, Python {platform.python_version()}.",
        "",
        "| model | runtime | MB | ms, 1 | ms, 16 (videos: 4) | images | scores differ by | > 1e-4 | other labels |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for source in arguments.sources:
        with tempfile.TemporaryDirectory() as folder:
            written = export_formats(source, folder, arguments.formats)
            compared = compare(source, written, arguments) if arguments.data else {}
            lines += [_row(source, one, compared.get(one.agreement.format)) for one in written]
            for mode in arguments.quantize:
                lines += quantized(source, mode, Path(folder, mode), arguments)
    text = "\n".join([*lines, ""])
    print(text)
    if arguments.markdown:
        write_atomically(arguments.markdown, text.encode())


def quantized(source: str, mode: str, folder: Path, arguments: argparse.Namespace) -> list[str]:
    """Rows of ONNX and LiteRT in a mode; those that do not go with it are left out."""
    formats = [one for one in arguments.formats if one in QUANTIZED and not (one == "onnx" and mode == "dynamic")]
    written = export_formats(source, folder, formats, quantize=mode, calibration=arguments.data)
    compared = compare(source, written, arguments) if arguments.data else {}
    for one in written:
        print(f"{source}: {one.agreement.text}", flush=True)
    return [_row(source, one, compared.get(one.agreement.format), f" {mode}") for one in written]


def compare(
    source: str, written: list[Written], arguments: argparse.Namespace
) -> dict[str, tuple[int, float, int, int]]:
    """By format: number of images, largest difference of scores from Keras's, images beyond 1e-4, other labels."""
    model = open_reading(source)
    views = recipe_views(model.recipe, "image")
    images = load_dataset(arguments.data, arguments.dataset)
    cases = {str(start): {"pixels": pixels(images, start, views)} for start in range(0, len(images), BLOCK)}
    keras_model = PixelModel(load_model(model.model, (Classifier,)), views, "image", any_size=False)
    graph = tf.function(keras_model, autograph=False, reduce_retracing=True)
    wanted = np.concatenate([graph(tf.constant(case["pixels"]))["scores"] for case in cases.values()])
    results = {}
    for one in written:
        format = one.agreement.format
        if format == "keras":
            continue
        outputs = run_fresh(format, one.path / FORMATS[format].file, cases)
        scores = np.concatenate([outputs[f"{case}/scores"] for case in cases])
        others = int(np.sum(scores.argmax(axis=1) != wanted.argmax(axis=1)))
        each = np.abs(scores - wanted).max(axis=1)
        results[format] = (len(scores), float(each.max()), int(np.sum(each > TOLERANCE)), others)
    return results


def pixels(images: Collection, start: int, views: Views) -> np.ndarray:
    """A block of images as a caller would hand them over: resized, and rounded to uint8."""
    indices = range(start, min(start + BLOCK, len(images)))
    rows = [read_resized(images, index, [views])[0][0] for index in indices]
    return np.round(np.stack(rows)).clip(0, 255).astype("uint8")


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
