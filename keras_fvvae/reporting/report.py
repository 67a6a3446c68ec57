"""An HTML report of one run, or of several beside each other."""

from __future__ import annotations

import base64
import dataclasses
import os
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

import keras_fvvae
from keras_fvvae.builders.views import recipe_views
from keras_fvvae.data import Collection
from keras_fvvae.data.collection import SPLITS, UNLABELLED
from keras_fvvae.data.pipeline import view_batches
from keras_fvvae.data.readers.flow import ZERO
from keras_fvvae.errors import RunError
from keras_fvvae.evaluation.calibration_error import reliability
from keras_fvvae.evaluation.intervals import accuracy_interval
from keras_fvvae.evaluation.learning_curve import is_affordable
from keras_fvvae.recipes.cards import shown_keys
from keras_fvvae.reporting import figures
from keras_fvvae.reporting.learning_figure import learning_picture
from keras_fvvae.reporting.names import shown
from keras_fvvae.reporting.reliability import reliability_diagram
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.training.vectors import row_slices
from keras_fvvae.utils.files import reason, write_atomically
from keras_fvvae.utils.text import normal_name

# Gives a matplotlib figure and its caption.
Drawing = Callable[[], tuple[Any, str]]
EXAMPLES = 32
# Characters of a class name that fit above an example image.
TITLE_WIDTH = 17
# Frames of an example video that are decoded, of which the middle one is shown: it may be damaged itself.
SHOWN_FRAMES = 3
# Test items whose nearest training items are shown, and how many of these.
QUERIES = 5
NEIGHBOURS = 6


def write_report(
    run_paths: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    collection: Collection,
    streams: Sequence[str] | None = None,
    fusion: dict[str, Any] | None = None,
) -> Path:
    """Writes a self-contained HTML file, and its figures as PNG and SVG in `figures/` beside it.

    Args:
        run_paths: finished runs on the same data; the first is the one in detail, the others are compared with it.
        out: the `.html` file.
        collection: the `Collection` they were trained on, for example images.
        streams: names of the runs where they are streams of one model, such as "RGB" and "optical flow".
        fusion: the fused results of the streams, from `keras_fvvae.tasks.scores.fuse`.

    Returns:
        Path of the report.

    Raises:
        RunError: if it cannot be written; the runs are finished all the same.
    """
    try:
        return _write(run_paths, Path(out), collection, streams, fusion)
    except OSError as error:
        raise RunError(f"The report {out} cannot be written: {reason(error)}. Repeat the call for it alone.") from error


def _write(run_paths, out, collection, streams, fusion):
    runs = [RunFolder.open(path) for path in run_paths]
    metrics, named = _named(runs, streams)
    results = {name: result for part in metrics[::-1] for name, result in part.items()}
    histories = {name: run.history for name, run in zip(named, runs, strict=True)}
    facts = runs[0].results
    pictures = {}
    if any(histories.values()):
        pictures["Loss curves"] = lambda: (
            figures.loss_curves(histories),
            "Thin: every step; bold: moving average.",
        )
    outcomes = {name: run.validation for name, run in zip(named, runs, strict=True) if run.validation}
    if outcomes:
        pictures["Validation"] = lambda: (
            figures.validation_curves(outcomes),
            "The step that is kept classifies the validation part best (circle); dotted: average pooling.",
        )
    if runs[0].class_names and is_affordable(runs[0].vectors().train_labels):
        pictures["Learning curve"] = lambda: learning_picture(runs[0], collection)
    if facts.own is not None:
        pictures |= _TestPictures(runs[0], collection).drawings()
    embedded, failed = _drawn(pictures, out.parent / "figures")
    template = (resources.files("keras_fvvae.reporting") / "templates" / "report.html").read_text(encoding="utf-8")
    html = (
        jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
        .from_string(template)
        .render(
            title=runs[0].recipe.name,
            description=runs[0].recipe.description,
            protocol=facts.protocol,
            results=results,
            fusion=fusion,
            figures=embedded,
            runs=[
                {"name": name, "settings": dataclasses.asdict(run.recipe)}
                for name, run in zip(histories, runs, strict=True)
            ],
            shown=shown_keys([run.recipe for run in runs]),
            kind=collection.kind,
            interval=_interval,
            skipped=facts.skipped,
            notes=[*facts.notes, *([runs[0].calibration_note] if runs[0].class_names else []), *failed],
            warnings=[run.results.warning for run in runs if run.results.warning],
            version=keras_fvvae.__version__,
        )
    )
    write_atomically(out, html.encode("utf-8", "backslashreplace"))
    return out


