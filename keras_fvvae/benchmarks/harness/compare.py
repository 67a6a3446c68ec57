"""Two records of the benchmark: which ratios rose by more than the noise."""

from __future__ import annotations

import dataclasses
import operator
import os
import statistics
from pathlib import Path
from typing import Any

from keras_fvvae.errors import DataError
from keras_fvvae.utils.files import reason
from keras_fvvae.utils.text import parse_json

# A change of fewer parts of a ratio is nobody's concern, however sure it is.
LEAST_CHANGE = 0.03
# Where there are no rounds to see the noise in (peaks of memory), what the targets of memory allow.
LEAST_CHANGE_OF_PEAKS = 0.05
_RECORD_KEYS, _ROW_KEYS = ("date", "versions", "machine", "groups"), ("group", "what")


@dataclasses.dataclass(frozen=True)
class Change:
    """One row of two records.

    Attributes:
        name: group, case and what was measured.
        old: ratio of the older record.
        new: ratio of the newer one.
        is_sure: whether the difference is more than noise.
    """

    name: str
    old: float
    new: float
    is_sure: bool

    @property
    def is_worse(self) -> bool:
        return self.is_sure and self.new > self.old


def read_record(path: str | os.PathLike) -> dict[str, Any]:
    """The record in a `results.json` of `keras-fvvae benchmark`.

    Raises:
        DataError: if it is none, or was made with `--quick`, at whose sizes ratios say nothing.
    """
    try:
        record = parse_json(Path(path).read_bytes())
        for part, keys in ((record, _RECORD_KEYS), *((row, _ROW_KEYS) for row in record["rows"])):
            operator.itemgetter(*keys)(part)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not a results.json of keras-fvvae benchmark.") from error
    if record.get("quick"):
        raise DataError(f"{path} was made with --quick: its ratios say nothing.")
    return record


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """The rows that two records have both, in the order of the newer one.

    A difference is more than noise where every round's ratio of one record is above every one of the other (of five
    rounds each this happens by chance once in 126 times) and the medians differ by 3 % at least; where there are no
    rounds, by 5 %.

    Args:
        old, new: records; rows that could not be measured, and references, whose ratio is 1, are passed over.

    Returns:
        List of `Change`.

    Example:
        >>> row = {"group": "encode", "case": "", "what": "ours", "against": "bare"}
        >>> old = {"rows": [{**row, "ratio": 1.1, "ratios": [1.0, 1.1, 1.2]}]}
        >>> new = {"rows": [{**row, "ratio": 1.4, "ratios": [1.3, 1.4, 1.5]}]}
        >>> [change.is_worse for change in changes(old, new)]
        [True]
    """
    before = {_key(row): row for row in old["rows"] if _is_measured(row)}
    found = []
    for row in filter(_is_measured, new["rows"]):
        if (other := before.get(_key(row))) is not None:
            name = ", ".join(filter(None, [row["group"], row["case"], row["what"]]))
            found.append(Change(name, other["ratio"], row["ratio"], _is_sure(other, row)))
    return found


def as_text(found: list[Change], old: dict[str, Any], new: dict[str, Any]) -> str:
    """What changed, a line each, worst first, and what to know of the two records."""
    lines = []
    for key in ("cpu", "cores"):
        if old["machine"].get(key) != new["machine"].get(key):
            lines.append(f"Other machine: {key} {old['machine'].get(key)}, now {new['machine'].get(key)}.")
    versions = (
        f"{name} {was} to {now}" for name, was in old["versions"].items() if (now := new["versions"].get(name)) != was
    )
    if told := ", ".join(versions):
        lines.append(f"Other versions: {told}.")
    sure = sorted((one for one in found if one.is_sure), key=lambda one: one.old / one.new)
    for one in sure:
        verb = "ROSE" if one.is_worse else "fell"
        lines.append(f"{verb} {one.old:.3f} -> {one.new:.3f}  {one.name}")
    worse = sum(one.is_worse for one in sure)
    lines.append(
        f"Of {len(found)} ratios, {worse} rose and {len(sure) - worse} fell by more than the noise since {old['date']}."
    )
    return "\n".join(lines)


def _key(row):
    return row["group"], row.get("case", ""), row["what"], row.get("against", "")


def _is_measured(row):
    return row.get("ratio") is not None and row.get("what") != row.get("against")


def _is_sure(old, new):
    ones, others = old.get("ratios"), new.get("ratios")
    if not ones or not others:
        return abs(new["ratio"] / old["ratio"] - 1) > LEAST_CHANGE_OF_PEAKS
    apart = min(ones) > max(others) or min(others) > max(ones)
    return apart and abs(statistics.median(others) / statistics.median(ones) - 1) >= LEAST_CHANGE
