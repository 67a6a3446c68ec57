"""ActivityNet's untrimmed classification: files of predictions, and their score as the official evaluation has it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.data.datasets.activitynet import identifier, read_annotations
from keras_fvvae.data.datasets.places import numbered_lines, read_json, read_text
from keras_fvvae.errors import DataError, unknown_name
from keras_fvvae.evaluation.average_precision import average_precision, rank_order
from keras_fvvae.evaluation.bootstrap import RESAMPLES, bootstrap_intervals
from keras_fvvae.evaluation.intervals import wilson_interval
from keras_fvvae.utils.files import write_atomically
from keras_fvvae.utils.text import normal_name, parse_json

VERSION = "VERSION 1.3"
OFFICIAL_TOP_K = 3

# By video, its `(label, score)` in the order of the file.
Predictions = dict[str, list[tuple[str, float]]]


def read_label_sets(annotations: str | os.PathLike, subset: str = "validation") -> dict[str, list[str]]:
    """Labels by video of a subset of ActivityNet.

    Args:
        annotations: an annotation file, in any of the forms of `keras_fvvae.data.load_activitynet`.
        subset: name of the subset.

    Returns:
        Dictionary from identifier (without `v_`) to the list of its labels, each once; videos without labels are left
        out, as in the official evaluation.

    Raises:
        DataError: if the file cannot be read, or no video of the subset has a label.
    """
    path = Path(annotations)
    entries, _ = read_annotations(path)
    labels = {identifier(name): list(durations) for name, part, durations in entries if part == subset and durations}
    if not labels:
        known = ", ".join(sorted({repr(part) for _, part, _ in entries}))
        raise DataError(f"No video of {path} is of the subset {subset!r} and has a label; its subsets are {known}.")
    return labels


def read_predictions(path: str | os.PathLike) -> Predictions:
    """Predictions in ActivityNet's JSON format, `{"version", "results": {video: [{"label", "score"}]}, ...}`.

    Returns:
        Dictionary from video to its list of `(label, score)`, in the order of the file.

    Raises:
        DataError: if the file is not of that format, names a video twice, or a score is NaN or infinite.
    """
    path = Path(path)
    content = read_json(path, finite=False, pairs=lambda pairs: _unique(pairs, path))
    fields = {"version", "results", "external_data"}
    if not isinstance(content, dict) or fields - content.keys() or not isinstance(content["results"], dict):
        raise DataError(
            f"{path} holds no predictions of ActivityNet: it must be a JSON object of `version`, `results` (an object "
            f"of videos) and `external_data`."
        )
    predictions: Predictions = {}
    for name, results in content["results"].items():
        video = normal_name(name)
        if video in predictions:
            raise DataError(f"{path} names the video {video!r} twice, also as {name!r}; each must be there once.")
        try:
            predictions[video] = [(str(result["label"]), float(result["score"])) for result in results]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f'{path}: the predictions of {video!r} must be a list of {{"label": TEXT, "score": NUMBER}}.'
            ) from error
        for label, score in predictions[video]:
            if not math.isfinite(score):
                raise DataError(f"{path}: the score of {label!r} for {video!r} is {score}; it must be finite.")
    return predictions


def write_predictions(
    path: str | os.PathLike,
    ids: Sequence[str],
    class_names: Sequence[str],
    scores: np.ndarray,
    external_data: dict[str, Any] | None = None,
    version: str = VERSION,
) -> None:
    """Writes scores in ActivityNet's JSON format, for its evaluation server or `evaluate_predictions`.

    Args:
        path: the `.json` file.
        ids: videos, one a row; an identifier's leading `v_` is left out, as officially.
        class_names: names of the columns.
        scores: `(n, classes)`; every class of a video is written, the best first.
        external_data: what the challenge wants to know, `{"used": bool, "details": text}`. Default: `used` with no
            details, since backbones are trained on ImageNet.
        version: of the data set.

    Raises:
        ValueError: for scores that are not finite or of another shape, or an id that is there twice.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "predictions.json")
        >>> write_predictions(path, ["v_QOlSCBRmfWY"], ["Ballet", "Surfing"], [[-1.0, 0.5]])
        >>> read_predictions(path)
        {'QOlSCBRmfWY': [('Surfing', 0.5), ('Ballet', -1.0)]}
    """
    write_atomically(
        Path(path),
        predictions_text(ids, class_names, scores, external_data, version).encode("utf-8", "backslashreplace"),
    )


def predictions_text(
    ids: Sequence[str],
    class_names: Sequence[str],
    scores: np.ndarray,
    external_data: dict[str, Any] | None = None,
    version: str = VERSION,
) -> str:
    """What `write_predictions` writes."""
    scores, videos = np.asarray(scores, "float64"), [identifier(name) for name in ids]
    if scores.shape != (len(videos), len(class_names)) or not np.isfinite(scores).all():
        raise ValueError(
            f"`scores` must be finite and of shape {(len(videos), len(class_names))}. Received: shape={scores.shape}"
        )
    if len(set(videos)) < len(videos):
        raise ValueError("`ids` must be unique.")
    results = {
        video: [{"label": class_names[i], "score": float(row[i])} for i in np.argsort(-row, kind="stable")]
        for video, row in zip(videos, scores, strict=True)
    }
    external_data = {"used": True, "details": ""} if external_data is None else external_data
    return json.dumps({"version": version, "results": results, "external_data": external_data}, ensure_ascii=False)


def read_blocked(path: str | os.PathLike) -> set[str]:
    """Identifiers of videos that are left out: a JSON list, as the evaluation server gives it, or one a line."""
    text = read_text(path)
    try:
        names = parse_json(text)
    except ValueError:
        names = [line for _, line in numbered_lines(path)]
    if not isinstance(names, list):
        raise DataError(f"{path} must be a JSON list of videos, or hold one a line.")
    return {identifier(str(name)) for name in names}


def evaluate_predictions(
    predictions: Predictions,
    label_sets: dict[str, list[str]],
    *,
    top_k: int = OFFICIAL_TOP_K,
    blocked: Collection[str] = (),
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Mean average precision, hit@k and average hit@k, by ActivityNet's official rules.

    The rules: classes are those of the annotated videos. A prediction is right if its video has the label; of two of
    the same video and label the second is wrong, and so is every one of a video that is not annotated. An annotated
    video without predictions is missed. Hit@k is 1 for a video if any of its labels is among its k highest predictions
    (the ceiling), average hit@k the share of its labels; both are means over the annotated videos. Of equal scores the
    last in the file comes first, see `rank_order`.

    Args:
        predictions: as from `read_predictions`.
        label_sets: as from `read_label_sets`.
        top_k: the k of hit@k; officially 3.
        blocked: identifiers that are left out of both, the official server's list of videos that have vanished.
        resamples, level, seed: of the percentile bootstrap over annotated videos; predictions for other videos stay.
            The interval of hit@k, a share of videos, is Wilson's.

    Returns:
        Dictionary of plain data: `videos` (annotated), `instances` (their labels), `predictions`; `not_annotated` and
        `not_predicted`: numbers of videos; `top_k`; `mean_average_precision`, `hit_at_k` and `average_hit_at_k`, each
        `value`, `low`, `high`; `tie_range`: the lowest and highest mean average precision that another order of equal
        scores could have given; `average_precision`: by class; `bootstrap`: its settings.

    Raises:
        DataError: for a label that no annotated video has, or if no video is both annotated and predicted.
        ValueError: if `top_k` is not positive.

    Example:
        >>> predictions = {"a": [("Ballet", 0.9), ("Surfing", 0.2)]}
        >>> result = evaluate_predictions(predictions, {"a": ["Ballet"], "b": ["Surfing"]})
        >>> result["mean_average_precision"]["value"], result["hit_at_k"]["value"]
        (0.5, 0.5)
    """
    if top_k < 1:
        raise ValueError(f"`top_k` must be positive. Received: top_k={top_k}")
    label_sets = {video: labels for video, labels in label_sets.items() if video not in blocked}
    predictions = _by_identifier(predictions)
    predictions = {video: results for video, results in predictions.items() if video not in blocked}
    if not label_sets.keys() & predictions.keys():
        raise DataError("No video is both annotated and predicted: are these the annotations that go with them?")
    videos = sorted(label_sets)  # the official evaluation sorts them for hit@k
    numbers = {video: number for number, video in enumerate(videos)}
    by_class: dict[str, list[tuple[str, float]]] = {label: [] for video in videos for label in label_sets[video]}
    for video, results in predictions.items():
        for label, score in results:
            if label not in by_class:
                raise DataError(f"Predictions of {video!r}: {unknown_name('label', label, by_class)}")
            by_class[label].append((video, score))
    ranked = {label: _ranked(label, pairs, label_sets, numbers) for label, pairs in by_class.items()}
    shares = np.array([_hit_share(label_sets[video], predictions.get(video, ()), top_k) for video in videos])

    def statistics(weights):
        # The last column is for predictions of videos that are not annotated: they are there in every resample.
        weights = np.concatenate([weights.T, np.ones((1, len(weights)))]).T
        average_hits = weights[:, :-1] @ shares[:, None] / weights[:, :-1].sum(axis=1)[:, None]
        precisions = np.stack([_precision(entry, weights) for entry in ranked.values()], axis=1)
        return np.concatenate([np.nanmean(precisions, axis=1)[:, None], average_hits, precisions], axis=1)

    ends = bootstrap_intervals(statistics, len(videos), resamples, level, seed)
    rows = [
        {"value": value, "low": None if math.isnan(low) else low, "high": None if math.isnan(high) else high}
        for value, low, high in zip(*(end.tolist() for end in ends), strict=True)
    ]
    hits = float(np.ceil(shares).mean())
    once = np.ones((1, len(videos) + 1))
    tie_range = [float(np.mean([_precision(_retied(e, best), once)[0] for e in ranked.values()])) for best in (0, 1)]
    return {
        "videos": len(videos),
        "instances": sum(map(len, label_sets.values())),
        "predictions": sum(map(len, predictions.values())),
        "not_annotated": len(predictions.keys() - label_sets.keys()),
        "not_predicted": len(label_sets.keys() - predictions.keys()),
        "top_k": top_k,
        "mean_average_precision": rows[0],
        "hit_at_k": dict(
            zip(("value", "low", "high"), (hits, *wilson_interval(hits, len(videos), level)), strict=True)
        ),
        "average_hit_at_k": rows[1],
        "tie_range": tie_range,
        "average_precision": dict(sorted(zip(ranked, rows[2:], strict=True))),
        "bootstrap": {"resamples": resamples, "level": level, "seed": seed, "stratified": False},
    }


