"""A census of the Python source installed on this machine, as a flow.

    python examples/census.py [--executor dask|threads|processes|local] [--workers N]
                              [--limit N] [--out DIR] [--folder DIR ...]

It finds the .py files of the running interpreter, of its standard library and of every installed
package, parses each one, counts what is in it, and writes `census.sqlite` and `census.html`.
What can go wrong is a state, not a crash: a folder that is not there is a Failed task, a batch
without files a Skipped one, and for each kind of problem a file may have there is a task that
Fails when the census met it. The flow has succeeded when both files are written.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import datetime
import importlib.metadata
import os
import platform
import shutil
import site
import sqlite3
import sys
import sysconfig
import time
import tokenize
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from census_report import LINES, draw_page

from prefect_dask import Flow, Parameter, task
from prefect_dask.engine import signals
from prefect_dask.engine.state import TriggerFailed
from prefect_dask.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from prefect_dask.triggers import all_finished, any_successful

Row = dict[str, Any]
Census = dict[str, list[Row]]  # rows, by the table that they belong to
BATCHES = 64
COUNTS = ("bytes", "lines", *LINES, "functions", "classes", "imports")
LONGEST = ("longest_function", "longest_line", "longest_lines")
PROBLEMS = ("unreadable", "encoding", "null bytes", "indentation", "syntax", "too deep", "lost")
COLUMNS = {
    "package": ("package", "version", "files", *COUNTS, "problems", *LONGEST, "longest_file"),
    "file": ("package", "folder", "path", *COUNTS, *LONGEST),
    "problem": ("package", "folder", "path", "kind", "message"),
}


# ---------------------------------------------------------------- one file


def kinds_of_lines(text: str, nodes: list[ast.AST]) -> Counter[str]:
    """Count the lines of each kind: code, docstring, comment, blank."""
    docstring: set[int] = set()
    inside_text: set[int] = set()  # lines that begin inside a string: a # there is no comment
    for node in nodes:
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if ast.get_docstring(node, clean=False) is not None:
                first, last = node.body[0].lineno, node.body[0].end_lineno
                on_def_line = first == getattr(node, "lineno", 0)
                docstring.update(range(first + on_def_line, last + 1))
        elif isinstance(node, (ast.Constant, ast.JoinedStr)) and node.end_lineno > node.lineno:
            inside_text.update(range(node.lineno + 1, node.end_lineno + 1))
    kinds: Counter[str] = Counter()
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], start=1):
        bare = line.strip()
        if number in docstring:
            kinds["docstring"] += 1
        elif not bare:
            kinds["blank"] += 1
        elif bare.startswith("#") and number not in inside_text:
            kinds["comment"] += 1
        else:
            kinds["code"] += 1
    return kinds


def count_source(text: str) -> Row:
    """Parse a source text and count what is in it; raise what the parser raises."""
    if "\0" in text:
        raise ValueError("source code with null bytes")
    nodes = list(ast.walk(ast.parse(text, filename="<census>")))
    row: Row = dict.fromkeys(COUNTS, 0)
    row |= {"longest_function": None, "longest_line": None, "longest_lines": 0}
    row.update(kinds_of_lines(text, nodes))
    row["lines"] = sum(row[kind] for kind in LINES)
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            row["functions"] += 1
            length = node.end_lineno - node.lineno + 1
            if length > row["longest_lines"]:
                row["longest_function"], row["longest_line"] = node.name, node.lineno
                row["longest_lines"] = length
        elif isinstance(node, ast.ClassDef):
            row["classes"] += 1
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            row["imports"] += len(node.names)
    return row


def count_file(path: str) -> Row:
    """Count one file, read in the encoding that it declares (PEP 263)."""
    with tokenize.open(path) as file:
        text = file.read()
    return count_source(text) | {"bytes": os.path.getsize(path)}


def kind_of_problem(error: BaseException) -> str:
    """Name what kept a file from being counted, as one of PROBLEMS."""
    if isinstance(error, OSError):
        return "unreadable"
    if isinstance(error, (RecursionError, MemoryError)):
        return "too deep"
    if isinstance(error, UnicodeError) or "encoding" in str(error):
        return "encoding"
    if "null bytes" in str(error):
        return "null bytes"
    return "indentation" if isinstance(error, IndentationError) else "syntax"


def words_of(error: BaseException, path: str) -> str:
    """Say what an error says, without the place, so that equal problems read the same."""
    if isinstance(error, UnicodeDecodeError):
        return f"not {error.encoding}: {error.reason}"
    said = getattr(error, "msg", None) or getattr(error, "strerror", None) or str(error)
    return printable(said.replace(f" for {path!r}", "")) or type(error).__name__


def printable(text: str) -> str:
    """Write out what UTF-8 cannot hold, such as the bytes of a file name in no encoding."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def add_up(rows: list[Row]) -> Row:
    """Add the counts of files, and keep the longest function with its place."""
    total: Row = {"files": len(rows)} | {count: sum(row[count] for row in rows) for count in COUNTS}
    longest = max(rows, key=lambda row: row["longest_lines"], default={"longest_lines": 0})
    total |= {column: longest.get(column) for column in LONGEST}
    return total | {"longest_file": longest.get("path")}


