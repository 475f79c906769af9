"""What a shell offers when a word is half written."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from prefect_dask.engine.errors import PrefectDaskError


def complete_run_ids(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The latest runs whose id begins so."""
    from prefect_dask.ledger import Ledger

    try:
        found = Ledger().flow_runs(limit=200)
    except PrefectDaskError:
        return []
    return [
        CompletionItem(run.run_id[:12], help=f"{run.flow_name} {run.state}")
        for run in found
        if run.run_id.startswith(incomplete)
    ]


def complete_flow_names(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The flows that ran whose name begins so."""
    from prefect_dask.ledger import Ledger

    try:
        found = Ledger().flows()
    except PrefectDaskError:
        return []
    return [CompletionItem(each.name) for each in found if each.name.startswith(incomplete)]


def complete_profiles(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The profiles whose name begins so."""
    from prefect_dask.settings.files import profiles_here

    try:
        names = list(profiles_here().profiles)
    except PrefectDaskError:
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_settings(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The settings whose name begins so."""
    from prefect_dask.settings.sources import read_schema

    return [CompletionItem(key) for key in read_schema().keys if key.startswith(incomplete)]
