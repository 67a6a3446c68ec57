"""The parts of the package, their levels and purposes: what the test of imports and CONTRIBUTING's table are made from.

`python -m tests.support.parts` writes the table into CONTRIBUTING.md.
"""

from pathlib import Path

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
START, END = "<!-- parts: python -m tests.support.parts -->", "<!-- end of parts -->"

# A part may import parts of lower levels, and itself. The order is the way of the data.
PARTS = {
    "errors": (0, "the exceptions for files, data, weights and runs"),
    "utils": (
        1,
        "atomic files, `.keras` files, progress, checkpoints of arrays, cores, the cache folder, lazy packages",
    ),
    "recipes": (2, "recipes as validated data, what each key decides, the registries that need no TensorFlow, cards"),
    "ops": (2, "pure mathematics on `keras.ops`; Eq. 11 only in `ops/fisher.py`"),
    "fitting": (2, "float64 fits of streams: k-means, Gaussian mixtures, principal components, Fisher moments"),
    "svm": (2, "the one-vs-rest SVM for few long vectors"),
    "features": (2, "the store of activations and vectors; vectors as Parquet, Lance, HDF5"),
    "optimizers": (2, "Keras's optimizers with rates by weight"),
    "data": (3, "collections, views, pipelines; `datasets/` one layout a file, `readers/` image, video, flow"),
    "layers": (4, "one Keras layer a file, flat: saved files record these module paths"),
    "backbones": (5, "the table of networks and those of one's own, their taps and weights"),
    "evaluation": (5, "metrics with intervals, score tables, fusion, ActivityNet's protocol"),
    "trajectories": (5, "improved dense trajectories and their codebook"),
    "serving": (
        5,
        "client and server of SavedModels and of searches beside them; `engine/`, `protocols/`, `searching/`",
    ),
    "models": (6, "`FVVAE`, `FisherEncoder`, `Classifier`, `SoftmaxClassifier`; saved files record them"),
    "builders": (7, "recipe to views and model, saved file to model, the table of representations"),
    "explanations": (7, "the exact split of a score over descriptors"),
    "runs": (8, "a training's folder and its schema, its data, starting from another"),
    "training": (9, "stages, steps, vectors; `inputs/` what is read, `processes/` who trains"),
    "export": (9, "SavedModels: signatures, inputs, card, warmup"),
    "zoo": (10, "load, list, publish; packs found, downloaded and checked"),
    "encoding": (11, "bulk encoding: processes, shards, Beam"),
    "reporting": (11, "reports, figures, result pages"),
    "tasks": (12, "one whole job a command; `scores/` what is asked of scores"),
    "search": (12, "indexes of vectors: nearest items, measures, whitening, near-duplicates, queries by files"),
    "estimators": (13, "the commands' engine as estimators of scikit-learn"),
    "experiments": (13, "the paper's tables and figures, comparison, sweep"),
    "benchmarks": (13, "`harness/` how is measured, `suites/` the groups of `keras-fvvae benchmark`"),
    "tools": (14, "the command line, one file a command (top level; installed as `keras_fvvae.tools`)"),
    "__main__": (15, "`python -m keras_fvvae`: the command line"),
    "benchmarks.long": (15, "measurements of minutes to hours, each a program of its own: they run whole commands"),
}


def table():
    """The parts as a Markdown table."""
    rows = [f"| {level} | `{name}` | {purpose} |" for name, (level, purpose) in PARTS.items()]
    return "\n".join(["| level | part | holds |", "| --- | --- | --- |", *rows])


def with_table(text):
    """CONTRIBUTING's text with today's table between its marks."""
    before, rest = text.split(START)
    return f"{before}{START}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    CONTRIBUTING.write_text(with_table(CONTRIBUTING.read_text(encoding="utf-8")), encoding="utf-8")
