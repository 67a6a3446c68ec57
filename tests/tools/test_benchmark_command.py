"""`keras-fvvae benchmark`."""

import json
import subprocess
import sys

import pytest

from keras_fvvae.benchmarks.harness.groups import GROUPS, Group


def test_one_group(tmp_path, run_command):
    code, output, errors = run_command(
        "benchmark", "--only", "svm", "--quick", "--rounds", 1, "--out", tmp_path / "out"
    )
    assert code == 0
    assert output == f"Results: {tmp_path / 'out'}/results.md (also results.json)\n"
    assert errors.splitlines()[1].startswith("svm: 3 rows in ")
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert record["command"].startswith("keras-fvvae benchmark --only svm --quick")
    assert record["groups"]["svm"]["peak_mb"] > 50
    assert [row["what"].split("(")[0] for row in record["rows"]] == ["LinearSVC", "OneVsRestSVM", "OneVsRestSVM"]
    assert "The one-vs-all SVM against LinearSVC" in (tmp_path / "out" / "results.md").read_text()


def test_failure_is_the_exit_code(tmp_path, run_command, monkeypatch):
    monkeypatch.setitem(GROUPS, "absent", Group("None", {}, {}))
    code, _, errors = run_command("benchmark", "--only", "absent", "--out", tmp_path / "out")
    assert code == 1
    assert "absent: failed: ModuleNotFoundError" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--only", "head,svn"], "svm"), (["--data", "nowhere"], "The data folder nowhere does not exist.")],
)
def test_mistakes(arguments, message, tmp_path, run_command):
    code, _, errors = run_command("benchmark", *arguments, "--out", tmp_path / "out")
    assert code == 1
    assert message in errors
    assert not (tmp_path / "out").exists()


def test_the_command_does_not_import_tensorflow():
    code = "import sys; from keras_fvvae.tools.benchmark import command; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"tensorflow", "keras", "sklearn", "numpy"} & set(result.stdout.split())
