"""Finds a flow for the command line; what its file raises is told as Python would, without our part."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prefect_dask.cli.exits import Refused
from prefect_dask.compat.finder import OLD, install
from prefect_dask.tasks.prefect import NoSuchFlow, find_flow

if TYPE_CHECKING:
    from prefect_dask.ledger.taking_up import FoundRun

_Command = TypeVar("_Command", bound=Callable[..., object])

_OURS = str(Path(__file__).resolve().parents[1]) + os.sep


def flow_options(command: _Command) -> _Command:
    """Adds the options that say where the flow of a recorded run is, and what it is called there."""
    for option in (
        click.option("-n", "--name", default="", metavar="FLOW", help="Which flow of the file."),
        click.option(
            "--flow",
            "place",
            default="",
            metavar="FILE|MODULE",
            help="Where the flow is; when not given, the file in which it was made.",
        ),
    ):
        command = option(command)
    return command


class NothingThere(Refused):
    """What was given is neither a file nor a module."""


class FlowFileBroken(click.ClickException):
    """The user's code raised while it was imported; shown is where, and then Python's traceback of that code."""

    exit_code = 2

    def __init__(self, error: BaseException) -> None:
        super().__init__(told(error))

    def show(self, file: Any = None) -> None:
        click.echo(self.message, err=True, nl=False)


def load_flow(place: str, name: str = "") -> Any:
    """The flow in a file or module; runs the code there.

    Args:
        place: A file, or a module's name; `:NAME` behind it is the flow's.
        name: The flow's name, or that of the variable that holds it.

    Raises:
        NothingThere: It is neither.
        Refused: There is no such flow, or there are several.
        FlowFileBroken: The code there raises.
    """
    path = Path(place if Path(place).is_file() else place.rpartition(":")[0] or place)
    _find_modules_beside(path)
    try:
        return _with_old_names(lambda: find_flow(f"{place}:{name}" if name else place), str(path))
    except NoSuchFlow as error:
        missing = error.__cause__
        if missing is not None and not _is_missing_itself(missing, str(path)):
            raise FlowFileBroken(missing) from None
        if error.flows:
            raise Refused(
                f"{error.place} has the flows {', '.join(map(repr, error.flows))}; say which: -n NAME"
            ) from None
        if missing is not None:
            raise NothingThere(str(error)) from None
        hint = "" if name else "; make one at its top level: with Flow(NAME) as flow: …"
        raise Refused(str(error) + hint) from None
    except (Exception, SystemExit) as error:
        raise FlowFileBroken(error) from None


def flow_of_run(found: FoundRun) -> Any:
    """The flow of a recorded run, from the file where it was made; runs the code there.

    Raises:
        NoFlowToResume: It is not there.
        FlowFileBroken: The code there raises.
    """
    from prefect_dask.recorded import NoFlowToResume, flow_of

    if found.origin is not None:
        _find_modules_beside(Path(found.origin))
    try:
        return _with_old_names(lambda: flow_of(found))
    except NoFlowToResume:
        raise
    except (Exception, SystemExit) as error:
        raise FlowFileBroken(error) from None


def _with_old_names(find: Callable[[], Any], module: str = "") -> Any:
    """What `find` returns; where the code it runs misses `prefect`, that is served, and it runs again.

    Only then: served from the start, `prefect` would also be found by libraries that look whether it is installed.
    """
    try:
        return find()
    except (NoSuchFlow, ModuleNotFoundError) as error:
        missing = error.__cause__ if isinstance(error, NoSuchFlow) else error
        if getattr(missing, "name", None) != OLD or module == OLD:
            raise
    install()
    return find()


def _find_modules_beside(path: Path) -> None:
    """Look for modules where `python FILE` and `python -m MODULE` do."""
    sys.path.insert(0, str(path.resolve().parent) if path.is_file() else os.getcwd())


def _is_missing_itself(error: BaseException, module: str) -> bool:
    """Whether it is the module that is not there, and not one that it imports."""
    if not isinstance(error, ModuleNotFoundError):
        return not isinstance(error, ImportError)
    name = error.name or ""
    return module == name or module.startswith(name + ".")


def told(error: BaseException) -> str:
    """Where in the user's code an error comes from, and that code's traceback."""
    whole = traceback.TracebackException.from_exception(error)
    _leave_out_ours(whole)
    *_, last = whole.format_exception_only()
    where = _where(error, whole)
    head = f"{where}: {last}" if where else last
    return head + "".join(whole.format())


def _leave_out_ours(one: traceback.TracebackException) -> None:
    theirs = [frame for frame in one.stack if not _is_ours(frame.filename)]
    one.stack[:] = theirs
    for other in (one.__cause__, one.__context__):
        if other is not None:
            _leave_out_ours(other)


def _where(error: BaseException, whole: traceback.TracebackException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename)}:{error.lineno}"
    own = [frame for frame in whole.stack if not _is_installed(frame.filename)]
    if not own:
        return ""
    return f"{_short(own[-1].filename)}:{own[-1].lineno}"


def _is_ours(filename: str) -> bool:
    return filename.startswith((_OURS, "<frozen ")) or "/importlib/" in Path(filename).as_posix()


def _is_installed(filename: str) -> bool:
    folders = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")]
    return any(filename.startswith(folder + os.sep) for folder in folders)


def _short(filename: str) -> str:
    """A path as the user would say it, from the current folder."""
    try:
        return str(Path(filename).resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return filename
