import random
import time

import pytest

from keras_fvvae.benchmarks.harness import rounds
from keras_fvvae.benchmarks.harness.rounds import Timing, time_rounds, time_rows


def test_every_round_runs_every_job_once_in_random_order():
    random.seed(0)
    calls = []
    timings = time_rounds({name: lambda name=name: calls.append(name) for name in "abc"}, rounds=20, turn=0)
    assert calls[:3] == ["a", "b", "c"]  # warm-up
    orders = [tuple(calls[i : i + 3]) for i in range(3, len(calls), 3)]
    assert len(orders) == 20
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert len(set(orders)) > 2
    assert {name: len(timing.seconds) for name, timing in timings.items()} == {"a": 20, "b": 20, "c": 20}


def test_clocks(monkeypatch):
    """A job of two seconds of two threads, half a second of which was spent waiting."""
    now = {"wall": 0.0, "cpu": 0.0}
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: now["wall"])
    monkeypatch.setattr(rounds.time, "process_time", lambda: now["cpu"])

    def job():
        now["wall"] += 2.0
        now["cpu"] += 3.0

    timing = time_rounds({"job": job}, rounds=2, turn=0)["job"]
    assert timing.seconds == [2.0, 2.0]
    assert timing.cpu_seconds == [3.0, 3.0]


def test_ratio_of_rounds_is_not_moved_by_a_load_that_comes():
    """Both jobs take ten times as long in the last rounds; medians of all times would compare different loads."""
    ours = Timing([2.0, 2.0, 20.0, 20.0, 20.0], [4.0] * 5)
    bound = Timing([1.0, 1.0, 10.0, 10.0, 10.0], [1.0] * 5)
    first, second = time_rows({"ours": ours, "bound": bound}, "bound", "ms an image", 10, "case", {"ours": 1.5}, {})
    assert (first["ratio"], first["cpu_ratio"], first["at_most"]) == (2.0, 4.0, 1.5)
    assert (first["fastest"], first["median"], first["slowest"]) == (200.0, 2000.0, 2000.0)
    assert (second["ratio"], second["at_most"], second["case"]) == (1.0, None, "case")


def test_clock_too_coarse_for_a_job():
    """A CPU clock that did not move gives no ratio of its round, and is no error."""
    row, _ = time_rows({"ours": Timing([1.0], [0.1]), "bound": Timing([1.0], [0.0])}, "bound", "ms")
    assert row["ratio"] == pytest.approx(1.0)
    assert row["cpu_ratio"] is None


def test_short_jobs_are_called_often_enough_to_fill_their_turn():
    calls = []

    def job():
        calls.append(1)
        time.sleep(0.001)

    timing = time_rounds({"job": job}, rounds=2, turn=0.02)["job"]
    assert 2 + 2 * 2 < len(calls) <= 2 + 2 * (1 + 20)
    assert all(0.001 <= seconds < 0.02 for seconds in timing.seconds)
