"""Timing jobs against one another on a machine that others use too."""

import dataclasses
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# A job's turn takes at least so long: shorter jobs are called several times, after one call that is not timed. Threads
# of the job before (OpenBLAS's, TensorFlow's) may still wait busily, and single calls after another job were seen to
# take up to twice as long.
TURN_SECONDS = 0.2


@dataclasses.dataclass
class Timing:
    """Seconds of every round of a job, and CPU seconds of all threads of the process, in the order of the rounds."""

    seconds: list = dataclasses.field(default_factory=list)
    cpu_seconds: list = dataclasses.field(default_factory=list)


def time_rounds(jobs: Mapping[Any, Callable[[], Any]], rounds: int, turn: float = TURN_SECONDS) -> dict[Any, Timing]:
    """Times jobs in interleaved rounds of random order, so that what disturbs the machine disturbs all of them alike.

    Args:
        jobs: dictionary from a name to a function without arguments, which returns when its result is there.
        rounds: how many turns each has, besides a call to warm up (compile, fill caches).
        turn: seconds that a turn takes at least; the time of a call is the mean over a turn's calls.

    Returns:
        Dictionary from name to `Timing`.

    Example:
        >>> jobs = {"sum": lambda: sum(range(100)), "max": lambda: max(range(100))}
        >>> timings = time_rounds(jobs, rounds=3, turn=0.001)
        >>> list(timings), len(timings["sum"].seconds)
        (['sum', 'max'], 3)
    """
    calls = {name: _calls(job, turn) for name, job in jobs.items()}
    timings = {name: Timing() for name in jobs}
    for _ in range(rounds):
        for name in random.sample(list(jobs), len(jobs)):
            if calls[name] > 1:
                jobs[name]()
            start, cpu_start = time.perf_counter(), time.process_time()
            for _ in range(calls[name]):
                jobs[name]()
            timings[name].cpu_seconds.append((time.process_time() - cpu_start) / calls[name])
            timings[name].seconds.append((time.perf_counter() - start) / calls[name])
    return timings


def _calls(job, turn):
    """Warms a job up; returns how many calls fill a turn."""
    job()
    if not turn:
        return 1
    start = time.perf_counter()
    job()
    return max(1, math.ceil(turn / max(time.perf_counter() - start, 1e-6)))


def time_rows(
    timings: dict[str, Timing],
    against: str,
    unit: str,
    items: int = 1,
    case: str = "",
    at_most: dict[str, float] | None = None,
    notes: dict[str, str] | None = None,
) -> list[dict]:
    """Rows of a table of times: each job's, and its ratio to that of another job.

    A ratio is the median of the rounds' ratios: both times of a round were taken close to each other, so that a load
    that comes or goes during the run cancels out.

    Args:
        timings: from `time_rounds`.
        against: name of the job that the others are compared with; its own row has the ratio 1.
        unit: what the numbers are, such as "ms an image".
        items: what a job's milliseconds are divided by: an integer.
        case: what distinguishes this comparison from others of its group.
        at_most: dictionary from names to the largest ratio that is good enough, for those that have a target.
        notes: dictionary from names to a remark.

    Returns:
        List of dictionaries, see `row`.

    Example:
        >>> timings = {"ours": Timing([0.002, 0.004], [0.002, 0.002]), "bound": Timing([0.001, 0.002], [0.001, 0.001])}
        >>> rows = time_rows(timings, "bound", "ms")
        >>> rows[0]["what"], rows[0]["median"], rows[0]["ratio"], rows[0]["cpu_ratio"]
        ('ours', 3.0, 2.0, 2.0)
    """
    reference = timings[against]
    return [
        row(
            name,
            against,
            unit,
            [1000 * seconds / items for seconds in timing.seconds],
            _median_ratio(timing.seconds, reference.seconds),
            _median_ratio(timing.cpu_seconds, reference.cpu_seconds),
            (at_most or {}).get(name),
            (notes or {}).get(name, ""),
            case,
            _ratios(timing.seconds, reference.seconds),
        )
        for name, timing in timings.items()
    ]


def row(
    what: str,
    against: str,
    unit: str,
    values: Sequence[float],
    ratio: float,
    cpu_ratio: float | None = None,
    at_most: float | None = None,
    note: str = "",
    case: str = "",
    ratios: Sequence[float] | None = None,
) -> dict:
    """One row of the result.

    Args:
        what: that was measured.
        against: what it is compared with.
        unit: of the values.
        values: of all rounds.
        ratio: of `what` to `against`; above 1 is slower, or more.
        cpu_ratio: the same of CPU times; `None` for what is no time.
        at_most: the largest ratio that is good enough; `None` where there is no target.
        note: a remark.
        case: what distinguishes its comparison from others of the group.
        ratios: of every round, by which two records are compared; `None` for what has no rounds.
    """
    return {
        "case": case,
        "what": what,
        "against": against,
        "unit": unit,
        "median": statistics.median(values),
        "fastest": min(values),
        "slowest": max(values),
        "ratio": ratio,
        "cpu_ratio": cpu_ratio,
        "ratios": None if ratios is None else [round(value, 6) for value in ratios],
        "at_most": at_most,
        "note": note,
    }


def absent_row(what: str, reason: str) -> dict:
    """A row for what could not be measured."""
    return {"case": "", "what": what, "reason": reason}


def _ratios(ones, others):
    return [one / other for one, other in zip(ones, others, strict=True) if other > 0]


def _median_ratio(ones, others):
    ratios = _ratios(ones, others)
    return statistics.median(ratios) if ratios else None
