"""`keras-fvvae data`"""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from keras_fvvae.tools.common.commands import Group
from keras_fvvae.tools.common.console import load_tensorflow_quietly, print_list, print_notes, print_table
from keras_fvvae.tools.common.options import data_options, json_option, workers_option

from keras_fvvae.runs.requirements import require_data


@click.group("data", cls=Group, short_help="Check a data set; write the embedded videos.")
def command() -> None:
    """Data sets."""


@command.command("check")
@data_options(default="auto", classes=False)
@workers_option
@json_option
def check(data: str | None, dataset: str, dataset_options: dict[str, Any], workers: int | None, as_json: bool) -> None:
    """Read everything once and report what a training would meet: classes and splits, sizes, lengths, unreadable and
    truncated files, duplicates, missing files.

    The exit code is 1 if no file can be used.
    """
    require_data(data, dataset)
    load_tensorflow_quietly()
    from keras_fvvae.runs.datasets import open_dataset
    from keras_fvvae.tasks.check import check_collection

    report = check_collection(open_dataset(data, dataset, dataset_options), workers)
    click.echo(json.dumps(report, indent=2, ensure_ascii=False)) if as_json else _print(report)
    sys.exit(0 if report["usable"] else 1)


def _print(report: dict[str, Any]) -> None:
    kind, rest = report["kind"], " (--json lists all)"
    click.echo(f"{report['usable']} of {report['items']} {kind}s can be used; {len(report['missing'])} are missing")
    rows = [(name, str(counts["train"]), str(counts["test"])) for name, counts in report["classes"].items()]
    print_table([("class", "train", "test"), *rows], right=(1, 2))
    sizes = ", ".join(f"{width}x{height} ({count})" for height, width, count in report["sizes"])
    click.echo(f"Width x height: {sizes or 'none'}")
    if report["frames"]:
        click.echo("Frames a video: {} to {}, median {}".format(*(report["frames"][i] for i in (0, 2, 1))))
    print_list("cannot be used", [f"{name}: {reason}" for name, reason in report["unusable"].items()], rest)
    print_list("with a warning", [f"{name}: {reason}" for name, reason in report["warnings"].items()], rest)
    print_list("groups of duplicates", [_duplicate(group) for group in report["duplicates"]], rest)
    print_list("listed but missing", report["missing"], rest)
    print_notes(report["notes"], err=False)


def _duplicate(group: dict[str, Any]) -> str:
    where = [what for what in ("splits", "classes") if group[f"across_{what}"]]
    return " = ".join(group["names"]) + (f" (across {' and '.join(where)})" if where else "")


@command.command("moving-digits")
@click.option("--out", required=True, type=click.Path(), help="Folder to write.")
@click.option("--train", "train_videos", default=20, show_default=True, type=click.IntRange(1), help="Per class.")
@click.option("--test", "test_videos", default=10, show_default=True, type=click.IntRange(1), help="Per class.")
@click.option("--frames", default=16, show_default=True, type=click.IntRange(2), help="Frames a video.")
@click.option("--size", default=64, show_default=True, type=click.IntRange(32), help="Side in pixels.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of everything random.")
def moving_digits(out: str, train_videos: int, test_videos: int, frames: int, size: int, seed: int) -> None:
    """Write the embedded videos to OUT: digits that move, turn, grow and shrink, as AVI and MP4 files."""
    load_tensorflow_quietly()
    from keras_fvvae.data.datasets.moving_digits import load_moving_digits

    collection = load_moving_digits(out, train_videos, test_videos, frames, size, seed)
    click.echo(f"{len(collection)} videos of {len(collection.class_names)} classes in {out}")
