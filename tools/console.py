"""What the commands share: a quiet TensorFlow, and options that are used more than once."""

import os
import sys

import click

from keras_fvvae.recipes import as_number
from keras_fvvae.utils.text import TextError, parse_yaml


def load_tensorflow_quietly():
    """Imports TensorFlow without its start-up messages, which it prints from C++ to the file descriptor."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # the commands decode, train and export with it, whatever is set
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
            import tensorflow  # noqa: F401
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def parse_settings(context, parameter, values):
    """Click callback: `key=value` settings, values read as YAML (`steps=100`, `spp_levels=[2, 1]`, `tap=null`)."""
    settings = {}
    for item in values:
        key, separator, value = item.partition("=")
        if not separator:
            raise click.BadParameter(f"{item!r} is not of the form key=value")
        try:
            settings[key.strip()] = as_number(parse_yaml(value))
        except TextError as error:
            raise click.BadParameter(f"the value of {key} is not valid YAML: {value}") from error
    return settings


def print_results(metrics):
    """Prints the accuracies of a run beside each other, with their protocol."""
    from rich.console import Console
    from rich.table import Table

    from keras_fvvae.evaluation.intervals import accuracy_text

    table = Table(box=None, header_style="bold")
    for column, justify in (("representation", "left"), ("dimension", "right"), ("accuracy (%)", "right")):
        table.add_column(column, justify=justify)
    for name, result in metrics.items():
        if isinstance(result, dict) and "accuracy" in result:
            table.add_row(name, f"{result['dimension']:,}", accuracy_text(result))
    console = Console()
    if table.row_count:
        console.print(table)
    console.print(metrics["protocol"], style="dim", soft_wrap=True)


def print_fusion(result):
    """Prints the accuracies of streams and of their late fusion, and the gain."""
    from keras_fvvae.evaluation.intervals import accuracy_text

    for name, metrics in [*result["streams"].items(), (f"{result.get('method', 'late')} fusion", result["fusion"])]:
        click.echo(f"{accuracy_text(metrics):>20} %  {name}")
    gain, error = (100 * result[key] for key in ("gain", "gain_standard_error"))
    click.echo(
        f"Gain over the best stream: {gain:+.1f} +- {error:.1f} points on {result['items']} test items "
        f"({result['left_out']} left out)"
    )


def parse_weights(context, parameter, values):
    """Click callback: weights of all backbones, or `BACKBONE=WEIGHTS` of each; `none` is random weights."""
    from keras_fvvae.backbones import BACKBONES

    chosen = {}
    for value in values:
        name, separator, weights = value.partition("=")
        if not separator or name not in BACKBONES:
            name, weights = None, value
        chosen[name] = None if weights.lower() == "none" else weights
    if set(chosen) <= {None}:
        return chosen.get(None, "imagenet")
    default = chosen.pop(None, "imagenet")
    return {**dict.fromkeys(BACKBONES, default), **chosen}


def finish_experiment(outcomes, out, title, notes=(), pictures=None):
    """Writes and prints the results of an experiment, and ends the command: with 1 if no row could be run."""
    from keras_fvvae.reporting.tables import table_rows, write_results

    page = write_results(outcomes, out, title, "keras-fvvae " + " ".join(sys.argv[1:]), notes, pictures)
    print_table(table_rows(outcomes))
    click.echo(f"Results: {page} (also results.csv and results.md)")
    sys.exit(0 if any(outcome.metrics for outcome in outcomes) else 1)


def print_table(rows):
    """Prints rows of text, the header first; all but the first and the last column to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for number, column in enumerate(rows[0]):
        table.add_column(column, justify="left" if number in (0, len(rows[0]) - 1) else "right")
    for row in rows[1:]:
        table.add_row(*row)
    Console().print(table)
