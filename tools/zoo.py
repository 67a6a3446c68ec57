"""`keras-fvvae zoo`"""

import click


@click.group("zoo", short_help="List and show the zoo's entries.")
def command():
    """The entries of the model zoo."""


@command.command("list")
@click.argument("pattern", default="*")
def list_entries(pattern):
    """Names of the entries that match PATTERN."""
    from fnmatch import fnmatch

    from keras_fvvae.recipes import list_recipes

    for name in list_recipes():
        if fnmatch(name, pattern):
            click.echo(name)


@command.command("show")
@click.argument("name")
def show(name):
    """Every setting of an entry, defaults included, as YAML."""
    from keras_fvvae.recipes import load_recipe

    click.echo(load_recipe(name).to_yaml(), nl=False)
