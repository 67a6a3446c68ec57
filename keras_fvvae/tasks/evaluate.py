"""All metrics of finished runs and of files of scores, with intervals; averages over splits; comparisons."""

import dataclasses
import itertools

import numpy as np

from keras_fvvae.data.datasets.places import read_text
from keras_fvvae.errors import DataError, RunError
from keras_fvvae.evaluation.activitynet import evaluate_predictions, read_blocked, read_label_sets, read_predictions
from keras_fvvae.evaluation.bootstrap import RESAMPLES
from keras_fvvae.evaluation.evaluate import compare_scores, evaluate_scores, evaluate_views
from keras_fvvae.evaluation.score_tables import ScoreTable, class_order, item_keys, read_scores
from keras_fvvae.tasks.streams import read_run
from keras_fvvae.tasks.view_scores import view_scores
from keras_fvvae.utils.text import TextError, csv_rows

# A split's overall results; those that all runs have are averaged.
_AVERAGED = ("accuracy", "mean_class_accuracy", "mean_average_precision")


@dataclasses.dataclass(eq=False)
class _Source:
    """Scores of items with labels, in the order of the scores."""

    name: str
    representation: str
    class_names: list
    items: list
    scores: np.ndarray
    labels: list
    notes: list
    owners: np.ndarray | None = None  # of the views that the scores are of; their items are `items`


def evaluate(
    run_paths=(),
    score_files=(),
    *,
    labels=None,
    annotations=None,
    subset="validation",
    views=False,
    per_view=False,
    data=None,
    cache=None,
    average=False,
    compare=False,
    top_k=None,
    resamples=RESAMPLES,
    level=0.95,
    seed=0,
    stratified=False,
):
    """Evaluates the test scores of finished runs, and scores from files.

    Items are matched with their labels by name (without video extensions where these stay unique), classes by name.

    Args:
        run_paths: finished runs.
        score_files: files of scores, see `keras_fvvae.evaluation.score_tables.read_scores`.
        labels: `.csv` file with the header `id,label`, the labels of the items of the score files. Default: the test
            labels of the first run.
        annotations: annotation file of ActivityNet: labels of all sources, several of a video where it has several.
        subset: of the annotations.
        views: whether an id may be in a score file several times, once for every view (frame, crop) of its item; both
            levels are then reported.
        per_view: whether to classify every view of the runs' test items by itself as well, see
            `keras_fvvae.tasks.view_scores.view_scores`.
        data, cache: what the runs were trained on, and their cached activations, for `per_view`.
        average: whether to add mean and standard deviation over the sources: the splits of one data set.
        compare: whether to compare every source with the first, on the items that both have.
        top_k, resamples, level, seed, stratified: see `keras_fvvae.evaluation.evaluate.evaluate_scores`.

    Returns:
        Dictionary: `results`: for every source what `evaluate_scores` gives (of its items; `views` holds the same at
        the level of views where the file has several, and for runs with `per_view`) with `source`, `representation`
        and `notes`; `average`: for every metric `mean`, `standard_deviation` (with n - 1) and `values`, or `None`;
        `comparisons`: what `compare_scores` gives, with `first` and `second`.

    Raises:
        RunError: for runs that cannot be read, or none and no scores.
        DataError: for files that cannot be used; if no scored item has a label; if sources that are to be compared
            have no items in common, other classes or other labels.
        ValueError: for settings that cannot be.
    """
    sources = _sources(run_paths, score_files, labels, annotations, subset, views)
    if (average or compare) and len(sources) < 2:
        raise RunError("An average or a comparison needs at least two runs or files of scores.")
    options = {"resamples": resamples, "level": level, "seed": seed, "stratified": stratified}
    results = [_evaluate(source, {"top_k": top_k, **options}) for source in sources]
    if per_view:
        for path, source, result in zip(run_paths, sources, results, strict=False):  # runs come first
            result["views"] = _view_level(source, view_scores(path, data, cache), {"top_k": top_k, **options})
    return {
        "results": results,
        "average": _average(sources, results) if average else None,
        "comparisons": [_compare(sources[0], source, options) for source in sources[1:]] if compare else [],
    }


