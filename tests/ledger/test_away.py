"""A ledger that cannot be written: the run goes on, what happens waits, and nothing is lost in silence."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgpack
import pytest

from prefect_dask import Flow, context, task, unmapped
from prefect_dask.engine.frames import framed
from prefect_dask.ledger import Ledger
from prefect_dask.ledger.entries import Begun, Entry, Moved, Rows
from prefect_dask.ledger.errors import NothingRecorded
from prefect_dask.ledger.journal import Journal, read
from prefect_dask.ledger.places import Place
from prefect_dask.ledger.writer import writer_for
from tests import postgres
from tests.waiting import wait_until

RUN = "f" * 32


@task
def same(x):
    return x


def states(first: int, count: int) -> Rows:
    values = [v for i in range(count) for v in (0, i, 1, "Running", None, 1.0, "w", None, None)]
    return Rows(RUN, 0, "states", first, values)


ENTRIES: list[Entry] = [Begun(RUN), states(0, 3), Moved(RUN, 0, 3, "Success", None, 2.0, True)]


# ---- the journal


@pytest.fixture
def journal(journals, tmp_path) -> Iterator[Journal]:
    journal = Journal(journals, Place("sqlite", str(tmp_path / "its.sqlite")))
    yield journal
    journal.leave()


def file_of(journals: Path) -> Path:
    [file] = journals.glob("*.journal")
    return file


def test_what_is_put_in_comes_out(journal):
    journal.append(ENTRIES)
    journal.append([states(4, 1)])
    assert list(journal.batches()) == [ENTRIES, [states(4, 1)]]


@pytest.mark.parametrize("kept", [0, 3, 8, 20])
def test_a_torn_end_is_left_out_and_what_is_before_it_is_not(journal, journals, kept):
    journal.append(ENTRIES)
    whole = file_of(journals).stat().st_size
    journal.append([states(4, 100)])
    os.truncate(file_of(journals), whole + kept)
    assert len(list(read(file_of(journals)))) == 1


def test_a_damaged_frame_ends_the_reading(journal, journals):
    journal.append(ENTRIES)
    journal.append(ENTRIES)
    data = bytearray(file_of(journals).read_bytes())
    data[-1] ^= 1
    file_of(journals).write_bytes(data)
    assert len(list(read(file_of(journals)))) == 1


def test_what_a_process_left_behind_is_written_by_who_reads_next(journals, tmp_path):
    place = tmp_path / "its.sqlite"
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from prefect_dask.ledger.journal import Journal\n"
        "from prefect_dask.ledger.places import Place\n"
        "from tests.ledger.test_away import ENTRIES\n"
        "Journal(Path(sys.argv[1]), Place('sqlite', sys.argv[2])).append(ENTRIES)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(journals), str(place)], timeout=50)
    assert file_of(journals)

    ledger = Ledger(place)
    assert ledger.flow_run(RUN).state == "Success"
    assert len(ledger.states(RUN, 0, 2)) == 1
    assert not list(journals.glob("*.journal"))


def test_the_journal_of_a_living_process_is_left_alone(journal, journals, tmp_path):
    journal.append(ENTRIES)
    with pytest.raises(NothingRecorded):
        Ledger(tmp_path / "its.sqlite").flow_runs()
    assert file_of(journals)


# ---- SQLite


def test_a_full_disk_lets_the_run_go_on_and_is_caught_up_with(tmp_path, journals):
    place = tmp_path / "its.sqlite"
    writer = writer_for(Place("sqlite", str(place)), journals)
    writer.store.open()
    # As a disk is full: SQLite may use no page more.
    [(pages,)] = writer.store.execute("PRAGMA page_count")
    writer.store.execute(f"PRAGMA max_page_count = {pages}")

    with Flow("full") as flow:
        same.map(list(range(500)))
    assert flow.run(ledger=place).is_successful()
    assert file_of(journals).stat().st_size > 5_000

    writer.close()  # its next connection has no such limit
    ledger = Ledger(place)
    [run] = ledger.flow_runs()
    assert run.state == "Success"
    counts = Counter(s.state for s in ledger.states(run.run_id) if s.map_index >= 0)
    assert counts == {"Running": 500, "Success": 500}
    assert not list(journals.glob("*.journal"))


LIMITED = """
import resource, sys
from prefect_dask import Flow, task, unmapped
from prefect_dask.settings import set_temporary_config

@task
def same(x):
    return x

with Flow("limited") as flow:
    same.map(list(range(20000)))
place, journals, limit_bytes = sys.argv[1:]
flow.run(ledger=place) if int(limit_bytes) < 0 else None
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit_bytes), resource.RLIM_INFINITY))
with set_temporary_config({"ledger.journal": journals}):
    state = flow.run(ledger=place)
print(type(state).__name__, state.message)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of POSIX")
def test_without_room_for_ledger_and_journal_the_run_fails_and_says_so(tmp_path, journals):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "its.sqlite"), str(journals), "60000"],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert done.stdout.startswith("Failed the run cannot be recorded: the ledger")
    assert "its.sqlite cannot be written" in done.stdout and "make room" in done.stdout


