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
@click.option(
    "--compare",
    "earlier",
    type=click.Path(),
    help="A results.json from before: tell which ratios changed by more than the noise since. Measures its groups.",
)
@click.option("--out", default="runs/benchmark", show_default=True, type=click.Path(), help="Folder of the results.")
def command(only: str | None, quick: bool, rounds: int, data: str | None, earlier: str | None, out: str) -> None:
    """Measure speed and memory: encoding against the bare backbone, Fisher vectors against automatic differentiation,
    other encoders against VLFeat and scikit-image, training against its matrix products, and more.

    Every group runs in a process of its own. Results are written after each: results.json, results.md. The exit code is
    1 if a group failed, or a ratio rose since --compare. Peers are used where they are installed: pip install cyvlfeat
    scikit-image
    """
    from keras_fvvae.benchmarks.harness.run import run_benchmark

    chosen = None if only is None else [name.strip() for name in only.split(",")]
    before = None
    if earlier is not None:
        from keras_fvvae.benchmarks.harness.compare import as_text, changes, read_record

        if quick:
            raise click.UsageError("--quick measures small sizes, whose ratios cannot be compared.")
        before = read_record(earlier)
        chosen = chosen or [name for name in GROUPS if name in before["groups"]]
    called = " ".join(["keras-fvvae", *sys.argv[1:]])
    try:
        record = run_benchmark(out, chosen, quick, rounds, data, called, say=say)
    except KeyboardInterrupt:
        # Not the message of the other commands: times of another moment are not continued.
        say(f"\nInterrupted. Groups that were finished are in {out}; the same command starts anew.")
        sys.exit(130)
    click.echo(f"Results: {out}/results.md (also results.json)")
    failed = [name for name, info in record["groups"].items() if info["peak_mb"] is None]
    worse = False
    if before is not None:
        found = changes(before, record)
        click.echo(as_text(found, before, record))
        worse = any(change.is_worse for change in found)
    sys.exit(1 if failed or worse else 0)