def _drawn(pictures, folder):
    """Draws pictures; one that cannot be drawn costs neither the others nor the report.

    Returns:
        Tuple of what the template shows of each, and of a sentence for each that is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    embedded, failed = [], []
    for title, draw in pictures.items():
        try:
            figure, caption = draw()
            content = figures.save(figure, folder / f"{title.lower().replace(' ', '_')}.png")
        except OSError:
            raise  # the disk is full, which the next one would find too
        except Exception as error:  # names and numbers are the user's, and drawing is matplotlib's and scikit-learn's
            why = (str(error).strip().splitlines() or [type(error).__name__])[0]
            failed.append(f"The figure {title!r} is missing, it cannot be drawn: {why.rstrip('.')}.")
            continue
        embedded.append({"title": title, "caption": caption, "data": base64.b64encode(content).decode()})
    return embedded, failed


def _interval(result):
    low, high = accuracy_interval(result)
    return f"{100 * low:.1f} to {100 * high:.1f}"


def _named(runs, streams):
    """What the metrics of several runs are called beside each other.

    Returns:
        Tuple of a dictionary of metrics by name for each run, and of the names of the runs' own representations.
    """
    own = [run.results.representation for run in runs]
    metrics, named = [], []
    for index, (run, name) in enumerate(zip(runs, own, strict=True)):
        results = run.results
        if streams is not None:
            names = {each: f"{each}, {streams[index]}" for each in results.metrics}
        else:
            twice = own.count(name) > 1  # several runs of one representation
            names = {name: f"{name}, {run.path.name}"} if twice else {}
        metrics.append({names.get(each, each): result for each, result in results.metrics.items()})
        named.append(names.get(name, name) if results.metrics else run.path.name)
    return metrics, named


class _TestPictures:
    """The pictures of a run's test items."""

    def __init__(self, run, collection):
        self.run, self.collection = run, collection
        self.kind, self.classes = collection.kind, run.class_names
        self.items, self.result = run.vectors(), run.results.own
        self.position = {normal_name(str(name)): index for index, name in enumerate(collection.names)}
        self.tested, self.scores = self.items.test.ids, self.items.test.values
        self.labels = collection.labels[[self.position[name] for name in self.tested]]
        self.predicted = self.scores.argmax(axis=1)
        self.correct = self.predicted == self.labels
        self.short = [shown(name, TITLE_WIDTH) for name in self.classes]

    def drawings(self) -> dict[str, Drawing]:
        calibrated = {"Reliability": self._reliability} if self.items.calibration is not None else {}
        return calibrated | {
            "Confusion matrix": lambda: (
                figures.confusion(self.result, self.classes),
                f"Counts on the test {self.kind}s; shade: share of the row.",
            ),
            "Class accuracy": lambda: (figures.class_bars(self.result), f"Of the test {self.kind}s."),
            "Embedding": self._embedding,
            "Examples": self._examples,
            "Retrieval": lambda: _retrieval(self.run, self.items, self.collection, self.position, self.short),
        }

    def _reliability(self):
        calibration = self.items.calibration
        errors = reliability(calibration.probabilities(self.scores), self.scores, self.correct)
        return (
            reliability_diagram(errors, calibration.method),
            f"Test {self.kind}s in bins of equal size, by the probability of their answer; bars: Wilson's 95 % "
            f"intervals; dashed: right as often as sure. Even a perfect calibration has an error of so few, by chance.",
        )

    def _embedding(self):
        vectors = self.items.values[self.items.first_test_row :]
        return (
            figures.embedding(vectors, self.labels, self.correct, self.classes, self.run.recipe.seed),
            f"t-SNE of the test {self.kind}s' vectors, by true class; crosses are classified wrongly.",
        )

    def _examples(self):
        correct, short = self.correct, self.short
        chosen = _examples(self.scores, correct)
        images = _middle_views(self.run, self.collection, [self.position[self.tested[i]] for i in chosen])
        wrong = ["" if correct[i] else f"\n(is {short[self.labels[i]]})" for i in chosen]
        titles = [short[self.predicted[i]] + text for i, text in zip(chosen, wrong, strict=True)]
        errors = int((~correct[chosen]).sum())
        first = f": the {errors} most confident errors first" if errors else ""
        caption = f"Test {self.kind}s with the predicted class{first}."
        if recipe_views(self.run.recipe).is_flow:
            caption += (
                " Optical flow: red is motion to the right, green downwards, blue its magnitude; contrast stretched."
            )
        return figures.examples(images, titles, correct[chosen]), caption


