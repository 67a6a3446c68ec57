"""`keras-fvvae activitynet`"""

from __future__ import annotations

import json
from typing import Any

import click
from keras_fvvae.tools.common import evaluating
from keras_fvvae.tools.common.checks import require_files, require_runs
from keras_fvvae.tools.common.commands import Group
from keras_fvvae.tools.common.console import load_tensorflow_quietly
from keras_fvvae.tools.common.metrics_text import csv_text, interval_text
from keras_fvvae.tools.common.types import RUN

FORMATS = ("table", "json", "csv", "official")


@click.group("activitynet", cls=Group, short_help="ActivityNet's official format and evaluation.")
def command() -> None:
    """ActivityNet's official format of predictions, and the evaluation of its challenge."""


@command.command("predictions")
@click.argument("run", required=False, type=RUN)
@click.option("--scores", type=click.Path(), help="A file of scores instead of a RUN.")
@evaluating.out_option
def predictions(run: str | None, scores: str | None, out: str | None) -> None:
    """Write the scores of RUN's test items, or those of a file, as predictions in the official JSON format."""
    if (run is None) == (scores is None):
        raise click.UsageError("Predictions are made of one RUN or of one file of --scores.")
    require_runs([run] if run else [])
    require_files(scores)
    load_tensorflow_quietly()
    from keras_fvvae.tasks.scores.activitynet import activitynet_predictions

    evaluating.write_text(activitynet_predictions(run, scores), out)


@command.command("evaluate")
@click.argument("predictions", type=click.Path())
@click.argument("annotations", type=click.Path())
@click.option("--subset", default="validation", show_default=True, help="Subset of the annotations.")
@click.option("--blocked", type=click.Path(), help="Videos that are left out: a JSON list, or lines.")
@click.option("--top-k", default=3, show_default=True, type=click.IntRange(1), help="Labels of a video that count.")
@evaluating.interval_options()
@evaluating.output_options(FORMATS)
def evaluate(
    predictions: str, annotations: str, blocked: str | None, form: str, out: str | None, **settings: Any
) -> None:
    """Evaluate a file of PREDICTIONS in the official JSON format by the official ANNOTATIONS, as the challenge does."""
    require_files(predictions, annotations, blocked)
    load_tensorflow_quietly()
    from keras_fvvae.tasks.scores.activitynet import evaluate_activitynet

    result = evaluate_activitynet(predictions, annotations, blocked=blocked, **settings)
    evaluating.write_text(_text(result, form), out)


def _text(result: dict[str, Any], form: str) -> str:
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
        return csv_text(("metric", "class", "value", "low", "high"), rows)
    if form == "official":
        lines = ["[RESULTS] Performance on ActivityNet untrimmed video classification task."]
        return "\n".join([*lines, *(f"\t{name}: {result[key]['value']}" for key, name in names.items())])
    lines = [f"{name}: {interval_text(result[key])}" for key, name in names.items()]
    lines.append(
        f"{result['videos']:,} videos with {result['instances']:,} labels, {result['predictions']:,} predictions; "
        f"{result['not_predicted']:,} are not predicted, {result['not_annotated']:,} of the predicted not annotated"
    )
    low, high = result["tie_range"]
    if low != high:
        lines.append(f"Scores are equal: by their order mean average precision is {low:.1%} to {high:.1%}.")
    return "\n".join(lines)