def evaluate_activitynet(predictions, annotations, *, subset="validation", blocked=None, **options):
    """The official evaluation of a file of predictions in ActivityNet's format.

    Args:
        predictions: the `.json` file.
        annotations: the official annotations, or another form of them that `load_activitynet` reads.
        subset: of the annotations.
        blocked: file of videos that are left out, see `keras_fvvae.evaluation.activitynet.read_blocked`.
        **options: `top_k`, `resamples`, `level` and `seed` of
            `keras_fvvae.evaluation.activitynet.evaluate_predictions`.

    Returns:
        What `evaluate_predictions` returns.

    Raises:
        DataError: for files that cannot be used.
    """
    left_out = () if blocked is None else read_blocked(blocked)
    label_sets = read_label_sets(annotations, subset)
    return evaluate_predictions(read_predictions(predictions), label_sets, blocked=left_out, **options)


def single_table(run_paths=(), score_files=()):
    """The scores of one run or file, every item once, to be written in another format.

    Returns:
        A `ScoreTable`.

    Raises:
        RunError: if it is not exactly one.
    """
    if len(run_paths) + len(score_files) != 1:
        raise RunError("One file of predictions is made of one run or one file of scores.")
    return read_run(run_paths[0]).test if run_paths else read_scores(score_files[0])


def _sources(run_paths, score_files, labels, annotations, subset, views):
    if not run_paths and not score_files:
        raise RunError("There is nothing to evaluate: give a run or a file of scores.")
    if labels is not None and annotations is not None:
        raise ValueError("`labels` and `annotations` both say what is right: give one.")
    runs = [read_run(path) for path in run_paths]
    tables = [read_scores(path, views) for path in score_files]
    given = None
    if annotations is not None:
        given = read_label_sets(annotations, subset)
        given = {f"v_{name}": own for name, own in given.items()} | given  # scores may have either form
    sources = []
    for run in runs:
        names = [run.class_names[label] for label in run.test_labels]
        own = {name: [label] for name, label in zip(run.test.ids, names, strict=True)}
        source = _labelled(run.test, run.representation, own if given is None else given)
        tested = set(run.test_labels.tolist())
        if unseen := [run.class_names[label] for label in run.unseen if label in tested]:
            source.notes.append(f"{len(unseen)} classes have no training items, such as {unseen[0]!r}: always wrong.")
        sources.append(source)
    if tables:
        if given is None and labels is not None:
            given = _read_labels(labels)
        if given is None and runs:
            first = runs[0]
            given = {
                name: [first.class_names[label]] for name, label in zip(first.test.ids, first.test_labels, strict=True)
            }
        if given is None:
            raise DataError(f"{score_files[0]} has no labels to be compared with: give labels, annotations or a run.")
        sources += [_labelled(table, "scores", given) for table in tables]
    return sources


def _read_labels(path):
    """Labels by id of a `.csv` file with the columns `id` and `label`."""
    try:
        (_, header), *rows = [*csv_rows(read_text(path))] or [(1, [])]
    except TextError as error:
        raise DataError(f"{path} is not CSV: {error}.") from error
    if not {"id", "label"} <= set(header):
        raise DataError(f"The first line of {path} must name the columns `id` and `label`.")
    labels = {}
    for number, fields in rows:
        if not fields:
            continue
        row = dict(itertools.zip_longest(header, fields[: len(header)], fillvalue=""))
        if row["id"] in labels:
            raise DataError(f"{path} has the id {row['id']!r} more than once (line {number}).")
        labels[row["id"]] = [row["label"]]
    return labels


