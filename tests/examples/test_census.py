"""The census of Python source: what it counts, what it makes of bad files, and that it runs."""

import importlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from prefect_dask.engine.signals import FAIL
from prefect_dask.ledger import Ledger
from tests.waiting import wait_until

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

SOURCE = '''\
"""A module.

# not a comment
"""
import os, sys
from ast import parse as read

# a comment
class Crew:
    """One line."""

    async def sail(self): "said on the line itself"

    @property
    def song(self):
        text = """
        # part of a text
        """
        return f"""
        # {text}
        """
'''


@pytest.fixture(scope="module")
def census() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield importlib.import_module("census")
        for name in ("census", "census_report", "census_source"):
            sys.modules.pop(name, None)


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder of source files, good ones and bad ones of every kind."""
    folder = tmp_path / "shelf"
    (folder / "ship" / "__pycache__").mkdir(parents=True)
    (folder / "ship" / "crew.py").write_text(SOURCE, encoding="utf-8")
    (folder / "ship" / "__pycache__" / "cached.py").write_text("left = out\n")
    (folder / "ship" / "empty.py").touch()
    (folder / "ship" / "escape.py").write_text("path = 'C:\\d'\n")
    (folder / "cookie.py").write_bytes(b"# -*- coding: latin-1 -*-\nname = 'Zo\xeb'\n")
    (folder / "syntax.py").write_text("print 'hello'\n")
    (folder / "indent.py").write_text("if True:\nx = 1\n")
    (folder / "nulls.py").write_bytes(b"a = 1\0\n")
    (folder / "latin.py").write_bytes(b"\n\n\nname = 'Zo\xeb'\n")
    (folder / "codec.py").write_text("# coding: no-such-codec\n")
    (folder / "deep.py").write_text("x = " + "-" * 100_000 + "1\n")
    (folder / "readme.txt").write_text("not Python")
    return folder


def came_to(census: ModuleType, file: Any) -> Any:
    """The result of the child that counts a file, also when it fails."""
    try:
        return census.count_file.run(file)
    except FAIL as fail:
        return fail.state.result


def count(census: ModuleType, folder: Path) -> Any:
    """Take the census of a folder without a flow."""
    files = census.list_files.run([census.find_files.run(str(folder))], None)
    return census.combine.run(files, [came_to(census, file) for file in files])


def dump(database: Path) -> list[str]:
    connection = sqlite3.connect(database)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def test_each_line_is_code_docstring_comment_or_blank(census):
    row = census.count_source(SOURCE)

    assert row["lines"] == len(SOURCE.splitlines()) == 21
    assert (row["docstring"], row["comment"], row["blank"], row["code"]) == (5, 1, 3, 12)


def test_functions_classes_and_imports_are_counted(census):
    row = census.count_source(SOURCE)

    assert (row["functions"], row["classes"], row["imports"]) == (2, 1, 3)
    assert (row["longest_function"], row["longest_line"], row["longest_lines"]) == ("song", 15, 7)


@pytest.mark.parametrize(
    ("text", "lines", "blank"), [("", 0, 0), ("\n", 1, 1), ("x = 1", 1, 0), ("x = 1\n\n", 2, 1)]
)
def test_the_last_line_counts_with_or_without_its_end(census, text, lines, blank):
    row = census.count_source(text)

    assert (row["lines"], row["blank"]) == (lines, blank)


def test_a_form_feed_does_not_end_a_line(census):
    assert census.count_source("a = 1\n\x0c\nb = '\x1c'\n")["lines"] == 3


def test_each_bad_file_is_a_row_that_says_what_is_wrong(census, shelf):
    problems = {row["path"]: row for row in count(census, shelf)["problem"]}

    assert {path: row["kind"] for path, row in problems.items()} == {
        "syntax.py": "syntax",
        "indent.py": "indentation",
        "nulls.py": "null bytes",
        "latin.py": "encoding",
        "codec.py": "encoding",
        "deep.py": "too deep",
    }
    assert problems["codec.py"]["message"] == "unknown encoding: no-such-codec"
    assert "print" in problems["syntax.py"]["message"]
    assert all(row["message"] for row in problems.values())


def test_good_files_beside_bad_ones_are_counted(census, shelf):
    files = {row["path"]: row for row in count(census, shelf)["file"]}

    assert sorted(files) == ["cookie.py", "ship/crew.py", "ship/empty.py", "ship/escape.py"]
    assert (files["cookie.py"]["comment"], files["cookie.py"]["code"]) == (1, 1)
    assert files["ship/empty.py"]["bytes"] == files["ship/empty.py"]["lines"] == 0


def test_a_file_that_is_gone_is_unreadable(census, tmp_path):
    gone = {"package": "gone", "version": "", "folder": str(tmp_path), "path": "gone.py"}

    assert came_to(census, gone) == {"kind": "unreadable", "message": "No such file or directory"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes as a name")
def test_a_file_name_in_no_encoding_is_written_out(census, tmp_path):
    (tmp_path / "caf\udce9.py").write_text("x = 1\n")

    taken = count(census, tmp_path)
    written = census.write_database.run(taken, str(tmp_path))

    assert [row["path"] for row in taken["file"]] == ["caf\\udce9.py"]
    assert "caf\\udce9.py" in "".join(dump(Path(written)))


def test_a_file_belongs_to_the_distribution_that_installed_it(census, tmp_path):
    (tmp_path / "ship").mkdir()
    (tmp_path / "ship" / "crew.py").write_text("x = 1\n")
    (tmp_path / "stray.py").write_text("y = 2\n")
    about = tmp_path / "sailing-2.5.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sailing\nVersion: 2.5\n")
    (about / "RECORD").write_text("ship/crew.py,,\n")
    (tmp_path / "cut_short-1.0.dist-info").mkdir()

    found = {row["path"]: row for row in census.find_files.run(str(tmp_path))}

    assert (found["ship/crew.py"]["package"], found["ship/crew.py"]["version"]) == (
        "sailing",
        "2.5",
    )
    assert (found["stray.py"]["package"], found["stray.py"]["version"]) == ("stray", "")


def test_packages_and_total_are_sums_of_their_files(census, shelf):
    taken = count(census, shelf)
    [total] = taken["total"]
    ship = next(row for row in taken["package"] if row["package"] == "ship")

    assert (ship["files"], ship["lines"], ship["longest_file"]) == (3, 22, "ship/crew.py")
    for column in census.COUNTS:
        assert total[column] == sum(row[column] for row in taken["package"])
    assert sum(row["problems"] for row in taken["package"]) == len(taken["problem"]) == 6


def test_the_order_of_the_files_does_not_matter(census, shelf):
    files = census.find_files.run(str(shelf))
    came = [came_to(census, file) for file in files]

    assert census.combine.run(files, came) == census.combine.run(files[::-1], came[::-1])


def test_a_child_that_crashed_is_a_file_that_was_lost(census, shelf):
    [file, *_] = census.find_files.run(str(shelf))

    taken = census.combine.run([file], [MemoryError("worker gone")])

    [lost] = taken["problem"]
    assert (lost["path"], lost["kind"], lost["message"]) == (file["path"], "lost", "worker gone")
    assert (taken["file"], taken["total"][0]["files"]) == ([], 0)


def test_a_limit_takes_so_many_files_also_when_a_folder_failed(census, shelf):
    found = census.find_files.run(str(shelf))

    assert census.list_files.run([found, FileNotFoundError("no such folder")], None) == found
    assert len(census.list_files.run([found, FileNotFoundError("no such folder")], 5)) == 5


def test_only_folders_that_are_there_are_looked_in(census):
    assert all(Path(folder).is_dir() for folder in census.find_folders())


def test_writing_again_gives_the_same_and_leaves_no_pieces(census, shelf, tmp_path):
    taken, out = count(census, shelf), tmp_path / "out"
    out.mkdir()

    def write() -> tuple[list[str], str]:
        database = census.write_database.run(taken, str(out))
        page = census.write_page.run(taken, str(out), "2026-01-01")
        return dump(Path(database)), Path(page).read_text(encoding="utf-8")

    assert write() == write()
    assert sorted(path.name for path in out.iterdir()) == ["census.html", "census.sqlite"]


def test_a_database_that_cannot_be_written_leaves_the_old_one(census, shelf, tmp_path):
    taken = count(census, shelf)
    before = dump(Path(census.write_database.run(taken, str(tmp_path))))

    with pytest.raises(sqlite3.Error):
        census.write_database.run(taken | {"file": [{"path": "no other column"}]}, str(tmp_path))

    assert dump(tmp_path / "census.sqlite") == before
    assert not list(tmp_path.glob(".census*"))


def test_the_page_needs_nothing_from_elsewhere_and_escapes_what_it_shows(census, shelf):
    (shelf / "<script>.py").write_text("print 'hello'\n")

    page = census.draw_page(count(census, shelf), "2026-01-01")

    assert "&lt;script&gt;.py" in page
    assert "<script" not in page
    assert "http" not in page and "src=" not in page and "url(" not in page
    assert "prefers-color-scheme: dark" in page and "<svg" in page


def test_a_census_of_nothing_can_be_drawn(census):
    assert "</html>" in census.draw_page(census.combine.run([], []), "2026-01-01")


# ---------------------------------------------------------------- the flow


def run_script(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the example as its users do, so that its functions belong to `__main__`."""
    command = [sys.executable, str(EXAMPLES / "census.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=50)


@pytest.mark.parametrize("executor", ["local", "threads", "processes", "dask"])
def test_every_executor_writes_what_a_plain_loop_counts(census, shelf, tmp_path, executor):
    plain = census.write_database.run(count(census, shelf), str(tmp_path))
    out = tmp_path / executor

    done = run_script("--executor", executor, "--workers", 2, "--folder", shelf, "--out", out)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stderr and "Traceback" not in done.stderr
    assert "4 files of 8 packages hold 24 lines" in done.stdout
    assert "count_file: 6 Failed, 4 Success" in done.stdout
    assert "deep.py: too deep: " in done.stdout
    assert "and 1 more of count_file" in done.stdout
    assert dump(out / "census.sqlite") == dump(Path(plain))
    assert sorted(path.name for path in out.iterdir()) == ["census.html", "census.sqlite"]


def test_a_missing_folder_fails_alone_and_the_others_are_counted(census, shelf, tmp_path, capsys):
    arguments = ["--executor", "local", "--folder", str(shelf), "--out", str(tmp_path / "out")]

    code = census.main([*arguments, "--folder", str(tmp_path / "missing")])

    said = capsys.readouterr().out
    assert code == 0, said
    assert "find_files: 1 Failed, 1 Success" in said
    assert f"Failed: find_files[1]: {tmp_path / 'missing'}: no such folder" in said
    assert "4 files of 8 packages" in said


def test_when_no_folder_is_there_the_flow_fails_and_says_so(census, tmp_path, capsys):
    missing = str(tmp_path / "missing")

    code = census.main(["--executor", "local", "--folder", missing, "--out", str(tmp_path)])

    said = capsys.readouterr().out
    assert code == 1, said
    assert "Failed: find_files[0]" in said and "Nothing was counted" in said
    assert not list(tmp_path.iterdir())


def test_folders_without_python_fail_the_flow_too(census, tmp_path, capsys):
    (tmp_path / "bare").mkdir()

    code = census.main(
        ["--executor", "local", "--folder", str(tmp_path / "bare"), "--out", str(tmp_path / "out")]
    )

    said = capsys.readouterr().out
    assert code == 1, said
    assert "Failed: list_files: there is no .py file in them" in said


def test_tables_that_cannot_be_written_fail_the_flow_but_not_the_page(
    census, shelf, tmp_path, capsys
):
    (tmp_path / "census.sqlite" / "in the way").mkdir(parents=True)

    code = census.main(
        ["--executor", "threads", "--folder", str(shelf), "--out", str(tmp_path), "--limit", "3"]
    )

    said = capsys.readouterr().out
    assert code == 1, said
    assert "Failed: write_database" in said
    assert f"Report: {tmp_path / 'census.html'}" in said
    assert (tmp_path / "census.html").exists()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups to send Ctrl-C to")
def test_ctrl_c_ends_the_census_with_a_line_that_says_how_far_it_came(tmp_path):
    command = [sys.executable, "-u", str(EXAMPLES / "census.py"), "--out", str(tmp_path)]
    program = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        # A line may come before the first file was counted.
        told = iter(program.stderr.readline, "")
        assert any(re.search("count_file: .*Success", line) for line in told)
        os.killpg(program.pid, signal.SIGINT)  # as a terminal does
        out, err = program.communicate(timeout=30)
    finally:
        program.kill()
        program.communicate()

    assert program.returncode == 130
    last = out.splitlines()[-1]
    assert re.fullmatch(
        r"Interrupted, and goes on when it is run again: find_files: .*; count_file: .*Pending, [0-9,]+ Success",
        last,
    )
    assert "Traceback" not in err and "WARNING" not in err
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- killed, and run again

WITNESS = """\
import os, threading, tokenize

openly, size_of = tokenize.open, os.path.getsize

def note(what, path):
    if str(path).startswith(os.environ["SHELF"]):
        with open(os.environ["DIARY"], "a") as diary:
            diary.write(f"{what} {os.getpid()}/{threading.get_ident()} {path}\\n")

def witnessed(path):
    note("begin", path)
    return openly(path)

def size_of_counted(path):
    size = size_of(path)
    note("end", path)
    return size

tokenize.open, os.path.getsize = witnessed, size_of_counted
"""


@pytest.fixture
def diary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where each process of the census notes each file that it begins to parse, and that it has counted, for which
    it asks for its size last; a home of its own."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITNESS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SHELF", str(tmp_path / "shelf"))
    monkeypatch.setenv("DIARY", str(tmp_path / "diary"))
    (tmp_path / "diary").touch()
    return tmp_path / "diary"


def fill(shelf: Path, count: int) -> None:
    """Put so many more files on the shelf, each the work of some milliseconds."""
    for number in range(count):
        (shelf / f"book{number}.py").write_text(SOURCE * 40, encoding="utf-8")


def begun_in(diary: Path) -> list[str]:
    """The files that were begun, in order."""
    lines = [line.split(" ", 2) for line in diary.read_text().split("\n")[:-1]]
    return [path for what, _, path in lines if what == "begin"]


def over_in(diary: Path) -> set[str]:
    """The files that were counted and after which the same thread began another one, so that it was through."""
    over, last = set(), {}
    for line in diary.read_text().split("\n")[:-1]:
        what, thread, path = line.split(" ", 2)
        before = last.get(thread)
        if what == "begin" and before is not None and before[0] == "end":
            over.add(before[1])
        last[thread] = (what, path)
    return over


def kill_half_way(diary: Path, count: int, *arguments: object) -> None:
    """Run the example until so many files were begun, and then end all its processes by SIGKILL."""
    command = [sys.executable, str(EXAMPLES / "census.py"), *map(str, arguments)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    program = subprocess.Popen(command, start_new_session=True, **quiet)  # type: ignore[call-overload]  # settings
    try:
        wait_until(lambda: len(begun_in(diary)) >= count, 50)
    finally:
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups to kill")
@pytest.mark.parametrize("executor", ["threads", "dask"])
def test_a_census_that_was_killed_goes_on_and_parses_no_file_twice(
    shelf, diary, tmp_path, executor
):
    fill(shelf, 200)
    where = ("--folder", shelf, "--out", tmp_path / "out")
    arguments = ("--executor", executor, "--workers", 2, *where)
    kill_half_way(diary, 100, *arguments)
    first, over = begun_in(diary), over_in(diary)
    assert 100 <= len(first) < 200 and len(over) > 80

    done = run_script(*arguments)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "It goes on; --no-resume begins a new one." in done.stdout
    assert "count_file: 6 Failed, 204 Success" in done.stdout
    assert "Not counted: 2 encoding" in done.stdout, "what failed before has its reason still"
    begun = begun_in(diary)
    assert set(first) < set(begun) and len(set(begun)) == 210
    again = {path for path, times in Counter(begun).items() if times > 1}
    # A worker that is killed in the middle of a file has not counted it.
    assert len(begun) - 210 == len(again) <= 2
    assert not again & over
    runs = Ledger(tmp_path / "home" / "ledger.sqlite").flow_runs()
    assert [run.state for run in runs] == ["Success"]


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups to kill")
def test_a_new_census_is_begun_where_that_is_wanted_or_another_one_was_killed(
    shelf, diary, tmp_path
):
    fill(shelf, 100)
    arguments = ("--executor", "threads", "--folder", shelf, "--out", tmp_path / "out")
    kill_half_way(diary, 30, *arguments)

    other = run_script(*arguments, "--limit", 3)
    anew = run_script(*arguments, "--no-resume")

    assert "goes on" not in other.stdout + anew.stdout
    runs = Ledger(tmp_path / "home" / "ledger.sqlite").flow_runs()
    assert [run.state for run in runs] == ["Success", "Success", "Crashed"]
    assert "goes on" not in run_script(*arguments).stdout, "the last one came to its end"


def test_on_a_terminal_one_is_asked(census, monkeypatch):
    run = SimpleNamespace(run_id="a", begun=datetime.now(timezone.utc))
    monkeypatch.setattr(census, "Ledger", lambda: SimpleNamespace(task_runs=lambda run_id: []))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    for answer, goes_on in (("", True), ("y", True), ("N", False)):
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: answer)
        assert census.may_resume(run, None) is goes_on
        assert census.may_resume(run, True) is True
