import json

import pytest

from keras_fvvae.benchmarks.harness.groups import GROUPS, Group
from keras_fvvae.benchmarks.harness.report import as_markdown
from keras_fvvae.benchmarks.harness.rounds import absent_row, row
from keras_fvvae.benchmarks.harness.run import run_benchmark
from keras_fvvae.errors import DataError, RunError


def test_a_group_that_crashes_does_not_stop_the_others(tmp_path, monkeypatch):
    for name in ("first", "second"):
        monkeypatch.setitem(GROUPS, name, Group(f"The {name}", {"size": 1}, {"size": 1}))
    seen = []

    def say(text):
        seen.append(text)
        seen.append(sorted(json.loads((tmp_path / "out" / "results.json").read_text())["groups"]))

    record = run_benchmark(tmp_path / "out", ["second", "first"], rounds=1, command="called", say=say)
    assert seen[1::2] == [[], ["first"], ["first"], ["first", "second"]]  # written after each
    assert [row["group"] for row in record["rows"]] == ["first", "second"]
    assert record["rows"][0]["reason"] == (
        "failed: ModuleNotFoundError: No module named 'keras_fvvae.benchmarks.suites.first'; see first.log"
    )
    assert "Traceback" in (tmp_path / "out" / "first.log").read_text()
    assert record == json.loads((tmp_path / "out" / "results.json").read_text())
    assert record["machine"]["cores"] >= 1
    assert record["versions"]["keras_fvvae"] != "not installed"
    page = (tmp_path / "out" / "results.md").read_text()
    assert "`called`" in page
    assert "| first | - |  |  |  |  | failed: ModuleNotFoundError" in page


def test_unknown_group(tmp_path):
    with pytest.raises(RunError, match="'encode'"):
        run_benchmark(tmp_path, ["encod"])


def test_data_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="absent does not exist"):
        run_benchmark(tmp_path, ["data"], data=tmp_path / "absent")


def test_page():
    info = {
        "sizes": {"images": 1000, "networks": [{"backbone": "VGG19", "tap": None}]},
        "seconds": 12.3,
        "peak_mb": 900,
        "load_before": 1.0,
        "load_after": 2.0,
    }
    rows = [
        row("bare", "bare", "ms", [1.0, 2.0, 4.0], 1.0, 1.0, case="VGG19"),
        row("ours", "bare", "ms", [2.0, 3.0, 1234.5], 1.5, 1.2, at_most=1.11, note="a | b", case="VGG19"),
        row("ours", "bare", "ms", [1.0], 1.1, None, at_most=1.11, case="other"),
        absent_row("peer", "not installed: pip install peer"),
    ]
    record = {
        "command": "keras-fvvae benchmark",
        "date": "today",
        "rounds": 3,
        "load_before": 0.1,
        "load_after": 0.2,
        "machine": {"cpu": "CPU", "cores": 2, "memory_gb": 4, "system": "Linux", "python": "3.11"},
        "versions": {"numpy": "2"},
        "groups": {"encode": info},
        "rows": [{"group": "encode", **one} for one in rows],
    }
    lines = as_markdown(record).splitlines()
    assert "| encode, VGG19, ours | 1.500 | 1.200 | 1.110 | **missed** |" in lines
    assert "| encode, other, ours | 1.100 |  | 1.110 | met |" in lines
    assert "| bare | 2 (1 - 4) | ms | 1.000 | 1.000 |  |  |" in lines
    assert "| ours | 3 (2 - 1,234) | ms | 1.500 | 1.200 | at most 1.110 | a \\| b |" in lines
    assert "| peer | - |  |  |  |  | not installed: pip install peer |" in lines
    assert lines.index("VGG19:") < lines.index("other:")
    assert any(line.startswith("`encode`: images 1,000, networks (VGG19). 12 s, peak memory 900 MB") for line in lines)
