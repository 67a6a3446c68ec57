"""`keras-fvvae benchmark`"""

from __future__ import annotations

import sys

import click
from keras_fvvae.tools.common.commands import Command
from keras_fvvae.tools.common.console import say

from keras_fvvae.benchmarks.harness.groups import GROUPS, ROUNDS


@click.command("benchmark", cls=Command, short_help="Measure everything against a peer or a bound, as ratios.")
@click.option("--only", metavar="GROUP,GROUP...", help=f"Some of: {', '.join(GROUPS)}.")
@click.option("--quick", is_flag=True, help="Small sizes, to see that everything works; no figures to rely on.")
@click.option("--rounds", default=ROUNDS, show_default=True, type=click.IntRange(1), help="How often all is timed.")
@click.option("--data", type=click.Path(), help="Folder of .jpg files, searched in depth. Default: images are made.")
@click.option("--out", default="runs/benchmark", show_default=True, type=click.Path(), help="Folder of the results.")
def command(only: str | None, quick: bool, rounds: int, data: str | None, out: str) -> None:
    """Measure speed and memory: encoding against the bare backbone, Fisher vectors against automatic differentiation,
    other encoders against VLFeat and scikit-image, training against its matrix products, and more.

    Every group runs in a process of its own. Results are written after each: results.json, results.md. The exit code is
    1 if a group failed. Peers are used where they are installed: pip install cyvlfeat scikit-image
    """
    from keras_fvvae.benchmarks.harness.run import run_benchmark

    chosen = None if only is None else [name.strip() for name in only.split(",")]
    called = " ".join(["keras-fvvae", *sys.argv[1:]])
    try:
        record = run_benchmark(out, chosen, quick, rounds, data, called, say=say)
    except KeyboardInterrupt:
        # Not the message of the other commands: times of another moment are not continued.
        say(f"\nInterrupted. Groups that were finished are in {out}; the same command starts anew.")
        sys.exit(130)
    click.echo(f"Results: {out}/results.md (also results.json)")
    failed = [name for name, info in record["groups"].items() if info["peak_mb"] is None]
    sys.exit(1 if failed else 0)
