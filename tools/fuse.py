"""`keras-fvvae fuse`"""

from __future__ import annotations

import json
from typing import Any

import click
from keras_fvvae.tools.common.checks import require_files, require_runs
from keras_fvvae.tools.common.commands import Command
from keras_fvvae.tools.common.console import load_tensorflow_quietly, print_fusion, print_notes
from keras_fvvae.tools.common.options import json_option, scores_option
from keras_fvvae.tools.common.types import RUN


@click.command("fuse", cls=Command, short_help="Fusion of runs and other methods' scores, with its gain.")
@click.argument("runs", nargs=-1, required=True, type=RUN, metavar="RUN RUN...")
@scores_option("Another method's scores")
@click.option(
    "--features",
    multiple=True,
    type=click.Path(),
    help="Another method's vectors of training and test items: .csv (id, numbers) or .npy with .ids.txt. Repeatable.",
)
@click.option(
    "--weight",
    "weights",
    multiple=True,
    type=click.FloatRange(0),
    help="One per stream: runs, then --scores, then --features. Default: equal.",
)
@click.option("--cross-validate", is_flag=True, help="Find the weights by cross-validation on the training items.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the cross-validation.")
@click.option(
    "--fusion", default="late", show_default=True, type=click.Choice(["late", "kernel"]), help="What is added."
)
@click.option(
    "--normalize",
    default="none",
    show_default=True,
    type=click.Choice(["none", "l2"]),
    help="Scale each item's scores to unit length first.",
)
@click.option("--out", type=click.Path(), help="Write the fused scores to this .csv file.")
@json_option
def command(
    runs: tuple[str, ...],
    scores: tuple[str, ...],
    features: tuple[str, ...],
    weights: tuple[float, ...],
    cross_validate: bool,
    seed: int,
    fusion: str,
    normalize: str,
    out: str | None,
    as_json: bool,
) -> None:
    """Fuse RUNs on the same data, such as frames and optical flow, and measure the gain on their common test items.

    Late fusion is the weighted mean of the scores; kernel fusion trains on the weighted sum of the streams' kernels.
    """
    count = len(runs) + len(scores) + len(features)
    if count < 2:
        raise click.UsageError("Fusion needs at least two streams: finished RUNs, --scores or --features.")
    if len(set(runs)) < len(runs):
        raise click.UsageError("One run is named twice.")
    if weights and len(weights) != count:
        what = "runs" if count == len(runs) else "streams"
        raise click.UsageError(f"{count} {what} need {count} times --weight, or none.")
    if weights and cross_validate:
        raise click.UsageError("--weight and --cross-validate both say what the weights are: give one.")
    require_runs(runs)
    require_files(*scores, *features)
    load_tensorflow_quietly()
    from keras_fvvae.tasks.scores.fuse import fuse

    result = fuse(
        list(runs),
        "cross-validation" if cross_validate else list(weights) or None,
        scores=scores,
        features=features,
        method=fusion,
        normalize=normalize,
        seed=seed,
        out=out,
    )
    if as_json:
        click.echo(json.dumps(result))
        return
    print_fusion(result)
    _print_details(result)


def _print_details(result: dict[str, Any]) -> None:
    weights = ", ".join(f"{weight:.2f}" for weight in result["weights"].values())
    accuracy = result["training_accuracy"]
    found = "" if accuracy is None else f" (by cross-validation: {accuracy:.1%} of the training items)"
    click.echo(f"Weights: {weights}{found}")
    gain, test = result["comparison"]["accuracy"], result["comparison"]["mcnemar"]
    click.echo(
        f"95% interval of the gain: {100 * gain['low']:+.1f} to {100 * gain['high']:+.1f} points (paired bootstrap); "
        f"McNemar p = {test['p_value']:.3g}"
    )
    print_notes(result["notes"])