@pytest.mark.skipif(not os.path.exists("/proc/mounts"), reason="a mount of Linux")
def test_on_a_file_system_that_is_full_the_run_goes_on(journals):
    folder = Path(tempfile.mkdtemp(prefix="prefect-dask-small-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        folder.rmdir()
        pytest.skip("may not mount a file system here")
    try:
        with Flow("small disk") as flow:
            same.map(list(range(20000)))
        place = folder / "its.sqlite"
        assert flow.run(ledger=place).is_successful()
        assert file_of(journals)

        subprocess.run(["mount", "-o", "remount,size=16m", str(folder)], check=True)
        writer_for(Place("sqlite", str(place)), journals).close()
        ledger = Ledger(place)
        [run] = ledger.flow_runs()
        assert (run.state, len(ledger.task_runs(run.run_id))) == ("Success", 20002)
        assert not list(journals.glob("*.journal"))
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)
        shutil.rmtree(folder, ignore_errors=True)


# ---- PostgreSQL


@contextmanager
def server_of_its_own() -> Iterator[tuple[Path, Path]]:
    binaries = postgres.find_binaries()
    folder = Path(tempfile.mkdtemp(prefix="prefect-dask-postgres-"))
    try:
        if postgres.is_root():
            os.chown(folder, postgres.NOBODY, postgres.NOBODY)
        yield binaries, folder
    finally:
        shutil.rmtree(folder)


class Again:
    """Starts a stopped server again, on the same data and port."""

    def __init__(self, binaries: Path, folder: Path, server: postgres.PostgresServer) -> None:
        self.binaries, self.folder, self.server = binaries, folder, server
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = [str(self.binaries / "postgres"), "-D", str(self.folder / "data")]
            command += ["-p", str(self.server.port), "-c", f"listen_addresses={self.server.host}"]
            command += ["-c", "unix_socket_directories=", "-c", "fsync=off"]
            self.process = subprocess.Popen(command, **postgres.quietly(self.folder, log))
        assert postgres.is_up(self.process, self.server)

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        postgres.end(self.process)


def test_postgresql_goes_away_and_comes_back_in_mid_run(journals):
    gone, back = threading.Event(), threading.Event()
    told = threading.Event()

    @task
    def wait_for_the_server_to_go():
        told.set()
        assert gone.wait(30)

    @task
    def wait_for_the_server_to_be_back(xs):
        assert back.wait(30)

    with Flow("patient") as flow:
        begun = wait_for_the_server_to_go()
        xs = same.map(list(range(100)), upstream_tasks=[unmapped(begun)])
        wait_for_the_server_to_be_back(xs)

    states = []
    with server_of_its_own() as (binaries, folder):
        with postgres.running(binaries, folder) as server:
            runner = threading.Thread(target=lambda: states.append(flow.run(ledger=server.url)))
            runner.start()
            assert told.wait(30)
            ledger = Ledger(server.url)
            wait_until(ledger.flow_runs, what="the run is in the ledger")
        gone.set()
        file = wait_until(lambda: list(journals.glob("*.journal")), what="a journal")
        with Again(binaries, folder, server):
            wait_until(lambda: not file[0].exists(), what="the journal is written to the ledger")
            back.set()
            runner.join(30)
            [state] = states
            assert state.is_successful()
            [run] = ledger.flow_runs()
            counts = Counter(s.state for s in ledger.states(run.run_id) if s.map_index >= 0)
            assert (run.state, counts) == ("Success", {"Running": 100, "Success": 100})
            writer_for(ledger.place, journals).close()


def test_a_run_that_ends_while_the_ledger_is_away_is_told_by_the_next_process(journals):
    with server_of_its_own() as (binaries, folder):
        with postgres.running(binaries, folder) as server:
            pass
        with Flow("alone") as flow:
            same.map(list(range(10)))
        assert flow.run(ledger=server.url).is_successful()
        writer_for(Ledger(server.url).place, journals).close()
        assert file_of(journals)
        with Again(binaries, folder, server):
            [run] = Ledger(server.url).flow_runs()
            assert run.state == "Success"
            assert not list(journals.glob("*.journal"))


def test_a_killed_coordinating_process_loses_nothing_that_it_wrote(tmp_path):
    place = tmp_path / "its.sqlite"
    code = (
        "import os, sys\n"
        "from prefect_dask import Flow, task\n"
        "from prefect_dask.ledger import Ledger\n"
        "from prefect_dask.executors import LocalDaskExecutor\n"
        "@task\n"
        "def die(x):\n"
        "    if x == 50:\n"
        "        run = Ledger(sys.argv[1]).flow_runs()[0]\n"
        "        os.kill(os.getpid(), 9)\n"
        "with Flow('killed') as flow:\n"
        "    die.map(list(range(100)))\n"
        "flow.run(ledger=sys.argv[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(place)], timeout=50)
    assert done.returncode == -signal.SIGKILL
    ledger = Ledger(place)
    [run] = ledger.flow_runs()
    assert (run.state, run.message) == (
        "Crashed",
        f"the coordinating process {run.coordinator} died",
    )
    told = {s.state for s in ledger.states(run.run_id)}
    assert told <= {"Running", "Success", "Mapped", "Crashed"}


@pytest.mark.parametrize("what", ["of a later version", "not to be read"])
def test_a_journal_that_nobody_can_read_here_stays_and_costs_nothing(place, journals, what):
    journals.mkdir()
    left = journals / f"{place.digest}-left.journal"
    if what == "not to be read":
        left.mkdir()
    else:
        left.write_bytes(framed(msgpack.packb([[9, RUN, "what it says"]])))
    with Flow("goes on") as flow:
        one = same(1)

    state = flow.run(ledger=str(place.target))

    assert state.is_successful(), state.message
    assert state.result[one].result == 1
    [run] = Ledger(str(place.target)).flow_runs()
    assert (run.flow_name, run.state) == ("goes on", "Success")
    assert left.exists(), "somebody may be able to"


def test_a_number_that_no_database_takes_holds_up_nothing(url, ledger, journals):
    @task
    def tells():
        context.logger.log(10**30, "louder than anything")

    state = Flow("loud", tasks=[tells]).run(ledger=url)

    assert state.is_successful(), state.message
    [run] = ledger.flow_runs()
    assert run.state == "Success"
    assert "louder than anything" in [line.message for line in ledger.logs(run.run_id)]
    assert not list(journals.glob("*"))
