"""The whole benchmark: every group in a process of its own, the results on disk after each."""

import datetime
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keras_fvvae.benchmarks.harness.children import call_in_child
from keras_fvvae.benchmarks.harness.groups import GROUPS, ROUNDS
from keras_fvvae.benchmarks.harness.machine import describe_machine, describe_versions, load
from keras_fvvae.benchmarks.harness.report import as_markdown
from keras_fvvae.benchmarks.harness.rounds import absent_row
from keras_fvvae.errors import DataError, RunError, unknown_name
from keras_fvvae.utils.files import reason, write_atomically

# A peak varies from process to process by a few MB, at times by the 64 MB of a buffer; and a process takes long.
MEMORY_ROUNDS = 3


def run_benchmark(
    out: str | Path,
    only: Sequence[str] | None = None,
    quick: bool = False,
    rounds: int = ROUNDS,
    data: str | Path | None = None,
    command: str = "",
    say: Callable[[str], None] = lambda text: None,
) -> dict:
    """Measures groups one after the other and writes `results.json` and `results.md` into a folder.

    A group that fails is a row with the reason, and its output is in `<group>.log`; the others go on.

    Args:
        out: the folder; results of an earlier call are replaced.
        only: names of `GROUPS`; default: all, in their order.
        quick: small sizes, to see that everything works.
        rounds: how often everything is timed, besides once to warm up.
        data: folder of `.jpg` files to measure with; default: images are made.
        command: what was called, for the reader to repeat.
        say: called with a line of text before and after every group.

    Returns:
        The record that `results.json` holds: `command`, `date`, `quick`, `rounds`, `data`, `machine`, `versions`,
        `load_before`, `load_after`; `groups`, a dictionary from name to its sizes, seconds, peak memory and load;
        `rows`, see `rounds.row`, each with its `group`. Rows with a `reason` could not be measured.

    Raises:
        RunError: for an unknown group, or if the folder cannot be written.
        DataError: if the data folder does not exist.
    """
    names = _chosen(only)
    if data is not None and not Path(data).is_dir():
        raise DataError(f"The data folder {data} does not exist.")
    out, before = Path(out), load()
    record: dict[str, Any] = {
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "rounds": rounds,
        "data": None if data is None else str(data),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "load_before": before,
        "load_after": before,
        "groups": {},
        "rows": [],
    }
    _write(record, out)
    for name in names:
        say(f"{name}: {GROUPS[name].title} ...")
        rows = _measure(name, record, out)
        record["load_after"] = load()
        _write(record, out)
        info = record["groups"][name]
        failed = [row for row in rows if "reason" in row]
        say(f"{name}: {len(rows) - len(failed)} rows in {info['seconds']:.0f} s{_reasons(failed)}")
    return record


def _chosen(only):
    if only is None:
        return list(GROUPS)
    for name in only:
        if name not in GROUPS:
            raise RunError(unknown_name("group", name, GROUPS))
    return [name for name in GROUPS if name in only]


def _measure(name, record, out):
    group, before = GROUPS[name], load()
    sizes = group.quick if record["quick"] else group.full
    arguments = {"rounds": record["rounds"], **sizes}
    if group.takes_data:
        arguments["data"] = record["data"]
    if name == "memory":
        arguments["rounds"] = MEMORY_ROUNDS
        arguments["peaks"] = {other: info["peak_mb"] for other, info in record["groups"].items() if info["peak_mb"]}
    outcome = call_in_child(f"keras_fvvae.benchmarks.suites.{name}:measure", arguments, out / f"{name}.log")
    rows = [absent_row(name, f"failed: {outcome.reason}; see {name}.log")] if outcome.reason else outcome.value
    if record["quick"]:  # at small sizes fixed costs prevail
        rows = [{**row, "at_most": None} for row in rows]
    record["groups"][name] = {
        "sizes": sizes,
        "seconds": outcome.seconds,
        "peak_mb": outcome.peak_mb,
        "load_before": before,
        "load_after": load(),
    }
    record["rows"] += [{"group": name, **row} for row in rows]
    return rows


def _reasons(failed):
    return "".join(f"; {row['what']}: {row['reason']}" for row in failed)


def _write(record, out):
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / "results.json", (json.dumps(record, indent=2) + "\n").encode())
        write_atomically(out / "results.md", as_markdown(record).encode())
    except OSError as error:
        raise RunError(f"The results cannot be written to {out}: {reason(error)}.") from error
