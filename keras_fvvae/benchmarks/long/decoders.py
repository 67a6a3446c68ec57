"""How far `decoder: fast` is from `exact`: pixels, vectors, labels, and what it saves.

    python -m keras_fvvae.benchmarks.long.decoders RUN --data DIR [--dataset cub] [--split test]

RUN is a training with `decoder: exact`. The images of a split are read with both decoders, and given to the same model.
Boxes of a data set are not used: what is cut out is decoded exactly.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
from keras import ops

from keras_fvvae.data.collection import Collection
from keras_fvvae.data.pipeline import view_batches
from keras_fvvae.data.readers.jpeg_scale import DECODERS, EXACT, FAST, jpeg_divisor
from keras_fvvae.runs.datasets import open_dataset
from keras_fvvae.training.vectors import mean_raw_vectors
from keras_fvvae.zoo import load_classifier

BATCH = 16


def main() -> None:
    """Prints a table and writes it as JSON."""
    arguments = _arguments()
    collection = open_dataset(arguments.data, arguments.dataset, {})
    images = collection.subset(collection.indices(arguments.split))
    classifier = load_classifier(arguments.run)
    views = classifier.encoder.reader.views
    read = {decoder: _read(images, dataclasses.replace(views, decoder=decoder), classifier) for decoder in DECODERS}
    contents = (Path(str(source)).read_bytes() for source in images.sources)
    divisors = [jpeg_divisor(content, views.resize_to, views.resize) for content in contents]
    rows = differences(read[EXACT], read[FAST], classifier.class_names, images)
    rows = {"images": len(images), "of them decoded at a smaller scale": float(np.mean(np.array(divisors) > 1)), **rows}
    print("| what | |\n| --- | --- |")
    for name, value in rows.items():
        print(f"| {name} | {value:.4g} |" if isinstance(value, float) else f"| {name} | {value} |")
    if arguments.out:
        Path(arguments.out).write_text(json.dumps({"arguments": vars(arguments), "rows": rows}, indent=2))


def differences(exact: dict, fast: dict, class_names: list[str], images: Collection) -> dict:
    """Rows of the table, from what `_read` gives with either decoder."""
    apart = np.concatenate([np.abs(a - b).ravel() for a, b in zip(exact["pixels"], fast["pixels"], strict=True)])
    cosines = np.sum(exact["vectors"] * fast["vectors"], axis=1)
    named = [class_names[label] for label in images.labels]
    labels = {name: [class_names[best] for best in part["scores"].argmax(axis=1)] for name, part in
              ((EXACT, exact), (FAST, fast))}  # fmt: skip
    return {
        "pixels, mean difference (of 255)": float(apart.mean()),
        "pixels, 99 of 100 differ by less than": float(np.quantile(apart, 0.99)),
        "vectors, least cosine": float(cosines.min()),
        "vectors, mean cosine": float(cosines.mean()),
        "the same label": float(np.mean([a == b for a, b in zip(*labels.values(), strict=True)])),
        "accuracy, exact": float(np.mean([a == b for a, b in zip(labels[EXACT], named, strict=True)])),
        "accuracy, fast": float(np.mean([a == b for a, b in zip(labels[FAST], named, strict=True)])),
        "CPU time of reading, fast to exact": fast["seconds"] / exact["seconds"],
    }


def _read(images, views, classifier):
    """Pixels, normalised vectors, scores, and CPU seconds of reading."""
    indices = np.arange(len(images))
    list(view_batches(images, indices, views, BATCH))  # builds the graph, and fills the file cache
    start = time.process_time()
    pixels = [batch["views"].numpy() for batch in view_batches(images, indices, views, BATCH)]
    seconds = time.process_time() - start
    encoder = classifier.encoder
    vectors = np.concatenate(
        [encoder.normalize_on_batch(mean_raw_vectors(encoder, part, np.ones(len(part), int))) for part in pixels]
    )
    scores = ops.convert_to_numpy(classifier.svm(vectors))
    return {"pixels": pixels, "vectors": vectors, "scores": scores, "seconds": seconds}


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="a finished run")
    parser.add_argument("--data", required=True, help="its data, every file of which can be read")
    parser.add_argument("--dataset", default="folder", help="their layout")
    parser.add_argument("--split", default="test", choices=("train", "test"))
    parser.add_argument("--out", help="JSON file to write the result to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
