"""`prefect-dask version`: what this is, and what it runs on."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from prefect_dask.cli.output import json_option, print_json
from prefect_dask.version import __version__


@click.command(epilog="Example: prefect-dask version --json")
@json_option
def version(as_json: bool) -> None:
    """Print the versions of this and of what it needs."""
    facts, of_the_server = facts_here()
    if as_json:
        print_json({**facts, "Server": of_the_server})
        return
    for line in lines(facts, of_the_server):
        click.echo(line)


def lines(facts: dict[str, str], of_the_server: dict[str, str]) -> Iterable[str]:
    """The facts as people read them.

    >>> print(*lines({"Version": "1.0"}, {"Database": "sqlite"}), sep="\\n")
    Version:             1.0
    Server:
      Database:          sqlite
    """
    for name, value in facts.items():
        yield f"{name + ':':<21}{value}".rstrip()
    yield "Server:"
    for name, value in of_the_server.items():
        yield f"  {name + ':':<19}{value}".rstrip()


def facts_here() -> tuple[dict[str, str], dict[str, str]]:
    """What is so on this machine, and of what a server would be here; "" where nobody knows."""
    from prefect_dask.engine.errors import PrefectDaskError
    from prefect_dask.ledger.configured import configured_place
    from prefect_dask.ledger.sqlite_version import sqlite_version_told
    from prefect_dask.settings import active_profile

    try:
        profile = active_profile() or "default"
    except PrefectDaskError:
        profile = ""
    try:
        place = configured_place()
        database: str = "none" if place is None else place.kind
    except PrefectDaskError:
        database = ""
    facts = {
        "Version": __version__,
        "API version": "",
        "Python version": platform.python_version(),
        "Git commit": git_commit(),
        "Built": "",
        "OS/Arch": f"{sys.platform}/{platform.machine()}",
        "Profile": profile,
        "Server type": "ephemeral",
    }
    return facts, {"Database": database, "SQLite version": sqlite_version_told()}


def git_commit() -> str:
    """The commit that this was installed from, in short; "" where that is not to be seen."""
    package = Path(__file__).resolve().parents[1]
    commit = _commit_checked_out(package.parent)
    if commit:
        return commit[:8]
    for told in package.parent.glob("prefect_dask-*.dist-info/direct_url.json"):
        try:
            about = json.loads(told.read_text(encoding="utf-8"))
            return str(about.get("vcs_info", {}).get("commit_id", ""))[:8]
        except (OSError, ValueError):
            continue
    return ""


def _commit_checked_out(folder: Path) -> str:
    """What `git rev-parse HEAD` says there, without git."""
    try:
        git = folder / ".git"
        if git.is_file():  # a work tree of its own
            git = folder / git.read_text(encoding="utf-8").partition(":")[2].strip()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        name, common = head[5:], git
        if (git / "commondir").is_file():
            common = git / (git / "commondir").read_text(encoding="utf-8").strip()
        if (common / name).is_file():
            return (common / name).read_text(encoding="utf-8").strip()
        for line in (common / "packed-refs").read_text(encoding="utf-8").splitlines():
            commit, _, its_name = line.partition(" ")
            if its_name == name:
                return commit
    except (OSError, UnicodeDecodeError):
        pass
    return ""
