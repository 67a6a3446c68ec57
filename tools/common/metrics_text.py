"""The metrics of evaluate and evaluate-views as a table to read, as CSV or as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from keras_fvvae.tools.common.console import table_text

FORMATS = ("table", "json", "csv")
# Columns of the table: metric and heading.
_HEADINGS = {
    "accuracy": "accuracy",
    "mean_class_accuracy": "mean class accuracy",
    "mean_average_precision": "mAP",
    "calibration_error": "calibration error",
    "uncalibrated_error": "through a sigmoid",
}
_OF_CLASSES = ("class_accuracy", "average_precision")


def metrics_text(result: dict[str, Any], form: str, per_class: bool = False, width: int | None = None) -> str:
    """What `keras_fvvae.tasks.scores.evaluate.evaluate` found, as text.

    Args:
        result: its dictionary.
        form: one of `FORMATS`.
        per_class: whether tables of the classes follow; the other forms have them always.
        width: of tables, in characters; `None`: the terminal's.
    """
    if form == "json":
        return json.dumps(result)
    return _csv(result) if form == "csv" else _tables(result, per_class, width)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV, `None` as an empty cell; without the last line's end."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
    return text.getvalue().rstrip("\n")


def shots_text(results: list[dict[str, Any]], form: str) -> str:
    """What `keras_fvvae.tasks.scores.few_shots.evaluate_few_shots` found, as text in one of `FORMATS`."""
    if form == "json":
        return json.dumps(results)
    plain = ("source", "ways", "shots", "queries", "episodes", "items")
    found = [(each, name, value) for each in results for name, value in each.items() if isinstance(value, dict)]
    if form == "csv":
        rows = [(*(each[key] for key in plain), name, *value.values()) for each, name, value in found]
        return csv_text((*plain, "classifier", "value", "low", "high"), rows)
    lines = [("", "ways", "shots", "classifier", "accuracy")]
    for each, name, value in found:
        share = f"{value['value']:.1%} +- {100 * (value['high'] - value['value']):.1f}"
        lines.append((each["source"], str(each["ways"]), str(each["shots"]), name, share))
    notes = dict.fromkeys(f"Note: {each['source']}: {each['note']}." for each in results if each["note"])
    drawn = f"{results[0]['episodes']:,} episodes, {results[0]['queries']} items of each class to classify"
    return "\n".join([table_text(lines, right=(1, 2, 4)), drawn, *notes])


def interval_text(each: dict[str, float | None]) -> str:
    """A share with its interval, in percent.

    Example:
        >>> interval_text({"value": 0.5, "low": 0.25, "high": 0.75})
        '50.0% [25.0, 75.0]'
    """
    if each["low"] is None:
        return f"{each['value']:.1%}"
    return f"{each['value']:.1%} [{100 * each['low']:.1f}, {100 * each['high']:.1f}]"


def _tables(result: dict[str, Any], per_class: bool, width: int | None) -> str:
    tables = [_overall(result, width)]
    if per_class:
        tables += [_of_classes(each, width) for each in result["results"]]
    lines = [*tables, *map(_comparison, result["comparisons"])]
    notes = [(each["source"], note) for each in result["results"] for note in each["notes"]]
    notes += [("average", note) for note in (result["average"] or {}).get("notes", ())]
    return "\n".join([*lines, *(f"Note: {source}: {note}" for source, note in notes)])


def _overall(result: dict[str, Any], width: int | None) -> str:
    levels = [(each["source"], each) for each in result["results"]]
    levels += [(f"{each['source']} (views)", each["views"]) for each in result["results"] if "views" in each]
    metrics = _metrics([each for _, each in levels])
    rows = [("", "items", *map(_heading, metrics))]
    for name, each in levels:
        cells = [interval_text(each[metric]) if metric in each else "" for metric in metrics]
        rows.append((name, f"{each['items']:,}", *cells))
    if average := result["average"]:
        found = [average.get(metric) for metric in metrics]
        cells = [f"{each['mean']:.1%} +- {each['standard_deviation']:.1%}" if each else "" for each in found]
        rows.append((f"mean of {average['runs']} +- standard deviation", "", *cells))
    return table_text(rows, right=range(1, len(rows[0])), width=width)


def _of_classes(result: dict[str, Any], width: int | None) -> str:
    columns = [key for key in _OF_CLASSES if key in result]
    rows = [("class", *(key.replace("_", " ") for key in columns))]
    rows += [(name, *(interval_text(result[key][name]) for key in columns)) for name in result["average_precision"]]
    return table_text(rows, right=range(1, len(rows[0])), title=result["source"], width=width)


def _comparison(each: dict[str, Any]) -> str:
    accuracy, precision, test = each["accuracy"], each["mean_average_precision"], each["mcnemar"]
    return (
        f"{each['second']} against {each['first']} on {each['items']:,} common items: accuracy "
        f"{_difference(accuracy)}, mAP {_difference(precision)}; {test['only_second']} and {test['only_first']} "
        f"items are right in one alone, McNemar p = {test['p_value']:.3g}"
    )


def _csv(result: dict[str, Any]) -> str:
    rows = []
    for each in result["results"]:
        for level, part in (("items", each), ("views", each.get("views"))):
            if part is not None:
                head = (each["source"], level)
                rows += [(*head, name, "", *part[name].values()) for name in _metrics([part])]
                for key in _OF_CLASSES:
                    rows += [(*head, key, name, *value.values()) for name, value in part.get(key, {}).items()]
    for name, value in (result["average"] or {}).items():
        if isinstance(value, dict):
            rows.append(("mean", "items", name, "", value["mean"], "", ""))
            rows.append(("standard deviation", "items", name, "", value["standard_deviation"], "", ""))
    for each in result["comparisons"]:
        head = (f"{each['second']} - {each['first']}", "items")
        rows += [(*head, name, "", *each[name].values()) for name in ("accuracy", "mean_average_precision")]
        rows.append((*head, "mcnemar_p_value", "", each["mcnemar"]["p_value"], "", ""))
    return csv_text(("source", "level", "metric", "class", "value", "low", "high"), rows)


def _metrics(results: list[dict[str, Any]]) -> list[str]:
    """The overall metrics that any of the results has, in order."""
    first = [name for name in _HEADINGS if any(name in result for result in results)]
    others = (name for result in results for name in result if name.startswith(("top", "average_hit")))
    return list(dict.fromkeys([*first, *others]))


def _heading(metric: str) -> str:
    return _HEADINGS.get(metric, metric.replace("_accuracy", "").replace("_", " "))


def _difference(each: dict[str, float | None]) -> str:
    ends = "" if each["low"] is None else f" [{100 * each['low']:+.1f}, {100 * each['high']:+.1f}]"
    return f"{100 * each['value']:+.1f}{ends} points"
