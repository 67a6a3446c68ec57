"""`keras-fvvae evaluate`"""

import csv
import io
import json
from pathlib import Path

import click
from keras_fvvae.tools.console import load_tensorflow_quietly

from keras_fvvae.utils.files import write_atomically

# A table is never folded: the terminal or the file may be wider than it.
MAX_WIDTH = 1000
FORMATS = ("table", "json", "csv", "activitynet")
# Columns of the table: metric and heading.
_HEADINGS = {
    "accuracy": "accuracy",
    "mean_class_accuracy": "mean class accuracy",
    "mean_average_precision": "mAP",
}


@click.command("evaluate", short_help="All metrics of runs or files of scores, with intervals.")
@click.argument("runs", nargs=-1, type=click.Path(), metavar="[RUN...]")
@click.option(
    "--scores", multiple=True, type=click.Path(),
    help="A file of scores: .csv (id and one column per class), .npy with .ids.txt and .classes.txt, or .json. "
    "Repeatable.",
)  # fmt: skip
@click.option("--labels", type=click.Path(), help="Labels of --scores: .csv with `id,label`. Default: the first RUN's.")
@click.option(
    "--predictions", type=click.Path(), help="Predictions in ActivityNet's JSON format, evaluated officially."
)
@click.option("--annotations", type=click.Path(), help="Annotations of ActivityNet: several labels per video.")
@click.option("--subset", default="validation", show_default=True, help="Subset of the annotations.")
@click.option("--blocked", type=click.Path(), help="Videos that --predictions are not scored on: JSON list or lines.")
@click.option("--views", is_flag=True, help="Ids of --scores repeat, once per frame or crop: report both levels.")
@click.option(
    "--per-view", is_flag=True, help="Classify every frame or crop of the RUNs' test items by itself, too: both levels."
)
@click.option("--data", type=click.Path(), help="What the RUNs were trained on, for --per-view.")
@click.option("--cache", type=click.Path(), help="Folder of cached activations, for --per-view.")
@click.option("--average", is_flag=True, help="Add mean and standard deviation: the RUNs are splits of one data set.")
@click.option("--compare", is_flag=True, help="Compare every RUN with the first: paired bootstrap, McNemar's test.")
@click.option("--top-k", multiple=True, type=click.IntRange(1), help="Repeatable. Default: 3 and 5; officially 3.")
@click.option("--resamples", default=1000, show_default=True, type=click.IntRange(0), help="Of the bootstrap; 0: none.")
@click.option("--level", default=0.95, show_default=True, type=float, help="Of the intervals.")
@click.option("--seed", default=0, show_default=True, type=int, help="Of the bootstrap.")
@click.option("--stratified", is_flag=True, help="Draw items of each class separately in the bootstrap.")
@click.option("--per-class", is_flag=True, help="Add a table of the classes.")
@click.option(
    "--format", "form", default="table", show_default=True, type=click.Choice(FORMATS),
    help="activitynet: of a RUN its predictions in the official format; of --predictions the official lines.",
)  # fmt: skip
@click.option("--out", type=click.Path(), help="Write to this file instead.")
def command(
    runs, scores, labels, predictions, annotations, subset, blocked, views, per_view, data, cache, average, compare,
    top_k, resamples, level, seed, stratified, per_class, form, out,
):  # fmt: skip
    """Evaluate finished RUNs and files of scores on their test items.

    Intervals of shares are Wilson's, others percentiles of a seeded bootstrap over items. Of several labels per item
    one is enough.
    """
    load_tensorflow_quietly()
    from keras_fvvae.tasks import evaluate as task

    if predictions:
        if runs or scores:
            raise click.UsageError("--predictions are evaluated alone: leave out RUN and --scores.")
        if not annotations:
            raise click.UsageError("--predictions needs --annotations.")
        if len(top_k) > 1:
            raise click.UsageError("--predictions takes one --top-k.")
        options = {"top_k": top_k[0]} if top_k else {}
        result = task.evaluate_activitynet(
            predictions,
            annotations,
            subset=subset,
            blocked=blocked,
            resamples=resamples,
            level=level,
            seed=seed,
            **options,
        )
        text = _official(result, form)
    elif form == "activitynet":
        from keras_fvvae.evaluation.activitynet import predictions_text

        table = task.single_table(runs, scores)
        text = predictions_text(table.ids, table.class_names, table.values)
    else:
        result = task.evaluate(
            runs, scores, labels=labels, annotations=annotations, subset=subset, views=views, per_view=per_view,
            data=data, cache=cache, average=average, compare=compare, top_k=list(top_k) or None, resamples=resamples,
            level=level, seed=seed, stratified=stratified,
        )  # fmt: skip
        text = {"json": json.dumps, "csv": _csv}.get(form, lambda result: _table(result, per_class))(result)
    if out:
        write_atomically(Path(out), text.encode() + b"\n")
    else:
        click.echo(text)


