"""`keras-fvvae`: the commands, each imported when it is called, so that help does not wait for TensorFlow."""

from __future__ import annotations

import errno
import os
import re
import sys
from typing import NoReturn

import click
from keras_fvvae.tools.common.commands import LazyGroup
from keras_fvvae.tools.completion import VARIABLE

from keras_fvvae import __version__
from keras_fvvae.errors import KerasFVVAEError
from keras_fvvae.utils.files import reason

OUT_OF_MEMORY = "Error: out of memory. Lower `batch_size`, or encode at a smaller `input_size`."
# In the order of the help. `NAME` is `command` in tools/NAME.py, with _ for -.
COMMANDS = (
    "demo",
    "train",
    "compare",
    "reproduce",
    "sweep",
    "predict",
    "suggest",
    "encode",
    "index",
    "search",
    "explain",
    "evaluate",
    "evaluate-views",
    "activitynet",
    "fuse",
    "idt",
    "export",
    "serve",
    "data",
    "flow",
    "taps",
    "zoo",
    "benchmark",
    "completion",
)


@click.command(
    cls=LazyGroup,
    names=lambda: COMMANDS,
    package="keras_fvvae.tools",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="keras-fvvae")
def cli() -> None:
    """FV-VAE: encode convolutional activations with a deep generative model (CVPR 2017), train, evaluate, deploy."""


def main() -> NoReturn:
    """Runs the command line; a user's mistake ends in one sentence, not in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names that the terminal cannot show
    try:
        sys.exit(cli.main(prog_name="keras-fvvae", complete_var=VARIABLE, standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nInterrupted. What was computed is kept; the same command continues.", err=True)
        sys.exit(130)
    except (KerasFVVAEError, ValueError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        where = "" if error.filename is None else f": {os.fsdecode(error.filename)}"
        click.echo(f"Error: {reason(error)}{where}", err=True)
        sys.exit(1)
    except MemoryError:
        click.echo(OUT_OF_MEMORY, err=True)
        sys.exit(1)
    except ImportError as error:
        if not re.search(r"shared object|DLL|dlopen", str(error)):
            raise
        click.echo(f"Error: a library cannot be loaded: {reason(error)}. Is there memory (`ulimit -v`)?", err=True)
        sys.exit(1)
    except Exception as error:
        if not type(error).__module__.startswith("tensorflow"):
            raise  # a defect of this library: the traceback is wanted
        click.echo(_tensorflow_message(error), err=True)
        sys.exit(1)


def _tensorflow_message(error: Exception) -> str:
    """What TensorFlow ran out of, in words of ours; else its first line."""
    why = reason(error)
    if why == os.strerror(errno.ENOSPC):
        return f"Error: {why}. Free some where the command writes, and repeat it."
    if type(error).__name__ == "ResourceExhaustedError":
        return OUT_OF_MEMORY
    return f"Error: TensorFlow: {why}"