def _unique(pairs, path):
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise DataError(f"{path} names {next(name for name in names if names.count(name) > 1)!r} twice.")
    return content


def _by_identifier(predictions):
    renamed = {identifier(video): results for video, results in predictions.items()}
    if len(renamed) < len(predictions):
        raise DataError("A video is predicted twice, with `v_` before its identifier and without.")
    return renamed


def _ranked(label, pairs, label_sets, numbers):
    """Of one class: scores, whether right, and the number of the video (that of no video: the last), best score first;
    then the numbers of the videos that have the label."""
    order = rank_order([score for _, score in pairs])
    relevant, seen = [], set()
    for video, _ in (pairs[i] for i in order):
        relevant.append(label in label_sets.get(video, ()) and video not in seen)
        seen.add(video)
    owners = np.array([numbers.get(pairs[i][0], len(numbers)) for i in order], int)
    scores = np.array([pairs[i][1] for i in order], "float64")
    positives = np.array([numbers[video] for video, labels in label_sets.items() if label in labels])
    return scores, np.array(relevant, bool), owners, positives


def _precision(entry, weights):
    scores, relevant, owners, positives = entry
    # They are in order already, and equal scores must stay as they are.
    ranks = -np.arange(len(scores), dtype="float64")
    return average_precision(ranks, relevant, weights.T[positives].sum(axis=0), weights.T[owners].T)


def _retied(entry, best):
    """The same with the right ones first among equal scores, or last."""
    scores, relevant, owners, positives = entry
    order = np.lexsort((relevant != best, -scores))
    return scores[order], relevant[order], owners[order], positives


def _hit_share(labels, results, top_k):
    top = {results[i][0] for i in rank_order([score for _, score in results])[:top_k]}
    return sum(label in top for label in labels) / len(labels)
