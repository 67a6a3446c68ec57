"""What each part of a model in 8 bits changes, on images that are no test images: which parts may be in 8 bits.

    python -m keras_fvvae.benchmarks.long.quantized_parts RUN --data DIR [--mode int8] [--markdown FILE]

RUN is a finished run on images; DIR has the data that it was trained on. The float32 LiteRT file is quantised in one
part alone, then in several, and compared with itself on the run's validation part, which the representation has not
learnt from (without one, on other training images). Ranges are found with training images that are not among these.
"""

import argparse
import datetime
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from keras_fvvae.benchmarks.harness.machine import describe_machine
from keras_fvvae.builders.encoders import load_model
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.errors import RunError
from keras_fvvae.export.agreement import run_fresh
from keras_fvvae.export.portable import write_litert
from keras_fvvae.export.quantization import CALIBRATION_IMAGES, QUANTIZED, Quantization
from keras_fvvae.export.quantization_litert import PARTS, quantize_litert
from keras_fvvae.models import Classifier
from keras_fvvae.tasks.quantization_images import run_pictures
from keras_fvvae.training.selection.components import validation_rows
from keras_fvvae.utils.files import write_atomically
from keras_fvvae.zoo.sources import open_reading

# Images of a call, and of all at most: of a large network each takes a second.
BLOCK, IMAGES = 16, 90


def main() -> None:
    """Prints the table, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--data", help="what it was trained on; default: data that come with the package")
    parser.add_argument("--mode", default="int8", choices=[one for one in QUANTIZED["litert"] if one != "float16"])
    parser.add_argument("--markdown", help="file for the result")
    arguments = parser.parse_args()
    machine = describe_machine()
    lines = [
        f"    {shlex.join(['python', '-m', 'keras_fvvae.benchmarks.long.quantized_parts', *sys.argv[1:]])}",
        "",
        f"{datetime.date.today()}, {machine['cpu']}, {machine['cores']} cores, Python {machine['python']}.",
        "",
        *table(arguments.run, arguments.data, arguments.mode),
    ]
    text = "\n".join([*lines, ""])
    print(text)
    if arguments.markdown:
        write_atomically(arguments.markdown, text.encode())


def table(source: str, data: str | None, mode: str) -> list[str]:
    """Lines of a table, one for each choice of parts.

    Raises:
        RunError: if it is no run on images.
    """
    model = open_reading(source)
    if model.run is None or model.kind != "image":
        raise RunError(f"{source} is not a run on images, whose training images are what is measured on here.")
    views = recipe_views(model.recipe, "image")
    rows = validation_rows(model.run, "image")
    title = "validation" if len(rows) else "training"
    trained = np.random.default_rng(model.recipe.seed).permutation(model.run.vectors().labelled)
    held_out = rows if len(rows) else trained[:IMAGES]
    calibration, _ = run_pictures(model, data, trained[~np.isin(trained, held_out)], CALIBRATION_IMAGES)
    checked, _ = run_pictures(model, data, held_out, IMAGES)
    quantization = Quantization(mode, calibration, checked, None, "")
    cases = {str(start): {"pixels": checked[start : start + BLOCK]} for start in range(0, len(checked), BLOCK)}
    lines = [
        f"| parts in 8 bits | MB | largest change of a score | median of an image's | other labels, of {len(checked)} "
        f"{title} images |",
        "| --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "float32.tflite")
        write_litert(load_model(model.model, (Classifier,)), views, "image", whole)
        wanted = _scores(whole, cases)
        for parts in ((), *((part,) for part in PARTS), PARTS[1:], PARTS):
            path = Path(folder, "short.tflite")
            shutil.copyfile(whole, path)
            if parts:
                quantize_litert(path, quantization, parts)
            given = _scores(path, cases)
            change = np.abs(given - wanted).max(axis=1)
            others = int(np.sum(given.argmax(axis=1) != wanted.argmax(axis=1)))
            cells = [", ".join(parts) or f"none (scores are up to {np.abs(wanted).max():.2g})"]
            cells += [
                f"{path.stat().st_size / 1e6:.2f}",
                f"{change.max():.3f}",
                f"{np.median(change):.3f}",
                str(others),
            ]
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return lines


def _scores(path: Path, cases: dict[str, dict[str, np.ndarray]]) -> np.ndarray:
    outputs = run_fresh("litert", path, cases)
    return np.concatenate([outputs[f"{case}/scores"] for case in cases])


if __name__ == "__main__":
    main()
