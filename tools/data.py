"""`keras-fvvae data`"""

import json
import sys

import click
from keras_fvvae.tools.console import load_tensorflow_quietly, parse_settings

from keras_fvvae.recipes import DATASETS

# Lines of each kind that are printed; --json has all.
SHOWN = 10


@click.group("data", short_help="Check a data set; write the embedded videos.")
def command():
    """Data sets."""


@command.command("check")
@click.argument("data", type=click.Path())
@click.option("--dataset", default="auto", show_default=True, type=click.Choice(DATASETS), help="Kind of the data.")
@click.option(
    "--data-option", "dataset_options", multiple=True, callback=parse_settings, metavar="KEY=VALUE",
    help="Argument of the data set's loader, such as split=2. Repeatable.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(1), help="Threads. Default: a few more than cores.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON instead of a summary.")
def check(data, dataset, dataset_options, workers, as_json):
    """Read everything in DATA once and report what a training would meet: classes and splits, sizes, lengths,
    unreadable and truncated files, duplicates, missing files.

    The exit code is 1 if no file can be used.
    """
    load_tensorflow_quietly()
    from keras_fvvae.runs.datasets import open_dataset
    from keras_fvvae.tasks.check import check_collection

    report = check_collection(open_dataset(data, dataset, dataset_options), workers)
    click.echo(json.dumps(report, indent=2, ensure_ascii=False)) if as_json else _print(report)
    sys.exit(0 if report["usable"] else 1)


def _print(report):
    from rich.console import Console
    from rich.table import Table

    kind = report["kind"]
    click.echo(f"{report['usable']} of {report['items']} {kind}s can be used; {len(report['missing'])} are missing")
    table = Table(box=None, header_style="bold")
    for column, justify in (("class", "left"), ("train", "right"), ("test", "right")):
        table.add_column(column, justify=justify)
    for name, counts in report["classes"].items():
        table.add_row(name, str(counts["train"]), str(counts["test"]))
    Console(markup=False).print(table)
    sizes = ", ".join(f"{width}x{height} ({count})" for height, width, count in report["sizes"])
    click.echo(f"Width x height: {sizes or 'none'}")
    if report["frames"]:
        click.echo("Frames a video: {} to {}, median {}".format(*(report["frames"][i] for i in (0, 2, 1))))
    _print_part("cannot be used", [f"{name}: {reason}" for name, reason in report["unusable"].items()])
    _print_part("with a warning", [f"{name}: {reason}" for name, reason in report["warnings"].items()])
    _print_part("groups of duplicates", [_duplicate(group) for group in report["duplicates"]])
    _print_part("listed but missing", report["missing"])
    for note in report["notes"]:
        click.echo(f"Note: {note}")


def _print_part(title, lines):
    if lines:
        click.echo(f"{len(lines)} {title}:")
        more = [f"... and {len(lines) - SHOWN} more (--json lists all)"] if len(lines) > SHOWN else []
        for line in [*lines[:SHOWN], *more]:
            click.echo(f"  {line}")


def _duplicate(group):
    where = [what for what in ("splits", "classes") if group[f"across_{what}"]]
    return " = ".join(group["names"]) + (f" (across {' and '.join(where)})" if where else "")


@command.command("moving-digits")
@click.argument("out", type=click.Path())
@click.option("--train", "train_videos", default=20, show_default=True, type=click.IntRange(1), help="Per class.")
@click.option("--test", "test_videos", default=10, show_default=True, type=click.IntRange(1), help="Per class.")
@click.option("--frames", default=16, show_default=True, type=click.IntRange(2), help="Frames a video.")
@click.option("--size", default=64, show_default=True, type=click.IntRange(32), help="Side in pixels.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
def moving_digits(out, train_videos, test_videos, frames, size, seed):
    """Write the embedded videos to OUT: digits that move, turn, grow and shrink, as AVI and MP4 files."""
    load_tensorflow_quietly()
    from keras_fvvae.data.datasets.moving_digits import load_moving_digits

    collection = load_moving_digits(out, train_videos, test_videos, frames, size, seed)
    click.echo(f"{len(collection)} videos of {len(collection.class_names)} classes in {out}")
