"""What changed from one record to another, and the page of all of them."""

import copy
import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from keras_fvvae.tools import benchmark

from keras_fvvae.benchmarks.harness.compare import as_text, changes, read_record
from keras_fvvae.benchmarks.harness.rounds import Timing, absent_row, row, time_rows
from keras_fvvae.errors import DataError

DOCS = Path(__file__).parents[2] / "docs"


def record(seconds, peak=1.0, date="2026-01-01T00:00:00+00:00"):
    timings = {"ours": Timing(seconds, seconds), "bound": Timing([1.0] * 5, [1.0] * 5)}
    rows = [
        *time_rows(timings, "bound", "ms", case="VGG19"),
        row("many", "few", "MB", [1.0], peak),
        absent_row("peer", "not installed"),
    ]
    return {
        "date": date,
        "quick": False,
        "machine": {"cpu": "a", "cores": 2},
        "versions": {"keras": "3.15", "keras_fvvae": "0.2"},
        "groups": {"data": {}},
        "rows": [{"group": "data", **one} for one in rows],
    }


BEFORE = record([1.0, 1.1, 1.2, 1.3, 1.4])


@pytest.mark.parametrize(
    ("seconds", "peak", "worse", "better"),
    [
        ([1.5, 1.6, 1.7, 1.8, 1.9], 1.0, ["data, VGG19, ours"], []),
        ([0.5, 0.6, 0.7, 0.8, 0.9], 1.0, [], ["data, VGG19, ours"]),
        ([1.3, 1.6, 1.7, 1.8, 1.9], 1.0, [], []),  # one round within the others
        ([1.0, 1.1, 1.2, 1.3, 1.4], 1.04, [], []),
        ([1.0, 1.1, 1.2, 1.3, 1.4], 1.06, ["data, many"], []),
    ],
)
def test_changes(seconds, peak, worse, better):
    found = changes(BEFORE, record(seconds, peak))
    assert [one.name for one in found] == ["data, VGG19, ours", "data, many"]
    assert [one.name for one in found if one.is_worse] == worse
    assert [one.name for one in found if one.is_sure and not one.is_worse] == better


def test_a_sure_change_of_nothing():
    before, after = record([1.0] * 5), record([1.02] * 5)
    assert not any(one.is_sure for one in changes(before, after))
    assert all(not one.is_sure for one in changes(before, record([1.0] * 5)))


def test_text():
    after = copy.deepcopy(record([1.5, 1.6, 1.7, 1.8, 1.9], 0.5))
    after["machine"]["cores"], after["versions"]["keras"] = 16, "3.16"
    assert as_text(changes(BEFORE, after), BEFORE, after).splitlines() == [
        "Other machine: cores 2, now 16.",
        "Other versions: keras 3.15 to 3.16.",
        "ROSE 1.200 -> 1.700  data, VGG19, ours",
        "fell 1.000 -> 0.500  data, many",
        "Of 2 ratios, 1 rose and 1 fell by more than the noise since 2026-01-01T00:00:00+00:00.",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not a results.json"),
        (b"[]", "is not a results.json"),
        (b'{"rows": [{}]}', "is not a results.json"),
        (b'{"rows": []}', "is not a results.json"),
        (json.dumps({**BEFORE, "quick": True}).encode(), "was made with --quick"),
        (None, "cannot be read: No such file"),
    ],
)
def test_what_is_no_record(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_record(tmp_path / "a.json")


@pytest.mark.parametrize(("seconds", "code"), [([1.5, 1.6, 1.7, 1.8, 1.9], 1), ([1.0, 1.1, 1.2, 1.3, 1.4], 0)])
def test_command(tmp_path, monkeypatch, seconds, code):
    """It measures the groups of the earlier record, and its exit code tells whether a ratio rose."""
    (tmp_path / "old.json").write_text(json.dumps(BEFORE))
    asked = []

    def run(out, only, *arguments, **options):
        asked.append(only)
        now = record(seconds)
        now["groups"] = {"data": {"peak_mb": 1.0}}
        return now

    monkeypatch.setattr("keras_fvvae.benchmarks.harness.run.run_benchmark", run)
    arguments = ["--compare", str(tmp_path / "old.json")]
    result = CliRunner().invoke(benchmark.command, arguments)
    assert result.exit_code == code, result.output
    assert asked == [["data"]]
    assert ("ROSE" in result.output) is bool(code)
    refused = CliRunner().invoke(benchmark.command, [*arguments, "--quick"])
    assert "--quick measures small sizes" in refused.output


@pytest.fixture
def history():
    spec = importlib.util.spec_from_file_location("make_history", DOCS / "make_history.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_history(history):
    later = record([2.0] * 5, date="2026-02-01T00:00:00+00:00")
    later["rows"] = later["rows"][:1]
    text = history.page({"b.json": later, "a.json": BEFORE})
    assert "| what | against | [2026-01-01](records/a.json), 0.2 | [2026-02-01](records/b.json), 0.2 |" in text
    assert "| VGG19, ours | bound | 1.200 | 2.000 |" in text
    assert "| many | few | 1.000 |  |" in text


def test_history_is_of_the_records(history):
    assert history.PAGE.read_text(encoding="utf-8") == history.page(history.read()), "run python docs/make_history.py"
