"""Click's commands and groups as they are here: options under headings, the nearest name for an unknown one."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from typing import Any

import click

Decorator = Callable[[Any], Any]


class Command(click.Command):
    """A command whose help lists the options of a `section` below that section's heading."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list] = {"Options": []}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Argument):
                continue
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(parameter, "section", "Options"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if "extra argument" in error.message and any("--data" in parameter.opts for parameter in self.params):
                error.message = f"{error.message.rstrip('.')}. Data are named by --data."
            raise


class Group(click.Group):
    """A group whose commands are `Command`s, and that names the nearest command for an unknown one."""

    command_class = Command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple:
        name = args[0]
        if not ctx.resilient_parsing and self.get_command(ctx, name) is None and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            ctx.fail(f"No such command {name!r}" + (f"; did you mean {near[0]!r}?" if near else "."))
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """A group of which each command is imported when it is asked for: `NAME` is `command` of the module `NAME`.

    Args:
        names: gives the commands' names, in the order of the help; `-` is `_` in the module's name.
        package: of the modules.
        **options: of `click.Group`.
    """

    def __init__(self, *arguments: Any, names: Callable[[], tuple[str, ...]], package: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.names = names
        self.package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.names())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.names():
            return None
        return importlib.import_module(f"{self.package}.{cmd_name.replace('-', '_')}").command


def section(heading: str, *options: Decorator) -> Decorator:
    """A decorator that adds options which the help lists below a heading.

    Args:
        heading: of the help.
        *options: what `click.option` returns, or other sections, in the order of the help.

    Example:
        >>> @click.command(cls=Command)
        ... @section("Output", click.option("--json", is_flag=True))
        ... def command(json):
        ...     pass
        >>> "Output:" in command.get_help(click.Context(command))
        True
    """

    def decorate(function: Any) -> Any:
        before = len(getattr(function, "__click_params__", ()))
        for option in reversed(options):
            function = option(function)
        for parameter in function.__click_params__[before:]:
            parameter.section = heading
        return function

    return decorate
