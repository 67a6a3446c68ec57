"""Progress bars for long loops, on standard error, so that piped output stays clean."""


def track(iterable, description, total=None, enabled=True):
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
    if not enabled:
        yield from iterable
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(iterable, description=description, total=total)
