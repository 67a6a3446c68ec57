"""`keras-fvvae demo`"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from keras_fvvae.tools.common.commands import Command
from keras_fvvae.tools.common.console import load_tensorflow_quietly, print_fusion, print_results
from keras_fvvae.tools.common.options import recipe_seed_option

from keras_fvvae.tasks.demos import PARTS

if TYPE_CHECKING:
    from keras_fvvae.tasks.demos.demo import DemoResult


@click.command("demo", cls=Command, short_help="The whole way on embedded data; ends in reports.")
@click.option("--out", default="runs/demo", show_default=True, type=click.Path(), help="Folder to write.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="Leave the other parts out. Repeatable.")
@click.option("--steps", type=click.IntRange(1), help="Training steps instead of the recipes'.")
@recipe_seed_option
@click.option("--overwrite", is_flag=True, help="Start anew where the folder holds an earlier demo.")
def command(out: str, only: tuple[str, ...], steps: int | None, seed: int | None, overwrite: bool) -> None:
    """Go the whole way three times: train FV-VAE, encode, classify, compare with average pooling, export a SavedModel,
    check it in a fresh process, and write a report. Textiles with small defects, which average pooling does not find
    (where the packages of the extras lite and textiles are installed); handwritten digits, end to end with their
    network; videos of moving digits, frames and optical flow with their late fusion (where the extra video is
    installed)."""
    load_tensorflow_quietly()
    from keras_fvvae.tasks.demos.demo import demo

    _print(demo(out, steps, seed, overwrite, only=only or PARTS))


def _print(result: DemoResult) -> None:
    if result.missing:
        click.echo(
            f"Textiles: left out for want of {' and '.join(result.missing)}. They come with pip install "
            f"'keras_fvvae[lite,textiles]'.\n"
        )
    if result.missing_for_videos:
        from keras_fvvae.utils.video_packages import INSTALL

        click.echo(f"Videos: left out for want of {' and '.join(result.missing_for_videos)}: {INSTALL}\n")
    if result.textiles is not None:
        from keras_fvvae.evaluation.intervals import accuracy_text

        print_results(result.textiles.results)
        click.echo(f"The mean of both methods' scores: {accuracy_text(result.textiles.fused)} %.\n")
        places = result.textiles.places
        click.echo(
            f"Heat maps: {result.textiles.heat_maps}\n"
            f"Of {places.images} defects pasted in known places {places.found:.0%} are found, the strongest point of "
            f"{places.pointed:.0%} of\nthe heat maps lies there, and {places.share:.0%} of what speaks for a defect, "
            f"on {places.area:.1%} of the area."
        )
        _print_model(result.textiles)
    if result.digits is not None:
        print_results(result.digits.results)
        _print_model(result.digits)
    if result.videos is not None:
        print_fusion(result.videos.fusion)
        click.echo(f"Report: {result.videos.report}")


def _print_model(part):
    click.echo(
        f"SavedModel: {part.saved_model} (scores in a fresh process without keras_fvvae differ by at most "
        f"{part.difference:.1e})\nReport: {part.report}\n"
    )
