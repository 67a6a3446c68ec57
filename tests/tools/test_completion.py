"""Shell completion: the scripts, and what is proposed."""

import os
import subprocess
import sys

import pytest
from keras_fvvae.tools.completion import VARIABLE

from keras_fvvae.recipes import list_recipes


def _proposed(folder, *words):
    """What a shell would propose for the last word, and the packages that were imported for it."""
    code = (
        "import sys; sys.argv[0] = 'keras-fvvae'\n"
        "from keras_fvvae.tools.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    environment = {
        **os.environ,
        VARIABLE: "bash_complete",
        "COMP_WORDS": " ".join(["keras-fvvae", *words]),
        "COMP_CWORD": str(len(words)),
    }
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    assert not {"tensorflow", "keras", "numpy"} & set(result.stderr.split())
    return [line.partition(",")[2] for line in result.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script(shell, run_command):
    code, script, _ = run_command("completion", shell)
    assert code == 0
    assert VARIABLE in script
    assert "keras-fvvae" in script


def test_the_script_of_bash_is_right(run_command):
    _, script, _ = run_command("completion", "bash")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_another_shell(run_command):
    code, _, errors = run_command("completion", "csh")
    assert code == 2
    assert "'csh' is not one of 'bash', 'zsh', 'fish'" in errors


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["eval"], ["evaluate", "evaluate-views"]),
        (["train", "ucf101_pool5_f"], ["ucf101_pool5_flow", "ucf101_pool5_ft"]),
        (["compare", "image"], ["image_folder"]),
        (["train", "--backbone", "vgg"], ["VGG16", "VGG19"]),
        (["train", "--backbone-w"], ["--backbone-weights"]),
        (["reproduce", "figure4"], ["figure4a", "figure4b", "figure4c"]),
        (["export", "a"], ["another"]),
        (["evaluate", "runs/"], ["runs/flow", "runs/rgb"]),
        (["predict", "r"], ["runs/flow", "runs/rgb"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_proposals(words, expected, tmp_path):
    for name in ("runs/rgb", "runs/flow", "another"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "recipe.yaml").touch()
    (tmp_path / "archive").mkdir()
    assert _proposed(tmp_path, *words) == expected


def test_all_entries_are_proposed(tmp_path):
    assert _proposed(tmp_path, "zoo", "show", "") == list_recipes()
