"""`keras-fvvae evaluate`"""

from __future__ import annotations

from typing import Any

import click
from keras_fvvae.tools.common import evaluating
from keras_fvvae.tools.common.checks import require_files, require_runs
from keras_fvvae.tools.common.commands import Command, section
from keras_fvvae.tools.common.console import load_tensorflow_quietly
from keras_fvvae.tools.common.metrics_text import shots_text
from keras_fvvae.tools.common.options import scores_option
from keras_fvvae.tools.common.types import RUN

_score_options = section(
    "Scores of other methods",
    scores_option("A file of scores"),
    click.option("--labels", type=click.Path(), help="Their labels: .csv with `id,label`. Default: the first RUN's."),
    click.option("--views", is_flag=True, help="Their ids repeat, once per frame or crop: report both levels."),
)
_comparison_options = section(
    "Several runs",
    click.option("--average", is_flag=True, help="Add mean and standard deviation: they are splits of one data set."),
    click.option("--compare", is_flag=True, help="Compare each with the first: paired bootstrap, McNemar's test."),
)

_shot_options = section(
    "Few shots instead",
    click.option("--shots", multiple=True, type=click.IntRange(1), help="N-way K-shot episodes: K. Repeatable."),
    click.option("--vectors", multiple=True, type=click.Path(), help="Of what encode wrote, with labels. Repeatable."),
    click.option("--ways", default=5, show_default=True, type=click.IntRange(2), help="Classes of an episode."),
    click.option("--queries", default=15, show_default=True, type=click.IntRange(1), help="Items of each to classify."),
    click.option("--episodes", default=600, show_default=True, type=click.IntRange(1), help="How many are drawn."),
)


@click.command("evaluate", cls=Command, short_help="All metrics of runs or files of scores, with intervals.")
@click.argument("runs", nargs=-1, type=RUN, metavar="[RUN...]")
@evaluating.top_k_option
@_score_options
@evaluating.annotation_options
@_comparison_options
@_shot_options
@evaluating.interval_options(evaluating.stratified_option)
@evaluating.output_options(evaluating.FORMATS, evaluating.per_class_option)
def command(
    runs: tuple[str, ...],
    scores: tuple[str, ...],
    top_k: tuple[int, ...],
    form: str,
    per_class: bool,
    out: str | None,
    shots: tuple[int, ...],
    vectors: tuple[str, ...],
    ways: int,
    queries: int,
    episodes: int,
    **settings: Any,
) -> None:
    """Evaluate finished RUNs and files of scores on their test items.

    Intervals of shares are Wilson's, others percentiles of a seeded bootstrap over items. Of several labels per item
    one is enough.

    Of calibrated runs, the calibration error of their probabilities stands beside that of scores through a sigmoid.

    With --shots, the vectors of the RUNs' test items and of --vectors are evaluated instead, by episodes of a few items
    a class (nearest class mean and SVM; mean over the episodes with its interval of 95 %).

    evaluate-views adds the level of single frames and crops; activitynet has the official evaluation and format.
    """
    if shots or vectors:
        if not shots or not (runs or vectors) or scores:
            raise click.UsageError("Few shots need --shots, and a RUN or --vectors: no --scores.")
        require_runs(runs)
        require_files(*vectors)
        load_tensorflow_quietly()
        from keras_fvvae.tasks.scores.few_shots import evaluate_few_shots

        drawn = {"ways": ways, "queries": queries, "episodes": episodes, "seed": settings["seed"]}
        evaluating.write_text(shots_text(evaluate_few_shots(runs, vectors, shots=shots, **drawn), form), out)
        return
    if not runs and not scores:
        raise click.UsageError("There is nothing to evaluate: name a RUN, or a file of --scores.")
    if settings["labels"] and settings["annotations"]:
        raise click.UsageError("--labels and --annotations both say what is right: give one.")
    if (settings["labels"] or settings["views"]) and not scores:
        raise click.UsageError("--labels and --views say something of --scores: name such a file.")
    if (settings["average"] or settings["compare"]) and len(runs) + len(scores) < 2:
        raise click.UsageError("An average or a comparison needs at least two RUNs or files of --scores.")
    require_runs(runs)
    require_files(*scores, settings["labels"], settings["annotations"])
    load_tensorflow_quietly()
    from keras_fvvae.tasks.scores.evaluate import evaluate

    result = evaluate(runs, scores, top_k=list(top_k) or None, **settings)
    evaluating.write_metrics(result, form, per_class, out)
