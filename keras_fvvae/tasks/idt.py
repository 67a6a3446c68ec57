"""Improved dense trajectories of a data set of videos: vectors, and the scores of an SVM on them."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from keras_fvvae.data.collection import UNLABELLED, Collection
from keras_fvvae.data.reasons import reasons_csv
from keras_fvvae.errors import DataError
from keras_fvvae.evaluation.evaluate import plain_metrics
from keras_fvvae.evaluation.score_tables import scores_csv
from keras_fvvae.features import FeatureStore
from keras_fvvae.svm import OneVsRestSVM
from keras_fvvae.trajectories import TrajectorySettings, extract_trajectories
from keras_fvvae.trajectories.codebook import codebook_digest, fit_codebook, load_codebook
from keras_fvvae.trajectories.descriptors import LENGTH
from keras_fvvae.utils.cores import usable_cores
from keras_fvvae.utils.files import reason as reason_of
from keras_fvvae.utils.files import replacing, write_atomically, write_json
from keras_fvvae.utils.progress import progress_bar, track

# Changes when trajectories of the same settings are computed differently: old ones on disk are not used then.
VERSION = 1
# Components of the mixtures (Wang and Schmid, Section 4.2).
COMPONENTS = 256


def encode_trajectories(
    collection: Collection,
    out: str | os.PathLike,
    settings: TrajectorySettings | None = None,
    num_components: int = COMPONENTS,
    svm_c: float = 100.0,
    seed: int = 0,
    workers: int | None = None,
    verbose: int = 1,
) -> dict[str, Any]:
    """Improved dense trajectories of all videos, encoded as Fisher vectors; an SVM's scores of the test part.

        trajectories/   descriptors of every video in float16, at most 8.5 MB each; removable once vectors are there
        codebook.npz    PCA and mixtures, fitted to training videos
        encoded/        vectors as they are made
        vectors.npy     all vectors, float32; vectors.json names them: ids, labels, splits, class_names, trajectories;
                        with vectors.ids.txt, features for the fusion of kernels
        scores.csv      the test part: `id`, then one column per class, for late fusion
        metrics.json    accuracy and the protocol
        skipped.csv     videos without a vector or without trajectories, each with its reason
        damaged.csv     videos that are used as far as they decode

    Resumable at any point, and other settings can go to the same folder: what still holds is used again.

    A video that cannot be decoded has no vector: no stream can score it. One that decodes but has no trajectories (less
    than 16 frames, nothing moves) has the Fisher vector of nothing, zero: it is scored, by the SVM's intercepts, so
    that accuracy and fusion cover it; the SVM is not trained on it. Both are listed.

    Args:
        collection: a `Collection` of videos.
        out: folder to write.
        settings: `TrajectorySettings`.
        num_components: K of the mixtures. Default 256, the paper's.
        svm_c: of the SVM. Default 100, the paper's.
        seed: of the codebook.
        workers: threads, each with a video of its own. Default: one per core.
        verbose: 1 for progress bars.

    Returns:
        Dictionary: what `metrics.json` holds, and `skipped`: by name the reason.

    Raises:
        DataError: for images, if no video can be used, for too few trajectories, or if the folder cannot be written.

    Reference:
        Wang and Schmid, "Action Recognition with Improved Trajectories", ICCV 2013.
    """
    if collection.kind != "video":
        raise DataError("Trajectories need videos; this data set holds images.")
    settings = settings or TrajectorySettings()
    out = Path(out)
    stored = {"kind": "idt", "version": VERSION, **dataclasses.asdict(settings)}
    store = FeatureStore(out / "trajectories", stored)
    store.discard_damaged()
    # Once: a key changes when its file does.
    keys = [collection.key(index) for index in range(len(collection))]
    try:
        unreadable = _extract(collection, keys, store, settings, workers, verbose)
        usable = [index for index in range(len(collection)) if index not in unreadable]
        facts = {index: json.loads(store.note(keys[index])) for index in usable}
        empty = {index: fact["empty"] for index, fact in facts.items() if fact["empty"]}
        damage = {index: fact["damage"] for index, fact in facts.items() if fact["damage"]}
        write_atomically(out / "skipped.csv", reasons_csv(collection, unreadable | empty))
        write_atomically(out / "damaged.csv", reasons_csv(collection, damage))
        if not usable:
            raise DataError(f"None of the {len(collection)} videos can be used; the reasons are in {out}/skipped.csv.")
        chosen = collection.subset(usable)
        moving = np.array([index not in empty for index in usable])
        training = {keys[i] for i in usable if i not in empty and collection.splits[i] == "train"}
        codebook, digest = _codebook(store, sorted(training), stored, out, num_components, seed, verbose)
        vectors = _encode([keys[index] for index in usable], store, codebook, digest, out, verbose)
        counts = [facts[index]["total"] for index in usable]
        write_json(out / "vectors.json", _listing(chosen, counts))
        ids = "".join(f"{name}\n" for name in chosen.names)
        write_atomically(out / "vectors.ids.txt", ids.encode(errors="backslashreplace"))
        metrics = {"protocol": _protocol(chosen, settings, num_components, svm_c), "notes": list(collection.notes)}
        metrics |= {"skipped": len(unreadable), "empty": len(empty), "trajectories_per_video": float(np.mean(counts))}
        metrics |= _score(chosen, vectors, moving, svm_c, out, verbose)
        write_json(out / "metrics.json", metrics)
    except OSError as error:
        raise DataError(f"The folder {out} cannot be written: {reason_of(error)}. Repeat the call to go on.") from error
    skipped = {collection.names[index]: reason for index, reason in sorted((unreadable | empty).items())}
    return {**metrics, "skipped": skipped}


def _extract(collection, keys, store, settings, workers, verbose):
    """Computes what the store lacks; returns a dictionary from position to reason of videos that cannot be decoded."""
    todo = {}
    for index, key in enumerate(keys):
        if key not in store:
            todo.setdefault(key, index)  # one of those that are the same
    lock = threading.Lock()
    problems = {}

    def one(key, index):
        try:
            found = extract_trajectories(collection.sources[index], settings)
        except DataError as error:
            return key, str(error)
        except OSError as error:
            return key, f"cannot be opened: {reason_of(error)}"
        note = {"total": found.total, "empty": _why_empty(found), "damage": found.damage}
        with lock:  # here, not by the reader: no more is in memory than there are threads
            store.add(key, found.descriptors, json.dumps(note))
        return key, ""

    with (
        progress_bar("Trajectories", len(todo), enabled=bool(verbose)) as update,
        ThreadPoolExecutor(workers or usable_cores()) as pool,
    ):
        futures = [pool.submit(one, key, index) for key, index in todo.items()]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                key, problem = future.result()
                if problem:
                    problems[key] = problem
                update(done)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)  # the videos at work are finished, no other is begun
            raise
        finally:
            with lock:
                store.flush()
    return {index: problems[key] for index, key in enumerate(keys) if key in problems}


def _why_empty(found):
    if found.total:
        return ""
    if found.frames <= LENGTH:
        return f"it has {found.frames} frames; a trajectory takes {LENGTH + 1}: its vector is zero"
    return "nothing moves in it but the camera: its vector is zero"


def _codebook(store, training, stored, out, num_components, seed, verbose):
    """The codebook of the training videos, from disk where it is there, and its digest."""
    digest = codebook_digest(stored, training, num_components, seed)
    codebook = load_codebook(out / "codebook.npz", digest)
    if codebook is None:
        codebook = fit_codebook(store, training, num_components, seed, verbose)
        codebook.save(out / "codebook.npz", digest)
    return codebook, digest


def _encode(keys, store, codebook, digest, out, verbose):
    """Writes `vectors.npy` and returns it as a memory map."""
    encoded = FeatureStore(out / "encoded", {"codebook": digest}, "float32")
    encoded.discard_damaged()
    try:
        for key in track(dict.fromkeys(keys), "Fisher vectors", enabled=bool(verbose)):
            if key not in encoded:
                encoded.add(key, codebook.encode(store[key])[np.newaxis])
    finally:
        encoded.flush()
    path = out / "vectors.npy"
    with replacing(path) as partial:
        vectors = np.lib.format.open_memmap(partial, "w+", "float32", (len(keys), codebook.dimension))
        for row, key in enumerate(keys):
            vectors[row] = encoded[key][0]
        vectors.flush()
    return np.load(path, mmap_mode="r")


def _score(collection, vectors, moving, svm_c, out, verbose):
    """Fits the SVM, writes `scores.csv`, and returns the metrics."""
    (out / "scores.csv").unlink(missing_ok=True)  # of another call
    labels = collection.labels
    train = np.array([i for i in collection.indices("train") if labels[i] != UNLABELLED and moving[i]], int)
    test = collection.indices("test")
    if len(np.unique(labels[train])) < 2 or not len(test):
        return {"scores": "none: they need training videos of two classes and test videos"}
    svm = OneVsRestSVM(svm_c, verbose=verbose).fit(vectors[train], labels[train])
    kernel, bias = svm.dense_weights(len(collection.class_names))
    scores = np.asarray(vectors[test]) @ kernel + bias
    text = scores_csv([collection.names[index] for index in test], collection.class_names, scores)
    write_atomically(out / "scores.csv", text.encode(errors="backslashreplace"))
    labelled = labels[test] != UNLABELLED
    if not labelled.any():
        return {"scores": "scores.csv; test videos have no labels"}
    results = plain_metrics(scores[labelled], labels[test][labelled], collection.class_names)
    return {"scores": "scores.csv", "dimension": vectors.shape[1], **results}


def _listing(collection, counts):
    return {
        "ids": collection.names,
        "labels": collection.labels.tolist(),
        "splits": collection.splits.tolist(),
        "class_names": collection.class_names,
        "trajectories": counts,
    }


def _protocol(collection, settings, num_components, svm_c):
    train, test = (len(collection.indices(split)) for split in ("train", "test"))
    camera = "camera motion removed, no person detector" if settings.camera else "with the camera's motion"
    return (
        f"{train} training and {test} test videos of {len(collection.class_names)} classes; improved dense "
        f"trajectories (frames of at most {settings.longest_side} pixels, {settings.method} flow, {camera}, at most "
        f"{settings.most} a video), GMM Fisher vectors of {num_components} components, linear SVM, C = {svm_c:g}; one "
        f"score per video"
    )