def _official(result, form):
    if form == "json":
        return json.dumps(result)
    k = result["top_k"]
    names = {
        "mean_average_precision": "Mean Average Precision",
        "hit_at_k": f"Hit@{k}",
        "average_hit_at_k": f"Avg Hit@{k}",
    }
    if form == "csv":
        rows = [(names[key], "", *result[key].values()) for key in names]
        rows += [("average precision", name, *each.values()) for name, each in result["average_precision"].items()]
        return _csv_text(("metric", "class", "value", "low", "high"), rows)
    if form == "activitynet":
        lines = ["[RESULTS] Performance on ActivityNet untrimmed video classification task."]
        return "\n".join([*lines, *(f"\t{name}: {result[key]['value']}" for key, name in names.items())])
    lines = [f"{name}: {_interval(result[key])}" for key, name in names.items()]
    lines.append(
        f"{result['videos']:,} videos with {result['instances']:,} labels, {result['predictions']:,} predictions; "
        f"{result['not_predicted']:,} are not predicted, {result['not_annotated']:,} of the predicted not annotated"
    )
    low, high = result["tie_range"]
    if low != high:
        lines.append(f"Scores are equal: by their order mean average precision is {low:.1%} to {high:.1%}.")
    return "\n".join(lines)


def _table(result, per_class):
    from rich.console import Console
    from rich.table import Table

    rows = [(each["source"], "", each) for each in result["results"]]
    for each in result["results"]:
        if "views" in each:
            rows.append((each["source"], "views", each["views"]))
    metrics = _metrics([each for *_, each in rows])
    table = Table(box=None, header_style="bold")
    for heading in ("", "items", *(_heading(name) for name in metrics)):
        table.add_column(heading, justify="right" if heading else "left")
    for name, level, each in rows:
        cells = [_interval(each[metric]) if metric in each else "" for metric in metrics]
        table.add_row(f"{name} ({level})" if level else name, f"{each['items']:,}", *cells)
    if average := result["average"]:
        cells = [
            f"{average[name]['mean']:.1%} +- {average[name]['standard_deviation']:.1%}" if name in average else ""
            for name in metrics
        ]
        table.add_row(f"mean of {average['runs']} +- standard deviation", "", *cells)
    tables = [table, *(map(_class_table, result["results"]) if per_class else ())]
    text = io.StringIO()
    Console(file=text, width=MAX_WIDTH, markup=False, emoji=False).print(*tables)  # names are no markup
    lines = [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]
    for each in result["comparisons"]:
        accuracy, precision, test = each["accuracy"], each["mean_average_precision"], each["mcnemar"]
        lines.append(
            f"{each['second']} against {each['first']} on {each['items']:,} common items: accuracy "
            f"{_difference(accuracy)}, mAP {_difference(precision)}; {test['only_second']} and {test['only_first']} "
            f"items are right in one alone, McNemar p = {test['p_value']:.3g}"
        )
    notes = [(each["source"], note) for each in result["results"] for note in each["notes"]]
    notes += [("average", note) for note in (result["average"] or {}).get("notes", ())]
    return "\n".join([*lines, *(f"Note: {source}: {note}" for source, note in notes)])


def _class_table(result):
    from rich.table import Table

    table = Table(box=None, header_style="bold", title=result["source"], title_justify="left")
    columns = [key for key in ("class_accuracy", "average_precision") if key in result]
    for heading in ("class", *(key.replace("_", " ") for key in columns)):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for name in result["average_precision"]:
        table.add_row(name, *(_interval(result[key][name]) for key in columns))
    return table


def _csv(result):
    rows = []
    for each in result["results"]:
        for level, part in (("items", each), ("views", each.get("views"))):
            if part is None:
                continue
            head = (each["source"], level)
            rows += [(*head, name, "", *part[name].values()) for name in _metrics([part])]
            for key in ("class_accuracy", "average_precision"):
                rows += [(*head, key, name, *value.values()) for name, value in part.get(key, {}).items()]
    for name, value in (result["average"] or {}).items():
        if isinstance(value, dict):
            rows.append(("mean", "items", name, "", value["mean"], "", ""))
            rows.append(("standard deviation", "items", name, "", value["standard_deviation"], "", ""))
    for each in result["comparisons"]:
        head = (f"{each['second']} - {each['first']}", "items")
        rows += [(*head, name, "", *each[name].values()) for name in ("accuracy", "mean_average_precision")]
        rows.append((*head, "mcnemar_p_value", "", each["mcnemar"]["p_value"], "", ""))
    return _csv_text(("source", "level", "metric", "class", "value", "low", "high"), rows)


def _csv_text(header, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
    return text.getvalue().rstrip("\n")


def _metrics(results):
    """The overall metrics that any of the results has, in order."""
    first = [name for name in _HEADINGS if any(name in result for result in results)]
    others = (name for result in results for name in result if name.startswith(("top", "average_hit")))
    return list(dict.fromkeys([*first, *others]))


def _heading(metric):
    return _HEADINGS.get(metric, metric.replace("_accuracy", "").replace("_", " "))


def _interval(each):
    if each["low"] is None:
        return f"{each['value']:.1%}"
    return f"{each['value']:.1%} [{100 * each['low']:.1f}, {100 * each['high']:.1f}]"


def _difference(each):
    ends = "" if each["low"] is None else f" [{100 * each['low']:+.1f}, {100 * each['high']:+.1f}]"
    return f"{100 * each['value']:+.1f}{ends} points"
