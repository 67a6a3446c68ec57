"""Options and output of the commands that evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from keras_fvvae.tools.common.commands import Decorator, section
from keras_fvvae.tools.common.metrics_text import FORMATS, metrics_text

from keras_fvvae.errors import DataError
from keras_fvvae.utils.files import reason, write_atomically
from keras_fvvae.utils.text import to_bytes

# Tables in a file are never folded.
FILE_WIDTH = 1000

annotation_options = section(
    "Labels",
    click.option("--annotations", type=click.Path(), help="Annotations of ActivityNet: several labels per video."),
    click.option("--subset", default="validation", show_default=True, help="Subset of the annotations."),
)
stratified_option = click.option("--stratified", is_flag=True, help="Draw items of each class separately.")
per_class_option = click.option("--per-class", is_flag=True, help="Add a table of the classes.")
out_option = click.option("--out", type=click.Path(), help="Write to this file instead.")
# Several; the official evaluation has one.
top_k_option = click.option("--top-k", multiple=True, type=click.IntRange(1), help="Repeatable. Default: 3 and 5.")


def interval_options(*further: Decorator) -> Decorator:
    """`--resamples`, `--level`, `--seed` and what else says how intervals are found."""
    return section(
        "Intervals",
        click.option("--resamples", default=1000, show_default=True, type=click.IntRange(0), help="0: no intervals."),
        click.option(
            "--level",
            default=0.95,
            show_default=True,
            type=click.FloatRange(0, 1, min_open=True, max_open=True),
            help="Share of the bootstrap that an interval covers.",
        ),
        click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the bootstrap."),
        *further,
    )


def output_options(forms: tuple[str, ...] = FORMATS, *further: Decorator) -> Decorator:
    """`--format`, `--out` and what else says how results are printed."""
    return section(
        "Output",
        click.option("--format", "form", default=forms[0], show_default=True, type=click.Choice(forms)),
        *further,
        out_option,
    )


def write_metrics(result: dict[str, Any], form: str, per_class: bool, out: str | None) -> None:
    """Prints metrics or writes them to a file, see `metrics_text`."""
    write_text(metrics_text(result, form, per_class, FILE_WIDTH if out else None), out)


def write_text(text: str, out: str | None) -> None:
    """Prints a text, or writes it to a file.

    Raises:
        DataError: if it cannot be written.
    """
    if not out:
        click.echo(text)
        return
    if Path(out).is_dir():
        raise DataError(f"The file {out} cannot be written: it is a folder.")
    try:
        write_atomically(Path(out), to_bytes(text) + b"\n")
    except OSError as error:
        raise DataError(f"The file {out} cannot be written: {reason(error)}.") from error