# ---------------------------------------------------------------- the tasks


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
        raise signals.FAIL("no such folder")
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


@task(trigger=any_successful, skip_on_upstream_skip=False)
def split_evenly(found: list[Any], limit: int | None) -> list[list[Row]]:
    """Deal the files into batches of much the same size; a folder that failed is an exception."""

    def size_bytes(row: Row) -> int:
        path = os.path.join(row["folder"], row["path"])
        return os.path.getsize(path) if os.path.exists(path) else 0

    files = [row for folder in found if isinstance(folder, list) for row in folder]
    if not files:
        raise signals.FAIL("there is no .py file in them")
    if limit:
        files = files[:: max(1, len(files) // limit)][:limit]
    files.sort(key=size_bytes, reverse=True)
    return [files[part::BATCHES] for part in range(BATCHES)]


@task
def read_batch(files: list[Row]) -> Census:
    """Count each file of a batch; one that cannot be counted becomes a row in "problem"."""
    if not files:
        raise signals.SKIP("no files are left for this batch")
    # What a file's author is to be warned of is not news here. By name, not by catch_warnings,
    # which would not be safe when batches share a process as threads.
    warnings.filterwarnings("ignore", module="<census>")
    batch: Census = {"file": [], "problem": []}
    for file in files:
        path = os.path.join(file["folder"], file["path"])
        row = {column: printable(value) for column, value in file.items()}
        try:
            batch["file"].append(row | count_file(path))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            problem = {"kind": kind_of_problem(error), "message": words_of(error, path)}
            batch["problem"].append(row | problem)
    return batch


@task(trigger=any_successful, skip_on_upstream_skip=False)
def combine(batches: list[Any]) -> Census:
    """Add the batches up per package; a skipped batch is None, a failed one its exception."""
    census: Census = {"package": [], "file": [], "problem": []}
    for number, batch in enumerate(batches):
        if isinstance(batch, dict):
            census["file"] += batch["file"]
            census["problem"] += batch["problem"]
        elif batch is not None:
            place = {"package": "", "version": "", "folder": "", "path": f"batch {number}"}
            census["problem"].append(place | {"kind": "lost", "message": str(batch)})
    for table in ("file", "problem"):
        census[table].sort(key=lambda row: (row["package"].lower(), row["folder"], row["path"]))

    problems = Counter(row["package"] for row in census["problem"])
    versions = {row["package"]: row["version"] for row in census["file"] + census["problem"]}
    for package, version in versions.items():
        total = add_up([row for row in census["file"] if row["package"] == package])
        total |= {"package": package, "version": version, "problems": problems[package]}
        census["package"].append(total)
    census["total"] = [add_up(census["file"])]
    census["package"].sort(key=lambda row: (-row["lines"], row["package"]))
    return census


@task
def expect_none(census: Census, kind: str) -> None:
    """Fail when the census met a problem of this kind; the flow does not hang on it."""
    met = [row for row in census["problem"] if row["kind"] == kind]
    if met:
        first = f"{met[0]['path']} ({met[0]['message']})"
        raise signals.FAIL(f"{len(met)} of them; the first: {first}")


@task
def write_database(census: Census, out: str) -> str:
    """Write census.sqlite whole or not at all; writing it again gives the same."""
    path, part = Path(out, "census.sqlite"), Path(out, f".census.{os.getpid()}.sqlite")
    part.unlink(missing_ok=True)
    database = sqlite3.connect(part)
    try:
        with database:
            for table, columns in COLUMNS.items():
                database.execute(f"create table {table} ({', '.join(columns)})")
                places = ", ".join(f":{column}" for column in columns)
                database.executemany(f"insert into {table} values ({places})", census[table])
        database.close()
        os.replace(part, path)
    finally:
        database.close()
        part.unlink(missing_ok=True)
    return str(path)


@task
def write_page(census: Census, out: str, taken: str) -> str:
    """Write census.html whole or not at all; it needs nothing but itself to be read."""
    path, part = Path(out, "census.html"), Path(out, f".census.{os.getpid()}.html")
    try:
        part.write_text(draw_page(census, taken), encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
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


# ---------------------------------------------------------------- the flow


def build_flow(folders: list[str]) -> Flow:
    """Put the tasks together; the two files and the summary decide how the run ended."""
    with Flow("census") as flow:
        limit, out, taken = Parameter("limit", default=None), Parameter("out"), Parameter("taken")
        found = [find_files(folder, task_args={"name": f"find in {folder}"}) for folder in folders]
        batches = split_evenly(found, limit)
        counted = [
            read_batch(batches[number], task_args={"name": f"read batch {number}"})
            for number in range(BATCHES)
        ]
        census = combine(counted)
        for kind in PROBLEMS:
            expect_none(census, kind, task_args={"name": f"no file is {kind}"})
        database, page = write_database(census, out), write_page(census, out, taken)
        summary = summarise(census, database, page)
    flow.set_reference_tasks([database, page, summary])
    return flow


def find_folders() -> list[str]:
    """Name the folders that Python looks for packages in, whether they are there or not."""
    paths = [sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")]
    paths += [sysconfig.get_path("platlib"), *site.getsitepackages(), site.getusersitepackages()]
    return list(dict.fromkeys(paths))


class Progress:
    """Shows the states as they stream in: one changing line, or in a pipe a line now and then."""

    def __init__(self, task_count: int) -> None:
        self.task_count = task_count
        self.states: dict[tuple[str, int], str] = {}
        self.on_terminal = sys.stdout.isatty()
        self.began = self.shown = time.monotonic()

    def __call__(self, records: list[Any]) -> None:
        """Take a batch of state records."""
        for record in records:
            self.states[record.task_slug, record.map_index] = record.state
            if time.monotonic() - self.shown >= (0.1 if self.on_terminal else 2):
                self.show(f"{record.task_name}: {record.state}")

    def show(self, last: str) -> None:
        """Print how many tasks are in which state, and what came last."""
        self.shown = time.monotonic()
        counts = sorted(Counter(self.states.values()).items())
        line = f"{self.shown - self.began:5.1f} s  of {self.task_count} tasks "
        line += ", ".join(f"{n} {state}" for state, n in counts) + f"; {last}"
        if self.on_terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"{line[:width]:{width}}", end="\r", flush=True)
        else:
            print(line, flush=True)


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
    flow = build_flow([os.path.abspath(path) for path in options.folder or find_folders()])
    progress = Progress(len(flow.tasks))
    state = flow.run(
        executor=executor,
        on_state=progress,
        limit=options.limit,
        out=str(out),
        taken=datetime.date.today().isoformat(),
    )
    progress.show(f"the flow: {type(state).__name__}")
    print("\n")
    if not isinstance(state.result, dict):  # the run itself broke down, as when a cluster is lost
        print(state.message)
        return 1
    for node in flow.sorted_tasks():
        reached = state.result[node]
        if reached.is_failed() and not isinstance(reached, TriggerFailed):  # that only follows
            print(f"{type(reached).__name__}: {node.name}: {reached.message}")
    print(f"\n{state.result[flow.get_tasks('summarise')[0]].result}")
    return 0 if state.is_successful() else 1


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # file names and messages say anything
    sys.exit(main())
