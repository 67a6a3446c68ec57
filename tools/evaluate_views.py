"""`keras-fvvae evaluate-views`"""

from __future__ import annotations

from typing import Any

import click
from keras_fvvae.tools.common import evaluating
from keras_fvvae.tools.common.checks import require_files, require_runs
from keras_fvvae.tools.common.commands import Command, section
from keras_fvvae.tools.common.console import load_tensorflow_quietly
from keras_fvvae.tools.common.options import cache_option, data_option
from keras_fvvae.tools.common.types import RUN

from keras_fvvae.runs.requirements import require_data

_data_options = section(
    "Data",
    click.option("--data", type=click.Path(), help="What the RUNs were trained on, unless their recipe brings it."),
    data_option,
    cache_option,
)


@click.command("evaluate-views", cls=Command, short_help="The same for single frames and crops of the test items.")
@click.argument("runs", nargs=-1, required=True, type=RUN, metavar="RUN...")
@evaluating.top_k_option
@_data_options
@evaluating.annotation_options
@evaluating.interval_options(evaluating.stratified_option)
@evaluating.output_options(evaluating.FORMATS, evaluating.per_class_option)
def command(
    runs: tuple[str, ...],
    data: str | None,
    top_k: tuple[int, ...],
    form: str,
    per_class: bool,
    out: str | None,
    **settings: Any,
) -> None:
    """Evaluate finished RUNs on their test items, and classify every frame or crop of these by itself as well.

    An item's score is that of the mean of its frames; how much that mean gains over single frames is seen here.
    """
    require_runs(runs)
    require_files(settings["annotations"])
    if data:
        require_data(data)
    load_tensorflow_quietly()
    from keras_fvvae.tasks.scores.evaluate_views import evaluate_run_views

    result = evaluate_run_views(runs, data=data, top_k=list(top_k) or None, **settings)
    evaluating.write_metrics(result, form, per_class, out)