def _retrieval(run, items, collection, position, short):
    """Some test items, each followed by its nearest training items."""
    names, vectors = items.names, items.values
    labels = collection.labels[[position[name] for name in names]]
    splits = collection.splits[[position[name] for name in names]]
    trained, tested = (np.flatnonzero((splits == split) & (labels != UNLABELLED)) for split in SPLITS)
    queries = tested[np.linspace(0, len(tested) - 1, min(QUERIES, len(tested))).astype(int)]
    wanted = np.array(vectors[queries])
    blocks = row_slices(len(trained), vectors[:1].nbytes)
    cosines = np.concatenate([np.array(vectors[trained[rows]]) @ wanted.T for rows in blocks])  # of unit length
    nearest = trained[np.argsort(-cosines, axis=0)[:NEIGHBOURS]].T  # (queries, neighbours)
    grid = np.concatenate([queries[:, None], nearest], axis=1)
    images = _middle_views(run, collection, [position[names[i]] for i in grid.ravel()])
    right = (labels[grid] == labels[queries][:, None]).ravel()
    titles = [short[labels[i]] for i in grid.ravel()]
    share = np.mean(labels[nearest] == labels[queries][:, None])
    caption = (
        f"Test {collection.kind}s (first column), each with the training {collection.kind}s of the nearest vectors; "
        f"{share:.0%} of these are of the same class."
    )
    return figures.examples(images, titles, right, columns=grid.shape[1]), caption


def _middle_views(run, collection, indices):
    """Of a video the middle frame, of an image its centre, whatever the network saw."""
    views = recipe_views(run.recipe)
    modality = "flow" if views.is_flow else "rgb"
    views = dataclasses.replace(views, crops="center", modality=modality, frames=SHOWN_FRAMES, frame_step=None)
    images = [_middle(batch["views"].numpy(), views.size) for batch in view_batches(collection, indices, views)]
    return _stretched(images) if views.is_flow else images


def _stretched(flows):
    """Flow images with the largest motion of all at full contrast: most are far below the bound."""
    largest = max(np.abs(flow - ZERO).max() for flow in flows)
    return [ZERO + (flow - ZERO) * ((255 - ZERO) / max(largest, 1)) for flow in flows]


def _middle(frames, size):
    """The middle one of an item's frames; white where the file was removed since."""
    return frames[len(frames) // 2] if len(frames) else np.full((*size, 3), 255.0)


def _examples(scores, correct):
    """Positions of examples: up to half are errors, by confidence; the rest is spread evenly over the right ones."""
    ordered = np.sort(scores, axis=1)
    margin = ordered[:, -1] - ordered[:, -2]
    wrong = np.flatnonzero(~correct)
    wrong = wrong[np.argsort(-margin[wrong])][: EXAMPLES // 2]
    right = np.flatnonzero(correct)
    count = min(EXAMPLES - len(wrong), len(right))
    spread = right[np.linspace(0, len(right) - 1, count).astype(int)] if count else right[:0]
    return np.concatenate([wrong, spread])
