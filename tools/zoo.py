"""`keras-fvvae zoo`"""

from __future__ import annotations

import click
from keras_fvvae.tools.common.checks import require_files, require_runs
from keras_fvvae.tools.common.commands import Group
from keras_fvvae.tools.common.console import load_tensorflow_quietly
from keras_fvvae.tools.common.types import RECIPE, RUN

to_option = click.option(
    "--to",
    metavar="DIR_OR_URL",
    help="Root of the zoo: a folder, an http(s) URL that accepts PUT, s3://, gs:// or az://; or hf://ORG/NAME, a "
    "repository of the Hugging Face Hub for this pack alone. Default: the local zoo, ~/.cache/keras_fvvae/zoo.",
)


@click.group("zoo", cls=Group, short_help="List, show and publish the zoo's entries and weights.")
def command() -> None:
    """The entries of the model zoo, and the packs of weights that go with them."""


@command.command("list")
@click.argument("pattern", default="*")
@click.option("--installed", is_flag=True, help="Only those whose trained weights are on this machine.")
def list_entries(pattern: str, installed: bool) -> None:
    """Names of the entries that match PATTERN, published packs on this machine included."""
    from keras_fvvae.zoo.entries import list_entries as entries

    for name in entries(pattern, installed=installed or None):
        click.echo(name)


@command.command("show")
@click.argument("name", type=RECIPE)
def show(name: str) -> None:
    """Every setting of an entry, or of a published pack (its name or URL), defaults included, as YAML."""
    from keras_fvvae.zoo.entries import entry_recipe

    click.echo(entry_recipe(name).to_yaml(), nl=False)


@command.command("publish")
@click.argument("run", type=RUN)
@to_option
@click.option("--name", metavar="ENTRY", help="Name of the entry. Default: that of the run's recipe.")
def publish(run: str, to: str | None, name: str | None) -> None:
    """Pack the finished RUN as the next version of an entry: model, statistics, SVM, recipe, labels, metrics, card and
    a manifest with the SHA-256 of each.

    zoo.load takes it from the local zoo, or from the folder or URL in the variable KERAS_FVVAE_ZOO; from the Hub,
    by the address that is printed, or without its @COMMIT.
    """
    require_runs([run])
    from keras_fvvae.runs.folder import RunFolder
    from keras_fvvae.zoo.publishing import publish_run

    click.echo(publish_run(RunFolder.open(run), to, name))


@command.command("verify")
@click.argument("path", metavar="PACK", type=click.Path())
def verify(path: str) -> None:
    """Check PACK before it is loaded, without building or running anything in it.

    PACK is the folder of a pack, of an entry's packs or of a finished run, a .keras file, or a SavedModel or folder of
    exports; or the URL of a pack, hf://ORG/NAME too. Every file must have the SHA-256 of the manifest, a model may name
    classes of Keras and keras_fvvae only, and a SavedModel may hold operations only that exports of keras_fvvae hold;
    others are named.
    """
    from keras_fvvae.zoo.remote.addresses import is_url

    if not is_url(path):
        require_files(path)
    load_tensorflow_quietly()
    from keras_fvvae.zoo.verifying import verify as verify_path

    for sentence in verify_path(path):
        click.echo(sentence)


@command.command("import-release")
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE.mat...]")
@to_option
def import_release(files: tuple[str, ...], to: str | None) -> None:
    """Pack the FV-VAE weights that the paper's authors released (MATLAB files, or a folder that holds them) as versions
    of the entry ucf101_pool5, one for each split of UCF101.

    Without FILE all three are downloaded from the authors' repository, or taken from the folder or URL in the variable
    KERAS_FVVAE_RELEASE.
    """
    require_files(*files)
    load_tensorflow_quietly()
    from keras_fvvae.recipes.released import RELEASED
    from keras_fvvae.zoo.release import import_release as import_files
    from keras_fvvae.zoo.released_weights import released_file

    for published in import_files(files or [released_file(split) for split in RELEASED], to):
        click.echo(published)
