"""A group of commands, some of which are imported when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from prefect_dask.cli.exits import Refused, exit_quietly
from prefect_dask.engine.errors import PrefectDaskError, nearest


class CommandGroup(click.Group):
    """A group that tells the nearest command, and what went wrong without a traceback.

    Args:
        lazy: The module and name of commands that lie elsewhere, as `module:name`, in the order in which they are
            listed.
        settings: As for `click.Group`.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, str] | None = None, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self._lazy.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, name = place.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            hint = nearest(args[0], self.list_commands(ctx))
            ctx.fail(f"there is no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with exit_quietly(ctx):
            try:
                return super().invoke(ctx)
            except PrefectDaskError as error:
                raise Refused(str(error)) from error
