"""`keras-fvvae completion`"""

from __future__ import annotations

import click
from keras_fvvae.tools.common.commands import Command

# The variable by which a shell asks the program what may follow, see Click's documentation.
VARIABLE = "_KERAS_FVVAE_COMPLETE"


@click.command("completion", cls=Command, short_help="Print what makes a shell complete commands, runs and entries.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete commands, options, runs, entries and backbones. To use it, add to the
    shell's start-up file:

    \b
    bash  eval "$(keras-fvvae completion bash)"
    zsh   eval "$(keras-fvvae completion zsh)"
    fish  keras-fvvae completion fish | source
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    # Not `source()`: it runs the shell to look at its version, which may be on another machine.
    complete = kind(context.find_root().command, {}, "keras-fvvae", VARIABLE)
    click.echo(complete.source_template % complete.source_vars())
