"""What GitHub and other programs read of the repository says what is true."""

import re
from pathlib import Path

import yaml

import keras_fvvae

ROOT = Path(__file__).parents[1]


def _yaml(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def _targets():
    return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


def test_workflow_calls_targets_that_exist():
    jobs = _yaml(".github/workflows/ci.yaml")["jobs"]
    matrix = {entry["target"] for entry in jobs["make"]["strategy"]["matrix"]["include"]}
    steps = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    named = {target for step in steps for target in re.findall(r"^make ([\w-]+)", step, flags=re.MULTILINE)}
    assert matrix | named <= _targets()
    # What .ci/run does, and the site.
    ci = set(re.findall(r"\bmake (lint|test[\w-]*)", (ROOT / ".ci" / "run").read_text(encoding="utf-8")))
    assert matrix == ci


def test_workflow_has_every_python():
    jobs = _yaml(".github/workflows/ci.yaml")["jobs"]
    promised = set(re.findall(r"Python :: (3\.\d+)", (ROOT / "setup.py").read_text(encoding="utf-8")))
    assert {entry["python"] for entry in jobs["make"]["strategy"]["matrix"]["include"]} == promised
    assert set(jobs["wheel"]["strategy"]["matrix"]["python"]) == promised


def test_the_version_is_one_everywhere():
    """A release has the date of its heading in the changelog; what comes after it ends in .dev."""
    citation, version = _yaml("CITATION.cff"), keras_fvvae.__version__
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", version)
    released = version.partition(".dev")[0]
    assert citation["version"] == released
    assert headings[0] == (
        f"{released} (unreleased)" if ".dev" in version else f"{released} - {citation['date-released']}"
    )
    assert headings == list(dict.fromkeys(headings))
    assert "VERSION = re.search(r'__version__ = \"(.+?)\"'" in (ROOT / "setup.py").read_text(encoding="utf-8")


def test_citation_is_of_the_paper():
    citation = _yaml("CITATION.cff")
    assert citation["preferred-citation"]["title"].startswith("Deep Quantization")
    assert citation["preferred-citation"]["url"] in (ROOT / "README.md").read_text(encoding="utf-8").replace("\n", "")


def test_before_a_commit_what_lint_checks():
    hooks = [hook["entry"].removeprefix(".venv/bin/") for hook in _yaml(".pre-commit-config.yaml")["repos"][0]["hooks"]]
    lint = re.search(r"^lint:.*\n\t(.*)", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    assert [" ".join(hook.split()[:2]) for hook in hooks] == ["ruff check", "ruff format", "mypy"]
    assert all(hook.split()[0] in lint for hook in hooks)
