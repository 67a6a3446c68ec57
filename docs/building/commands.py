"""The page of commands: the help of each, as the command line itself prints it."""

import click
from keras_fvvae.tools.main import cli

WIDTH = 100
INTRODUCTION = """# Commands

What `keras-fvvae COMMAND --help` prints. `python -m keras_fvvae` is the same program; shells complete commands,
options, runs, entries and backbones after `eval "$(keras-fvvae completion bash)"`.
"""


def page():
    """The page's Markdown."""
    parts = [INTRODUCTION, "| command | does |", "| --- | --- |"]
    found = list(_commands(cli, ()))
    parts += [f"| [`{' '.join(words)}`](#{'-'.join(words)}) | {_first_sentence(one)} |" for words, one in found]
    for words, command in found:
        context = click.Context(command, info_name=" ".join(("keras-fvvae", *words)), max_content_width=WIDTH)
        context.terminal_width = WIDTH
        parts += ["", f"## {' '.join(words)}", "", "```text", command.get_help(context), "```"]
    return "\n".join(parts) + "\n"


def _commands(group, words):
    """Pairs of a command's words and itself, in the order of the help; groups give theirs."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if isinstance(command, click.Group):
            yield from _commands(command, (*words, name))
        else:
            yield (*words, name), command


def _first_sentence(command):
    text = " ".join((command.help or "").split("\n\n")[0].split())
    return text.split(". ")[0].removesuffix(".").replace("|", "\\|") + "."
