"""`keras-fvvae fuse`"""

import json

import click
from keras_fvvae.tools.console import load_tensorflow_quietly, print_fusion


@click.command("fuse", short_help="Fusion of finished runs and other methods' scores, with its gain.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(), metavar="RUN RUN...")
@click.option(
    "--scores", multiple=True, type=click.Path(),
    help="Another method's scores: .csv (id and one column per class), .npy with .ids.txt and .classes.txt, or .json. "
    "Repeatable.",
)  # fmt: skip
@click.option(
    "--features", multiple=True, type=click.Path(),
    help="Another method's vectors of training and test items: .csv (id, numbers) or .npy with .ids.txt. Repeatable.",
)  # fmt: skip
@click.option(
    "--weight", "weights", multiple=True, type=click.FloatRange(0),
    help="One per stream: runs, then --scores, then --features. Default: equal.",
)  # fmt: skip
@click.option("--cross-validate", is_flag=True, help="Find the weights by cross-validation on the training items.")
@click.option(
    "--method", default="late", show_default=True, type=click.Choice(["late", "kernel"]), help="What is added."
)
@click.option(
    "--normalize", default="none", show_default=True, type=click.Choice(["none", "l2"]),
    help="Scale each item's scores to unit length first.",
)  # fmt: skip
@click.option("--out", type=click.Path(), help="Write the fused scores to this .csv file.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON instead of a table.")
def command(runs, scores, features, weights, cross_validate, method, normalize, out, as_json):
    """Fuse RUNs on the same data, such as frames and optical flow, and measure the gain on their common test items.

    Late fusion is the weighted mean of the scores; kernel fusion trains on the weighted sum of the streams' kernels.
    """
    count = len(runs) + len(scores) + len(features)
    if weights and len(weights) != count:
        what = "runs" if count == len(runs) else "streams"
        raise click.UsageError(f"{count} {what} need {count} times --weight, or none.")
    if weights and cross_validate:
        raise click.UsageError("--weight and --cross-validate both say what the weights are: give one.")
    load_tensorflow_quietly()
    from keras_fvvae.tasks.fuse import fuse

    result = fuse(
        list(runs),
        "cross-validation" if cross_validate else list(weights) or None,
        scores=scores,
        features=features,
        method=method,
        normalize=normalize,
        out=out,
    )
    if as_json:
        click.echo(json.dumps(result))
        return
    print_fusion(result)
    _print_details(result)


def _print_details(result):
    weights = ", ".join(f"{weight:.2f}" for weight in result["weights"].values())
    found = "" if result["training_accuracy"] is None else (
        f" (by cross-validation: {result['training_accuracy']:.1%} of the training items)"
    )  # fmt: skip
    click.echo(f"Weights: {weights}{found}")
    gain, test = result["comparison"]["accuracy"], result["comparison"]["mcnemar"]
    click.echo(
        f"95% interval of the gain: {100 * gain['low']:+.1f} to {100 * gain['high']:+.1f} points (paired bootstrap); "
        f"McNemar p = {test['p_value']:.3g}"
    )
    for note in result["notes"]:
        click.echo(f"Note: {note}", err=True)
