"""What a model says of many files, written as CSV or JSON lines while it comes."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from keras_fvvae.errors import DataError
from keras_fvvae.utils.files import reason, replacing

SUFFIXES = (".csv", ".jsonl")
_SINGULAR = {"labels": "label", "scores": "score", "probabilities": "probability"}


def require_suffix(path: str | os.PathLike) -> None:
    """Raises a `ValueError` unless a file is named as CSV or JSON lines."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(f"Answers are written to a file that ends in {' or '.join(SUFFIXES)}. Received: {path}")


def write_answers(results: Iterable[dict[str, Any]], path: str | os.PathLike) -> Iterator[dict[str, Any]]:
    """Writes results to a file as they come; it is there, whole, when the last one was taken.

    JSON lines hold a result a line as it is. Of CSV a row is a file: lists of a result, best first, become columns
    (`label`, `score`, `label_2`, `score_2`, ...), everything else a column of its name, `error` the last. Names of
    files that are no Unicode have their own bytes in CSV.

    Args:
        results: dictionaries with `file` and, of files that could be read, the same keys each; or `error`.
        path: of the file, `.csv` or `.jsonl`.

    Yields:
        The results.

    Raises:
        DataError: if the file cannot be written.
    """
    path = Path(path)
    require_suffix(path)
    write = _write_csv if path.suffix.lower() == ".csv" else _write_json
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            replacing(path) as partial,
            open(partial, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            yield from write(results, file)
    except OSError as error:
        raise DataError(f"The answers {path} cannot be written: {reason(error)}.") from error


def _write_json(results: Iterable[dict], file: TextIO) -> Iterator[dict]:
    for result in results:
        line = json.dumps(result, ensure_ascii=False)
        # A name that is no Unicode would make the file none either.
        file.write((line if _is_unicode(line) else json.dumps(result)) + "\n")
        yield result


def _write_csv(results: Iterable[dict], file: TextIO) -> Iterator[dict]:
    writer, columns = csv.writer(file, lineterminator="\n"), None
    waiting: list[dict] = []  # errors before the first answer, whose keys are the columns
    for result in results:
        if columns is None and "error" in result:
            waiting.append(result)
        else:
            if columns is None:
                columns = _columns(result)
                writer.writerow(columns)
                writer.writerows(_row(each, columns) for each in waiting)
                waiting = []
            writer.writerow(_row(result, columns))
        yield result
    if columns is None:
        columns = ["file", "error"]
        writer.writerow(columns)
        writer.writerows(_row(each, columns) for each in waiting)


def _columns(result: dict) -> list[str]:
    lists = [key for key, value in result.items() if isinstance(value, list)]
    ranks = range(max((len(result[key]) for key in lists), default=0))
    plain = [key for key in result if key not in (*lists, "file")]
    return ["file", *(_ranked(key, rank) for rank in ranks for key in lists), *plain, "error"]


def _row(result: dict, columns: list[str]) -> list[Any]:
    cells = {key: value for key, value in result.items() if not isinstance(value, list)}
    for key, values in result.items():
        if isinstance(values, list):
            cells |= {_ranked(key, rank): value for rank, value in enumerate(values)}
    return ["" if cells.get(column) is None else cells[column] for column in columns]


def _ranked(key: str, rank: int) -> str:
    """The column of a list's entry: `label`, `label_2`, ..."""
    name = _SINGULAR.get(key, key)
    return name if rank == 0 else f"{name}_{rank + 1}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
