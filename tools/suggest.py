"""`keras-fvvae suggest`"""

from __future__ import annotations

import click
from keras_fvvae.tools.common.checks import require_runs
from keras_fvvae.tools.common.commands import Command
from keras_fvvae.tools.common.console import load_tensorflow_quietly, print_list
from keras_fvvae.tools.common.types import RUN


@click.command("suggest", cls=Command, short_help="Which of many unlabelled files to label next.")
@click.argument("run", type=RUN)
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="UNLABELLED...")
@click.option("-n", "count", default=50, show_default=True, type=click.IntRange(1), help="Files to suggest.")
@click.option("--out", default="to_label.csv", show_default=True, type=click.Path(), help="List to write.")
def command(run: str, files: tuple[str, ...], count: int, out: str) -> None:
    """Write a list of those UNLABELLED files (folders, patterns, lists) that are most worth a label: the finished RUN
    is unsure of them (small difference between its two best classes), and they stand for many others that are unlike
    what it was trained on.

    Fill in the column `label`, then train with --add-labels LIST.
    """
    require_runs([run])
    load_tensorflow_quietly()
    from keras_fvvae.tasks.suggest import suggest, write_suggestions

    found = suggest(run, files, count)
    write_suggestions(found, out)
    print_list("cannot be used", [f"{name}: {why}" for name, why in found.failed.items()], err=True)
    passed = f" ({found.seen:,} were trained on and are passed over)" if found.seen else ""
    click.echo(f"{len(found.chosen):,} of {found.files:,} files{passed} are in {out}: fill in its column `label`.")
