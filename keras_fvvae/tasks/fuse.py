"""Late fusion of finished runs, with its gain."""

from pathlib import Path

import numpy as np

from keras_fvvae.data.places import stem_key
from keras_fvvae.errors import RunError
from keras_fvvae.fusion import late_fusion
from keras_fvvae.metrics import classification_metrics
from keras_fvvae.tasks.run_folder import RunFolder


def fuse(run_paths, weights=None):
    """Fuses the test scores of runs on the same data, for example of frames and of optical flow.

    Args:
        run_paths: two or more finished runs. Test items that one of them could not use are left out of all.
        weights: one number a run, see `late_fusion`.

    Returns:
        Dictionary: `items`: fused test items; `left_out`; `streams`: for every run, by its folder, the results of
        `classification_metrics` on them; `fusion`: those of the fused scores; `gain`: of accuracy over the best
        stream; `gain_standard_error`: of that difference, from the paired right and wrong answers.

    Raises:
        RunError: for fewer than two runs, runs without test scores, of different classes, or without common items.
    """
    if len(run_paths) < 2:
        raise RunError("Fusion needs at least two finished runs.")
    if len({Path(path).resolve() for path in run_paths}) < len(run_paths):
        raise RunError("One run is named twice.")
    streams = {str(path): _test_part(RunFolder.open(path)) for path in run_paths}
    classes = [part["class_names"] for part in streams.values()]
    if any(names != classes[0] for names in classes):
        raise RunError(f"The runs {', '.join(streams)} were trained on different classes and cannot be fused.")
    common = [name for name in next(iter(streams.values()))["rows"] if all(name in s["rows"] for s in streams.values())]
    if not common:
        raise RunError(f"The runs {', '.join(streams)} have no test items in common.")
    labels, scores = [], []
    for part in streams.values():
        rows = [part["rows"][name] for name in common]
        labels.append(part["labels"][rows])
        scores.append(part["scores"][rows])
    if any(not np.array_equal(labels[0], other) for other in labels):
        raise RunError(f"The runs {', '.join(streams)} disagree about the labels of their test items.")
    fused = late_fusion(scores, weights)
    right = [one.argmax(axis=1) == labels[0] for one in (*scores, fused)]
    best = max(right[:-1], key=np.mean)
    difference = right[-1].astype(float) - best
    return {
        "items": len(common),
        "left_out": len(set().union(*(part["rows"] for part in streams.values()))) - len(common),
        "streams": {
            path: classification_metrics(one, labels[0], classes[0]) for path, one in zip(streams, scores, strict=True)
        },
        "fusion": classification_metrics(fused, labels[0], classes[0]),
        "gain": float(difference.mean()),
        "gain_standard_error": float(difference.std() / np.sqrt(len(difference))),
    }


def _test_part(run):
    metrics, items = run.read_json("metrics.json"), run.read_json("vectors.json")
    results = [value for name, value in metrics.items() if name.startswith("FV-VAE")]
    if not results:
        raise RunError(f"The run {run.path} has no test scores: nothing was held out for testing.")
    scores = np.asarray(results[0]["scores"])
    names, labels = (items[key][-len(scores) :] for key in ("names", "labels"))  # after the training part
    # A video file and the folder of its flow are the same item.
    stems = [stem_key(name) for name in names]
    keys = stems if len(set(stems)) == len(stems) else names
    return {
        "class_names": run.read_json("labels.json")["class_names"],
        "rows": {key: row for row, key in enumerate(keys)},
        "labels": np.asarray(labels),
        "scores": scores,
    }
