"""`keras-fvvae demo`"""

from __future__ import annotations

import click
from keras_fvvae.tools.common.commands import Command
from keras_fvvae.tools.common.console import load_tensorflow_quietly, print_fusion, print_results
from keras_fvvae.tools.common.options import recipe_seed_option


@click.command("demo", cls=Command, short_help="The whole way on embedded data; ends in a report.")
@click.option("--out", default="runs/demo", show_default=True, type=click.Path(), help="Folder to write.")
@click.option("--steps", type=click.IntRange(1), help="Training steps instead of the recipe's.")
@recipe_seed_option
@click.option("--overwrite", is_flag=True, help="Start anew where the folder holds an earlier demo.")
def command(out: str, steps: int | None, seed: int | None, overwrite: bool) -> None:
    """Train FV-VAE on handwritten digits from scratch, encode, classify, compare with average pooling and FV-VAE minus,
    export a SavedModel, check it in a fresh process, and write a report. Then the same way for videos of moving digits:
    frames, optical flow and their late fusion."""
    load_tensorflow_quietly()
    from keras_fvvae.tasks.demo import demo

    result = demo(out, steps, seed, overwrite)
    print_results(result.results)
    click.echo(
        f"SavedModel: {result.saved_model} (scores in a fresh process without keras_fvvae differ by at most "
        f"{result.difference:.1e})\nReport: {result.report}\n"
    )
    print_fusion(result.videos.fusion)
    click.echo(f"Report: {result.videos.report}")
