"""An HTML report of one run, or of several beside each other."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

import keras_fvvae
from keras_fvvae.data import Collection
from keras_fvvae.errors import KerasFVVAEError, RunError
from keras_fvvae.evaluation.intervals import accuracy_interval
from keras_fvvae.evaluation.learning_curve import is_affordable
from keras_fvvae.reporting import figures
from keras_fvvae.reporting.class_figures import zoom
from keras_fvvae.reporting.learning_figure import learning_picture
from keras_fvvae.reporting.names import STYLE, shown, style
from keras_fvvae.reporting.provenance import origin_rows, setting_rows
from keras_fvvae.reporting.tested_items import Drawing, TestedItems
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.utils.files import reason, write_atomically

# Characters of the representations' names that fit above the narrowest figure.
SIGNATURE_WIDTH = 60
# Pixels of an inch on a page: figures of any size have letters of one size.
CSS_DPI = 96


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
    facts = runs[0].results
    embedded, failed = _drawn(_pictures(runs, named, collection), out.parent / "figures")
    settings, further = setting_rows([run.recipe for run in runs])
    template = (resources.files("keras_fvvae.reporting") / "templates" / "report.html").read_text(encoding="utf-8")
    html = (
        jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
        .from_string(template)
        .render(
            title=runs[0].recipe.name,
            description=runs[0].recipe.description,
            protocol=facts.protocol,
            results=_ranges(results, fusion),
            fusion=fusion,
            figures=embedded,
            names=named,
            origin=origin_rows(runs),
            settings=settings,
            further_settings=further,
            kind=collection.kind,
            skipped=facts.skipped,
            notes=[*facts.notes, *([runs[0].calibration_note] if runs[0].class_names else []), *failed],
            warnings=[run.results.warning for run in runs if run.results.warning],
            version=keras_fvvae.__version__,
        )
    )
    write_atomically(out, html.encode("utf-8", "backslashreplace"))
    return out


def _pictures(runs, named, collection):
    """By title of which representations a picture is, and what draws it: first the results, last the training."""
    pictures: dict[str, tuple[str, Drawing]] = {}
    first, everything = named[0], ", ".join(dict.fromkeys(named))
    if runs[0].results.own is not None:
        drawings = TestedItems(runs[0], collection).drawings()
        pictures |= {title: (first, draw) for title, draw in drawings.items()}
    if runs[0].class_names and is_affordable(runs[0].vectors().train_labels):
        pictures["Learning curve"] = (first, lambda: learning_picture(runs[0], collection))
    outcomes = {name: run.validation for name, run in zip(named, runs, strict=True) if run.validation}
    if outcomes:
        pictures["Validation"] = (
            ", ".join(outcomes),
            lambda: (
                figures.validation_curves(outcomes),
                "The step that is kept classifies the validation part best (circle); dotted: average pooling.",
            ),
        )
    histories = {name: run.history for name, run in zip(named, runs, strict=True)}
    if any(histories.values()):
        how = "Thin: every step; bold: moving average." if figures.are_smoothed(histories) else "A dot for every step."
        pictures["Loss curves"] = (everything, lambda: (figures.loss_curves(histories), how))
    return pictures


def _drawn(pictures, folder):
    """Draws pictures; one that cannot be drawn costs neither the others nor the report.

    Returns:
        Tuple of what the template shows of each, and of a sentence for each that is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    embedded, failed = [], []
    for title, (of, draw) in pictures.items():
        try:
            figure, caption = draw()
            _sign(figure, of)
            content = figures.save(figure, folder / f"{title.lower().replace(' ', '_')}.png")
        except OSError:
            raise  # the disk is full, which the next one would find too
        except KerasFVVAEError as error:  # nothing is wrong: there is no such picture of this run
            failed.append(f"{title}: not shown. {error}")
            continue
        except Exception as error:  # names and numbers are the user's, and drawing is matplotlib's and scikit-learn's
            why = (str(error).strip().splitlines() or [type(error).__name__])[0]
            failed.append(f"The figure {title!r} is missing, it cannot be drawn: {why.rstrip('.')}.")
            continue
        data = base64.b64encode(content).decode()
        width = round(int.from_bytes(content[16:20]) * CSS_DPI / STYLE["figure.dpi"])  # a PNG's width stands there
        embedded.append({"title": title, "of": of, "caption": caption, "data": data, "width": width})
    return embedded, failed


def _sign(figure, of):
    """Says in a figure which representation it shows: as a file it has no caption."""
    text = shown(of, SIGNATURE_WIDTH)
    with style([text]):
        figure.suptitle(text, x=0.01, ha="left", fontsize=8, color="#57606a")


def _ranges(results, fusion):
    """The rows of the table of accuracies, best first, with their places on one axis that is zoomed to them."""
    rows = list(results.items()) + ([("FV-VAE, late fusion", fusion["fusion"])] if fusion else [])
    rows.sort(key=lambda row: -row[1]["accuracy"])
    ends = [accuracy_interval(result) for _, result in rows]
    low, high = zoom([100 * end for pair in ends for end in pair]) if rows else (0.0, 100.0)

    def place(share):
        return 100 * (100 * share - low) / (high - low)

    table = [
        {
            "name": name,
            "dimension": f"{result['dimension']:,}" if "dimension" in result else "",
            "accuracy": f"{100 * result['accuracy']:.1f}",
            "interval": f"{100 * start:.1f} to {100 * end:.1f}",
            "mean_class_accuracy": f"{100 * result['mean_class_accuracy']:.1f}",
            "from": place(start),
            "to": place(end),
            "at": place(result["accuracy"]),
        }
        for (name, result), (start, end) in zip(rows, ends, strict=True)
    ]
    return {"rows": table, "low": f"{max(low, 0):.0f}", "high": f"{min(high, 100):.0f}"}


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
