"""What the commands print, and a TensorFlow that prints nothing of its own."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from keras_fvvae.utils.quiet import quiet_stderr

if TYPE_CHECKING:
    from keras_fvvae.runs.results import RunResults

# TensorFlow's import takes 1.8 GB of address space, trainings of small models up to 5 GB: reserved, not used.
ADDRESS_SPACE = 6 << 30
# Blanks after a column.
GAP = 2
# Lines of each kind that are printed; files and --json have all.
SHOWN = 10


def load_tensorflow_quietly() -> None:
    """Imports TensorFlow without its start-up messages, which it prints from C++ to the file descriptor."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if warning := address_space_warning():
        say(warning)
    os.environ["KERAS_BACKEND"] = "tensorflow"  # the commands decode, train and export with it, whatever is set
    with quiet_stderr():
        import tensorflow  # noqa: F401


def address_space_warning() -> str:
    """A sentence where this process may not reserve what TensorFlow does; else empty."""
    try:
        import resource
    except ImportError:  # Windows
        return ""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY or limit >= ADDRESS_SPACE:
        return ""
    return (
        f"Warning: this shell allows {limit / 2**30:.1f} GiB of address space (`ulimit -v`), and TensorFlow reserves "
        f"up to {ADDRESS_SPACE >> 30}: it may end without a message; raise the limit."
    )


def say(text: str) -> None:
    """Prints what is not the result: progress, notes, what was left out."""
    click.echo(text, err=True)


def print_notes(notes: Iterable[str], err: bool = True) -> None:
    """Prints what a reader of the results should know, a line each; by default beside the results."""
    for note in notes:
        click.echo(f"Note: {note}", err=err)


def print_list(title: str, lines: Sequence[str], rest: str = "", err: bool = False) -> None:
    """Prints the first of many lines below their number and what they are.

    Args:
        title: what they are, after their number.
        lines: the lines; of none, nothing is printed.
        rest: where the others are found.
        err: whether to print them on the standard error.
    """
    if not lines:
        return
    click.echo(f"{len(lines):,} {title}:", err=err)
    more = [f"... and {len(lines) - SHOWN:,} more{rest}"] if len(lines) > SHOWN else []
    for line in [*lines[:SHOWN], *more]:
        click.echo(f"  {line}", err=err)


def print_table(rows: Sequence[Sequence[str]], right: Iterable[int] | None = None) -> None:
    """Prints rows of text no wider than the terminal, see `table_text`."""
    click.echo(table_text(rows, right))


def table_text(
    rows: Sequence[Sequence[str]], right: Iterable[int] | None = None, title: str = "", width: int | None = None
) -> str:
    """Rows of text as a table, the header first; what is too long goes on in the next line, never cut.

    Args:
        rows: of equal lengths; their text is no markup.
        right: columns that are aligned to the right. Default: all but the first and the last.
        title: line above the table.
        width: in characters. Default: the terminal's, or the variable COLUMNS; 80 where there is neither.

    Example:
        >>> print(table_text([("class", "items"), ("cat", "12")], right=[1]))
        class  items
        cat       12
    """
    from rich.console import Console
    from rich.table import Table

    right = range(1, len(rows[0]) - 1) if right is None else tuple(right)
    text = io.StringIO()
    console = Console(file=text, width=width, markup=False, emoji=False, highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
    widths = _column_widths(rows, console.width - GAP * len(rows[0]))
    for number, heading in enumerate(rows[0]):
        justify = "right" if number in right else "left"
        table.add_column(heading, justify=justify, overflow="fold", width=widths[number])
    for row in rows[1:]:
        table.add_row(*row)
    console.print(table)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    return "\n".join([*([title] if title else []), *(line for line in lines if line)])


def _column_widths(rows: Sequence[Sequence[str]], available: int) -> list[int]:
    """Widths of columns: what they hold in one line; of too many, the widest become less, words being kept whole.

    Words are broken only where all columns are as narrow as their longest word and the table is still too wide.
    """
    from rich.cells import cell_len

    columns = list(zip(*rows, strict=True))
    widths = [max(1, *(cell_len(cell) for cell in column)) for column in columns]
    words = [max([1, *(cell_len(word) for cell in column for word in cell.split())]) for column in columns]
    while sum(widths) > available and max(widths) > 1:
        above = [number for number, width in enumerate(widths) if width > words[number]]
        widths[max(above or range(len(widths)), key=widths.__getitem__)] -= 1
    return widths


def print_results(results: RunResults) -> None:
    """Prints the accuracies of a run beside each other, with their protocol."""
    from keras_fvvae.evaluation.intervals import accuracy_text

    rows = [("representation", "dimension", "accuracy (%)")]
    for name, metrics in results.metrics.items():
        rows.append((name, f"{metrics['dimension']:,}", accuracy_text(metrics)))
    if len(rows) > 1:
        print_table(rows, right=(1, 2))
    click.echo(results.protocol)


def print_fusion(result: dict[str, Any]) -> None:
    """Prints the accuracies of streams and of their late fusion, and the gain."""
    from keras_fvvae.evaluation.intervals import accuracy_text

    for name, metrics in [*result["streams"].items(), (f"{result.get('method', 'late')} fusion", result["fusion"])]:
        click.echo(f"{accuracy_text(metrics):>20} %  {name}")
    gain, error = (100 * result[key] for key in ("gain", "gain_standard_error"))
    click.echo(
        f"Gain over the best stream: {gain:+.1f} +- {error:.1f} points on {result['items']} test items "
        f"({result['left_out']} left out)"
    )
