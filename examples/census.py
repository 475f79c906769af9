"""A census of the Python source installed on this machine, as a flow.

    python examples/census.py [--executor dask|threads|processes|local] [--workers N]
                              [--limit N] [--out DIR] [--folder DIR ...] [--resume|--no-resume]

It finds the .py files of the running interpreter, of its standard library and of every installed
package, maps a task over them that parses each one and counts what is in it, and writes
`census.sqlite` and `census.html`. What can go wrong is a state, not a crash: a folder that is not
there and a file that cannot be counted are Failed children, and the rest goes on. The flow has
succeeded when both files are written.

A census that was killed, or stopped with Ctrl-C, goes on where it was when it is run again with the
same folders, limit and place: what was counted is not parsed again.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import os
import platform
import site
import sqlite3
import sys
import sysconfig
import tokenize
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from census_report import LINES, Row, draw_page
from census_source import count_source, kind_of_problem, words_of

from prefect_dask import Flow, Parameter, resume, task
from prefect_dask.engine import signals
from prefect_dask.engine.errors import PrefectDaskError, RunInterrupted
from prefect_dask.engine.outcome import runs_of
from prefect_dask.engine.state import State, TriggerFailed
from prefect_dask.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from prefect_dask.ledger import Ledger
from prefect_dask.ledger.facts import RecordedFlowRun
from prefect_dask.triggers import all_finished, any_successful

Census = dict[str, list[Row]]  # rows, by the table that they belong to
BATCH = 100  # files a Dask task; 50 and 200 take as long
COUNTS = ("bytes", "lines", *LINES, "functions", "classes", "imports")
LONGEST = ("longest_function", "longest_line", "longest_lines")
SAME = ("folders", "limit", "out")  # the parameters that make two runs one census
SHOWN = 5  # failures of one task, on the terminal
COLUMNS = {
    "package": ("package", "version", "files", *COUNTS, "problems", *LONGEST, "longest_file"),
    "file": ("package", "folder", "path", *COUNTS, *LONGEST),
    "problem": ("package", "folder", "path", "kind", "message"),
}


def find_owners(folder: str) -> dict[str, tuple[str, str]]:
    """Name for each file in a folder the distribution that installed it, and its version."""
    owners: dict[str, tuple[str, str]] = {}
    for installed in importlib.metadata.distributions(path=[folder]):
        with contextlib.suppress(OSError, KeyError):  # an installation that was cut short
            about = installed.metadata
            name, version = about.get("Name"), about.get("Version", "")
            if name:
                owners |= {file.as_posix(): (name, version) for file in installed.files or ()}
    return owners


@task
def find_files(folder: str) -> list[Row]:
    """List the .py files in a folder, each with the package that brought it."""
    if not os.path.isdir(folder):
        raise signals.FAIL(f"{folder}: no such folder")
    is_stdlib = folder == sysconfig.get_path("stdlib")
    owners = find_owners(folder)
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - {"__pycache__", "site-packages", "dist-packages"})
        for name in sorted(name for name in names if name.endswith(".py")):
            path = Path(parent, name).relative_to(folder).as_posix()
            owner = (path.split("/")[0].removesuffix(".py"), "")
            if is_stdlib:
                owner = ("python", platform.python_version())
            package, version = owners.get(path, owner)
            found.append({"package": package, "version": version, "folder": folder, "path": path})
    return found


@task(trigger=all_finished)
def list_files(found: list[Any], limit: int | None) -> list[Row]:
    """Lay what the folders hold end to end; a folder that failed is an exception."""
    files = [file for folder in found if isinstance(folder, list) for file in folder]
    if not files:
        raise signals.FAIL("there is no .py file in them")
    return files[:: max(1, len(files) // limit)][:limit] if limit else files


@task(durable=True)  # a file that was counted is not parsed again, whatever dies
def count_file(file: Row) -> Row:
    """Count one file, read in the encoding that it declares (PEP 263).

    One that cannot be counted is a Failed child with a row of its own as its result. Raising a
    signal says that this was foreseen: no traceback is logged.
    """
    # What a file's author is to be warned of is not news here. By name, not by catch_warnings,
    # which would not be safe when files are parsed in threads of one process.
    warnings.filterwarnings("ignore", module="<census>")
    path = os.path.join(file["folder"], file["path"])
    try:
        with tokenize.open(path) as source:
            text = source.read()
        return count_source(text) | {"bytes": os.path.getsize(path)}
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        problem = {"kind": kind_of_problem(error), "message": words_of(error, path)}
        said = printable(f"{file['path']}: {problem['kind']}: {problem['message']}")
        raise signals.FAIL(said, result=problem) from None


@task(trigger=any_successful)
def combine(files: list[Row], counted: list[Any]) -> Census:
    """Put each file together with what its child came to, and add up per package."""
    rows = []
    for file, came in zip(files, counted, strict=True):
        if isinstance(came, BaseException):  # of a child that crashed, as with its worker
            came = {"kind": "lost", "message": str(came)}
        fields = (file | came).items()
        rows.append({key: printable(x) if isinstance(x, str) else x for key, x in fields})
    rows.sort(key=lambda row: (row["package"].lower(), row["folder"], row["path"]))
    by_package: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_package[row["package"]].append(row)
    packages = [
        {"package": package, "version": each[-1]["version"], **add_up(each)}
        for package, each in by_package.items()
    ]
    return {
        "total": [add_up(rows)],
        "package": sorted(packages, key=lambda row: (-row["lines"], row["package"])),
        "file": [row for row in rows if "kind" not in row],
        "problem": [row for row in rows if "kind" in row],
    }


def printable(text: str) -> str:
    """Write out what UTF-8 cannot hold, such as the bytes of a file name in no encoding."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def add_up(rows: list[Row]) -> Row:
    """Add the counts of files, and keep the longest function with its place."""
    good = [row for row in rows if "kind" not in row]
    longest = max(good, key=lambda row: row["longest_lines"], default={"longest_lines": 0})
    return {
        "files": len(good),
        "problems": len(rows) - len(good),
        **{count: sum(row[count] for row in good) for count in COUNTS},
        **{column: longest.get(column) for column in LONGEST},
        "longest_file": longest.get("path"),
    }


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a file to write to, which takes the place of `path` when it is whole, or goes."""
    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    part.unlink(missing_ok=True)
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@task
def write_database(census: Census, out: str) -> str:
    """Write census.sqlite whole or not at all; writing it again gives the same."""
    path = Path(out, "census.sqlite")
    with writing(path) as part, contextlib.closing(sqlite3.connect(part)) as database, database:
        for table, columns in COLUMNS.items():
            database.execute(f"create table {table} ({', '.join(columns)})")
            places = ", ".join(f":{column}" for column in columns)
            database.executemany(f"insert into {table} values ({places})", census[table])
    return str(path)


@task
def write_page(census: Census, out: str, taken: str) -> str:
    """Write census.html whole or not at all; it needs nothing but itself to be read."""
    path = Path(out, "census.html")
    with writing(path) as part:
        part.write_text(draw_page(census, taken), encoding="utf-8")
    return str(path)


@task(trigger=all_finished)
def summarise(census: Any, database: Any, page: Any) -> str:
    """Say what was counted and where it lies, also when a part of it failed."""
    if not isinstance(census, dict):
        return f"Nothing was counted: {census}"
    [total] = census["total"]
    kinds = Counter(row["kind"] for row in census["problem"])
    shares = ", ".join(f"{total[kind] / max(1, total['lines']):.0%} {kind}" for kind in LINES)
    return (
        f"{total['files']:,} files of {len(census['package']):,} packages hold "
        f"{total['lines']:,} lines ({shares}),\n"
        f"{total['functions']:,} functions, {total['classes']:,} classes "
        f"and {total['imports']:,} imports.\n"
        f"Longest function: {total['longest_function']}, {total['longest_lines']:,} lines, "
        f"in {total['longest_file']}.\n"
        f"Not counted: {', '.join(f'{n} {kind}' for kind, n in kinds.items()) or 'none'}.\n"
        f"Tables: {database}\nReport: {page}"
    )


def build_flow() -> Flow:
    """Put the tasks together; the two files and the summary decide how the run ended."""
    with Flow("census") as flow:
        folders = Parameter("folders")
        limit, out, taken = Parameter("limit", default=None), Parameter("out"), Parameter("taken")
        files = list_files(find_files.map(folders), limit)
        census = combine(files, count_file.map(files, batch=BATCH))
        database, page = write_database(census, out), write_page(census, out, taken)
        summary = summarise(census, database, page)
    flow.set_reference_tasks([database, page, summary])
    return flow


def find_folders() -> list[str]:
    """Name the folders that Python looks for packages in."""
    paths = [sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")]
    paths += [sysconfig.get_path("platlib"), *site.getsitepackages(), site.getusersitepackages()]
    return [path for path in dict.fromkeys(paths) if os.path.isdir(path)]


def find_unfinished(parameters: dict[str, Any]) -> RecordedFlowRun | None:
    """Find the last census of the same files for the same place, if it did not come to its end."""
    with contextlib.suppress(PrefectDaskError):  # nothing recorded yet, or no ledger wanted
        for run in Ledger().flow_runs(flow_name="census"):
            if all(run.parameters.get(key) == parameters[key] for key in SAME):
                return run if run.state in ("Crashed", "Cancelled") else None
    return None


def may_resume(run: RecordedFlowRun, wanted: bool | None) -> bool:
    """Say what is left of an earlier census, and whether to go on with it: ask where one can."""
    done = [
        each.map_index
        for each in Ledger().task_runs(run.run_id)
        if each.task_name == "count_file" and each.state in ("Success", "Failed")
    ]
    began = run.begun.astimezone().strftime("%Y-%m-%d %H:%M")
    print(f"The census of {began} ended after {len(done):,} files or a few more.")
    if wanted is None and sys.stdin is not None and sys.stdin.isatty():
        wanted = input("Go on with it? [Y/n] ").strip().lower() in ("", "y", "yes")
    elif wanted is None:
        print("It goes on; --no-resume begins a new one.", flush=True)
    return wanted is not False


def counts(states: Iterable[str]) -> str:
    """Say how many states of each kind there are."""
    return ", ".join(f"{n:,} {state}" for state, n in sorted(Counter(states).items()))


def lines_of_maps(state: State) -> list[str]:
    """Say what each map has come to."""
    return [
        f"{node.name}: {counts(type(child).__name__ for child in reached.map_states)}"
        for node, reached in state.result.items()
        if reached.is_mapped()
    ]


def at_least_one(text: str) -> int:
    """Read a number from the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Run the census as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(description="Count the Python source installed here.")
    kinds = ("dask", "threads", "processes", "local")
    parser.add_argument("--executor", choices=kinds, default="dask")
    parser.add_argument("--workers", type=at_least_one, default=os.cpu_count() or 1)
    parser.add_argument("--limit", type=at_least_one, help="count no more files than this")
    parser.add_argument("--out", default=".", metavar="DIR", help="where the results shall lie")
    parser.add_argument("--folder", action="append", metavar="DIR", help="look here instead")
    parser.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        help="go on with the last census where it was not finished, or do not; else one is asked",
    )
    options = parser.parse_args(arguments)
    if options.executor == "local":
        executor = LocalExecutor()
    elif options.executor == "dask":
        cluster = {"n_workers": options.workers, "threads_per_worker": 1}
        executor = DaskExecutor(cluster_kwargs=cluster)
    else:
        executor = LocalDaskExecutor(scheduler=options.executor, num_workers=options.workers)

    out = Path(options.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    flow = build_flow()
    [summary] = flow.get_tasks("summarise")
    settings = {"executor": executor, "progress": True, "return_tasks": [summary]}
    parameters = {
        "folders": [os.path.abspath(path) for path in options.folder or find_folders()],
        "limit": options.limit,
        "out": str(out),
        "taken": datetime.date.today().isoformat(),
    }
    unfinished = None if options.resume is False else find_unfinished(parameters)
    try:
        if unfinished is not None and may_resume(unfinished, options.resume):
            state = resume(unfinished.run_id, flow, **settings)
        else:
            state = flow.run(parameters, **settings)
    except RunInterrupted as interrupt:
        reached = "; ".join(lines_of_maps(interrupt.state)) or "nothing was counted"
        print(f"\nInterrupted, and goes on when it is run again: {reached}")
        return 130
    print("", *lines_of_maps(state), sep="\n")
    for node, reached in state.result.items():
        failed = [
            f"{type(each).__name__}: {name}: {each.message}"
            for name, each in runs_of(node.name, reached)
            if each.is_failed() and not isinstance(each, TriggerFailed)  # that only follows
        ]
        print(*failed[:SHOWN], sep="\n", end="\n" if failed else "")
        if len(failed) > SHOWN:
            print(f"and {len(failed) - SHOWN} more of {node.name}")
    told = state.result[summary]
    print(f"\n{told.result if told.is_successful() else state.message}")
    return 0 if state.is_successful() else 1


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # file names and messages say anything
    sys.exit(main())
