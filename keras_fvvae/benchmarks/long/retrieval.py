"""How well each representation retrieves: recall and mAP on the test items of finished runs, whitened or not.

    python -m keras_fvvae.benchmarks.long.retrieval RUN... [--dimensions 32 64 128] [--markdown FILE]

The runs' stored vectors are taken, nothing is encoded. Queries and what is searched are the test items, which no
training has seen; whitening is fitted to the same vectors, without labels.
"""

import argparse
import tempfile
from pathlib import Path

from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.search import Index, retrieval_metrics

KS = (1, 10)


def main() -> None:
    """Prints the table, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="finished runs on the same data")
    parser.add_argument("--dimensions", type=int, nargs="*", default=[32, 64, 128], help="of whitened vectors")
    parser.add_argument("--markdown", help="file for the result")
    arguments = parser.parse_args()
    header = ["representation", "seed", "vectors", *(f"recall at {k} (%)" for k in KS), "mAP (%)"]
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    for run in arguments.runs:
        for row in _rows(RunFolder.open(run), arguments.dimensions):
            lines.append(f"| {' | '.join(row)} |")
            print(lines[-1], flush=True)
    if arguments.markdown:
        Path(arguments.markdown).write_text("\n".join(lines) + "\n")


def _rows(run, dimensions):
    vectors = run.vectors()
    tested, classes = slice(vectors.first_test_row, None), run.class_names
    labels = [classes[label] if label >= 0 else None for label in vectors.labels[tested]]
    most = min(len(labels) - 1, vectors.values.shape[1])
    for dimension in (None, *(one for one in dimensions if one <= most)):
        with tempfile.TemporaryDirectory() as folder:
            index = Index.build(
                folder,
                vectors.values[tested],
                vectors.names[tested],
                labels,
                whiten=dimension is not None,
                dimension=dimension,
            )
            found = retrieval_metrics(index, KS)
            length = index.vectors.shape[1]
        kind = f"{length:,}" if dimension is None else f"whitened, {length:,}"
        yield [
            vectors.representation,
            str(run.recipe.seed),
            kind,
            *map(_text, [*found["recall"].values(), found["map"]]),
        ]


def _text(one):
    return f"{100 * one['value']:.1f} ({100 * one['low']:.1f} to {100 * one['high']:.1f})"


if __name__ == "__main__":
    main()