def _labelled(table, representation, labels):
    """The rows of a table whose items have labels, and what did not go together as notes."""
    keys, label_keys = item_keys([table.ids, list(labels)])
    by_key = dict(zip(label_keys, labels.values(), strict=True))
    numbers = {name: number for number, name in enumerate(table.class_names)}
    unknown = {label for key in set(keys) & by_key.keys() for label in by_key[key] if label not in numbers}
    known = {key: [numbers[label] for label in own if label in numbers] for key, own in by_key.items()}
    rows = [row for row, key in enumerate(keys) if known.get(key)]
    if not rows:
        raise DataError(
            f"No item of {table.name} has a label of its classes: the scores begin with {keys[0]!r}, the labels with "
            f"{next(iter(labels), None)!r}."
        )
    items = list(dict.fromkeys(keys[row] for row in rows))
    notes = []
    if left_out := len(set(keys)) - len(items):
        notes.append(f"{left_out} scored items have no label of these classes and are left out.")
    scored, listed = ({key.removeprefix("v_") for key in each} for each in (keys, by_key))
    if unscored := len(listed - scored):
        notes.append(f"{unscored} labelled items have no scores and are left out.")
    if unknown:
        notes.append(
            f"{len(unknown)} labels are no classes of the scores, such as {min(unknown)!r}; they are left out."
        )
    places = {item: place for place, item in enumerate(items)}
    owners = np.array([places[keys[row]] for row in rows])
    return _Source(
        table.name,
        representation,
        table.class_names,
        items,
        np.asarray(table.values[rows], "float64"),
        [known[item] for item in items],
        notes,
        owners if table.views else None,
    )


def _evaluate(source, options):
    head = {"source": source.name, "representation": source.representation}
    if source.owners is None:
        return {
            **head,
            **evaluate_scores(source.scores, source.labels, source.class_names, **options),
            "notes": source.notes,
        }
    levels = evaluate_views(source.scores, source.owners, source.labels, source.class_names, **options)
    return {**head, **levels["items"], "views": levels["views"], "notes": source.notes}


def _view_level(source, table, options):
    """Metrics of a run's views, whose items have the labels of the source."""
    labels = [[source.class_names[label] for label in own] for own in source.labels]
    views = _labelled(table, source.representation, dict(zip(source.items, labels, strict=True)))
    return evaluate_views(views.scores, views.owners, views.labels, views.class_names, **options)["views"]


def _item_table(source):
    """A source's scores by item: the mean over the views where it has any."""
    values = source.scores
    if source.owners is not None:
        values = np.zeros((len(source.items), values.shape[1]))
        np.add.at(values, source.owners, source.scores)
        values /= np.bincount(source.owners)[:, None]
    return ScoreTable(source.name, source.items, values, source.class_names)


def _average(sources, results):
    names = [name for name in results[0] if name in _AVERAGED or name.startswith(("top", "average_hit"))]
    summary = {}
    for name in names:
        if all(name in result for result in results):
            values = [result[name]["value"] for result in results]
            deviation = float(np.std(values, ddof=1))
            summary[name] = {"mean": float(np.mean(values)), "standard_deviation": deviation, "values": values}
    shared = len(set.intersection(*(set(source.items) for source in sources)))
    notes = [f"{shared} test items are in all of them: are they splits of one data set?"] if shared else []
    return {"runs": len(results), **summary, "notes": notes}


def _compare(first, second, options):
    one, other = _item_table(first), _item_table(second)
    keys = item_keys([one.ids, other.ids])
    one, other = (dataclasses.replace(table, ids=each) for table, each in zip((one, other), keys, strict=True))
    own = [
        {key: {source.class_names[label] for label in labels} for key, labels in zip(each, source.labels, strict=True)}
        for each, source in zip(keys, (first, second), strict=True)
    ]
    common = [item for item in one.ids if item in own[1]]
    if not common:
        raise DataError(f"{first.name} and {second.name} have no test items in common and cannot be compared.")
    if differing := [item for item in common if own[0][item] != own[1][item]]:
        raise DataError(f"{first.name} and {second.name} disagree about the labels of {len(differing)} items.")
    class_order(other, first.class_names)
    labels = [labels for item, labels in zip(one.ids, first.labels, strict=True) if item in own[1]]
    scores = [table.rows(common, first.class_names) for table in (one, other)]
    result = compare_scores(*scores, labels, first.class_names, **options)
    left_out = len({*one.ids, *other.ids}) - len(common)
    return {"first": first.name, "second": second.name, "left_out": left_out, **result}
