"""Finished runs with given scores and vectors: what evaluation and fusion read, without a training."""

import numpy as np

from keras_fvvae.data import Collection
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.results import RunResults


def write_run(path, recipe, class_names, train, test, scores, vectors=None):
    """Writes a finished run.

    Args:
        train, test: dictionaries from name to label, a class name or `None`; unlabelled training items come last.
        scores: `(test items, classes)`, or `None` for a run without test scores.
        vectors: `(items, dimensions)`, the training items first.
    """
    names = [*train, *test]
    labels = [class_names.index(label) if label else -1 for label in (*train.values(), *test.values())]
    splits = ["train"] * len(train) + ["test"] * len(test)
    video = np.zeros((2, 8, 8, 3), "uint8")
    collection = Collection([video] * len(names), names, labels, splits, class_names, kind="video")
    run = RunFolder.create(path, recipe, collection)
    run.write_items(names, labels, splits)
    # Average pooling stands beside it, with scores of its own that must not be taken for the run's.
    scored = {} if scores is None else {"AVE": np.zeros((len(test), len(class_names))), "FV-VAE": np.asarray(scores)}
    run.write_results(RunResults("", "FV-VAE", {name: {} for name in scored}), scored)
    if vectors is not None:
        np.save(path / "vectors.npy", np.asarray(vectors, "float32")[:, :, None])
    run.finish()
    return path


def make_streams(seed=0, train_count=60, test_count=40, classes=4):
    """Items of a few classes, and unit vectors: a first stream tells classes 0 and 1 apart, a second the others.

    Returns:
        Tuple of the class names, dictionaries from name to label of the training and the test items, and a list of
        arrays of vectors.
    """
    rng = np.random.default_rng(seed)
    class_names = [f"class {i}" for i in range(classes)]
    labels = np.arange(train_count + test_count) % classes
    streams = []
    for seen in ((0, 1), (2, 3)):
        vectors = rng.normal(size=(len(labels), 12))
        for label in seen:
            vectors[labels == label, label] += 3.0
        streams.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    named = {f"v{i:03d}.avi": class_names[label] for i, label in enumerate(labels)}
    train = dict(list(named.items())[:train_count])
    test = dict(list(named.items())[train_count:])
    return class_names, train, test, streams
