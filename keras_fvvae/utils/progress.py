"""Progress bars for long loops, on standard error, so that piped output stays clean."""

from __future__ import annotations

import contextlib
import datetime
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")
# Between two lines of a log: enough to see that it goes on, few enough to read.
SECONDS_PER_LINE = 60


def track(iterable: Iterable[Item], description: str, total: int | None = None, enabled: bool = True) -> Iterator[Item]:
    """Iterates with a progress bar.

    Args:
        iterable: what to iterate over.
        description: what is being done, in a few words.
        total: number of items where `len(iterable)` is not known.
        enabled: `False` iterates silently.

    Example:
        >>> list(track([1, 2], "Counting", enabled=False))
        [1, 2]
    """
    if total is None and hasattr(iterable, "__len__"):
        sized: Any = iterable
        total = len(sized)
    with progress_bar(description, total, enabled=enabled) as update:
        for done, item in enumerate(iterable, start=1):
            yield item
            update(done)


@contextlib.contextmanager
def progress_bar(
    description: str, total: int | None, done: int = 0, enabled: bool = True
) -> Iterator[Callable[..., None]]:
    """A progress bar that is told how far it is: yields a function of the items done and a note.

    Where standard error is no terminal, such as a log file, it is a line a minute and one at the end.

    Example:
        >>> with progress_bar("Training", total=2, enabled=False) as update:
        ...     update(1, "loss 0.5")
    """
    if not enabled:
        yield lambda done, note="": None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not (console.is_terminal or console.is_jupyter):
        with _lines(description, total, done) as update:
            yield update
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(description, total=total, completed=done, note="")
        yield lambda done, note="": progress.update(task, completed=done, note=note)


@contextlib.contextmanager
def _lines(description: str, total: int | None, done: int) -> Iterator[Callable[..., None]]:
    start = last = time.monotonic()
    state = done, ""

    def write():
        of_all = str(state[0]) if total is None else f"{state[0]}/{total}"
        elapsed = datetime.timedelta(seconds=round(time.monotonic() - start))
        print(f"{description} {of_all}, {elapsed} {state[1]}".rstrip(), file=sys.stderr, flush=True)

    def update(done, note=""):
        nonlocal state, last
        state = done, note
        if time.monotonic() - last >= SECONDS_PER_LINE:
            last = time.monotonic()
            write()

    try:
        yield update
    finally:
        write()
