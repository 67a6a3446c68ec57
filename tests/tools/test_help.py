"""Help of every command: quick, without the heavy packages, in sections; `python -m`."""

import subprocess
import sys

import click
import pytest
from keras_fvvae.tools.main import COMMANDS, cli

from tests.tools.fresh_commands import call_all

HEAVY = {"tensorflow", "keras", "sklearn", "numpy", "matplotlib", "cv2", "av"}


def _commands(group, words=()):
    """The words that name every command, groups included."""
    yield words
    for name in group.list_commands(None):
        found = group.get_command(None, name)
        if isinstance(found, click.Group):
            yield from _commands(found, (*words, name))
        else:
            yield (*words, name)


ALL = list(_commands(cli))


def test_all_commands_are_there():
    assert {words[0] for words in ALL if words} == set(COMMANDS)
    assert ("data", "check") in ALL


@pytest.fixture(scope="module")
def helped():
    """The help of every command, in one fresh process as wide as a terminal of old."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        return dict(zip(ALL, call_all([[*words, "--help"] for words in ALL]), strict=True))


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_is_quick(words, helped):
    """The first has to import what all need, and all but it itself are imported for its list of commands."""
    result = helped[words]
    assert (result.code, result.errors) == (0, "")
    assert result.output.startswith(f"Usage: {' '.join(['keras-fvvae', *words])} ")
    assert max(map(len, result.output.splitlines())) <= 80
    assert not HEAVY & set(result.modules)
    assert result.seconds < 0.3


@pytest.mark.parametrize("words", [words for words in ALL if words], ids=" ".join)
def test_help_names_every_option_once(words):
    command = cli
    for word in words:
        command = command.get_command(None, word)
    text = command.get_help(click.Context(command, info_name=words[-1]))
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert sum(line.split()[:1] == [parameter.opts[0]] for line in text.splitlines()) == 1, parameter.name


def test_sections_follow_the_options():
    command = cli.get_command(None, "evaluate")
    text = command.get_help(click.Context(command, info_name="evaluate"))
    headings = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "Options:",
        "Scores of other methods:",
        "Labels:",
        "Several runs:",
        "Few shots instead:",
        "Intervals:",
        "Output:",
    ]


def test_module_is_the_command_line():
    result = subprocess.run(
        [sys.executable, "-m", "keras_fvvae", "--version"], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("keras-fvvae, version ")
    result = subprocess.run([sys.executable, "-m", "keras_fvvae", "trian"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "No such command 'trian'; did you mean 'train'?" in result.stderr
