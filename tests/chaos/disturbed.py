"""One case, run: its coordinating process is started, again where it died, while faults happen at their moments."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

from prefect_dask.ledger import Ledger
from prefect_dask.ledger.errors import LedgerAway, LedgerRefused, NothingRecorded
from prefect_dask.ledger.facts import RecordedFlowRun
from prefect_dask.limits import set_limit
from tests.chaos import crash_points
from tests.chaos.ground import Ground, first_working_child
from tests.chaos.plan import Case, Fault
from tests.chaos.traces import Traces
from tests.faults.cluster import REPOSITORY
from tests.postgres import (
    RestartableServer,
    find_binaries,
    folder_of_server,
    running_restartable,
)
from tests.waiting import LOOK_SECONDS, wait_until

#: In the environment of each process of a case, by which those are found that outlive it.
MARK = "CHAOS_CASE"

#: The largest file while there is no room: a ledger with its write-ahead log, and large results, come to more.
FULL_BYTES = 30_000

#: How often a run may be taken up again beyond the number of its faults: a cluster may take a while to be back.
MORE_EPOCHS = 6

#: How long a run is its process's without a word where slots hang on that: nobody gets those of a dead process
#: before.
LEASE_SECONDS = 9

#: How long a process has for its end when all else is over, seconds.
END_SECONDS = 15.0


class Broken(AssertionError):
    """A promise was not kept."""


class Disturbed:
    """A case on its way.

    Args:
        case: The case.
        folder: For all of its files; empty.
        limit_seconds: How long it may take, faults and all.
    """

    def __init__(self, case: Case, folder: Path, limit_seconds: float) -> None:
        self.case, self.folder = case, folder
        self.traces = Traces(folder)
        #: Names the ledger.
        self.ledger = str(folder / "ledger.sqlite")
        self.server: RestartableServer | None = None
        self._stack = ExitStack()
        self.mark = uuid.uuid4().hex
        self.deadline = time.monotonic() + limit_seconds
        self.ground: Ground | None = None
        #: All coordinating processes, in order.
        self.coordinators: list[subprocess.Popen[bytes]] = []
        #: When each of them was seen to have ended, or lost the run, on the clock of the bodies.
        self.over_ns: dict[int, int] = {}
        #: What has happened until now, for people.
        self.told: list[str] = []
        self._to_come = [fault for fault in case.faults if fault.kind != "crash"]
        #: What ends after a while: when, and how.
        self._due: list[tuple[float, Callable[[], None]]] = []
        #: Coordinating processes that are stopped until others have taken their run up.
        self.stale: list[subprocess.Popen[bytes]] = []
        #: Whether there was no room for anything, by which a run may end Failed, and has to be restarted.
        self._may_fail = False
        #: Never set: what is waited for are the processes of the case, which tell this one nothing.
        self._pause = threading.Event()

    # ---- what is there

    def run_id(self) -> str | None:
        """The run's id; None where it never came to be recorded."""
        run = self.record()
        return None if run is None else run.run_id

    def record(self) -> RecordedFlowRun | None:
        """What the ledger says of the run."""

        def ask() -> tuple[list[RecordedFlowRun]] | None:
            try:
                return (self.opened_ledger().flow_runs(),)
            except (LedgerRefused, NothingRecorded):
                return ([],)
            except LedgerAway:
                return None  # it was just restarted

        answer = wait_until(ask, what="a ledger that answers")
        assert answer is not None
        (runs,) = answer
        if len(runs) > 1:
            raise Broken(f"there are {len(runs)} runs in the ledger")
        return runs[0] if runs else None

    def opened_ledger(self) -> Ledger:
        """The ledger, with its journals where the processes of the case have them."""
        with environment(self.variables("looks")):
            return Ledger(self.ledger)

    def variables(self, role: str) -> dict[str, str]:
        """What is in the environment of a process of the case."""
        crashes = [
            crash_points.Crash(f.target, f.point, f.nth, str(self._mark_of(number)))
            for number, f in enumerate(self.case.faults)
            if f.kind == "crash"
        ]
        lease = {"PREFECT__LEDGER__LEASE_SECONDS": str(LEASE_SECONDS)} if self.case.limits else {}
        ttl_seconds = self.case.worker_ttl_seconds
        ttl = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": f"{ttl_seconds} s"} if ttl_seconds else {}
        return {
            **lease,
            **ttl,
            MARK: self.mark,
            crash_points.ROLE: role,
            crash_points.VARIABLE: crash_points.as_text(crashes),
            "PREFECT_HOME": str(self.folder / "home"),
            # Dask's own files are not ours to look after.
            "TMPDIR": str(self.folder / ("tmp" if role == "coordinator" else "cluster-tmp")),
            "PYTHONPATH": str(REPOSITORY),
        }

    def missed(self) -> list[Fault]:
        """The faults that did not happen."""
        return self._crashes(has_happened=False) + self._to_come

    def _crashes(self, *, has_happened: bool) -> list[Fault]:
        return [
            fault
            for number, fault in enumerate(self.case.faults)
            if fault.kind == "crash" and self._mark_of(number).exists() is has_happened
        ]

    def _mark_of(self, number: int) -> Path:
        """What is there as soon as a crash has happened."""
        return self.folder / f"crashed-{number}"

    # ---- the run

    def run(self) -> None:
        """Go on until the run is over, and nothing of it is under way.

        Raises:
            Broken: It did not end, or not as it should.
        """
        for name in ("home", "tmp", "cluster-tmp"):
            (self.folder / name).mkdir()
        (self.folder / "case.pickle").write_bytes(pickle.dumps(self.case))
        try:
            self._prepare_ledger()
            if self.case.place == "cluster":
                self.ground = Ground(self.folder, self.variables("worker"))
                self.ground.begin()
            self._start("run")
            while self._goes_on():
                pass
            self._let_stale_ones_end()
        finally:
            self._end_all()

    def _prepare_ledger(self) -> None:
        if self.case.store == "postgresql":
            folder = self._stack.enter_context(folder_of_server())
            self.server = self._stack.enter_context(running_restartable(find_binaries(), folder))
            self.ledger = self.server.server.url
        (self.folder / "place").write_text(self.ledger)
        with environment(self.variables("looks")):
            for name, slots in self.case.limits.items():
                set_limit(name, slots, ledger=self.ledger)

    def _goes_on(self) -> bool:
        """Look once; False when the run is over."""
        self._pause.wait(LOOK_SECONDS)
        if self.ground is not None:
            self.ground.look_after()
        now = time.monotonic()
        if now > self.deadline:
            raise Broken(f"R4: the run does not end; {self._where_it_is()}")
        for each in [each for each in self._due if each[0] <= now]:
            self._due.remove(each)
            each[1]()
        begun = self.traces.begun_count()
        for fault in [fault for fault in self._to_come if fault.after <= begun]:
            if self._happens(fault):
                self.told.append(f"now: {fault}")
                self._to_come.remove(fault)
        if not self._to_come and not self._due:
            self.traces.note_faults_over()
        if self.coordinators[-1] in self.stale:
            self._start("resume")
        code = self.coordinators[-1].poll()
        if code is None:
            return True
        self._note_end()
        points = ", ".join(fault.point for fault in self._crashes(has_happened=True)) or "nowhere"
        number = len(self.coordinators) - 1
        self.told.append(
            f"coordinating process {number} ended with {code}; killed until now {points}"
        )
        what = self._what_follows(code)
        if what is None:
            return False
        self._start(what)
        return True

    def _what_follows(self, code: int) -> str | None:
        """What is done when a coordinating process has ended; None where the run is over."""
        run = self.record()
        if run is None:
            if code >= 0:
                raise Broken(f"a run was not recorded; {self._where_it_is()}")
            return "run"
        self.told.append(f"the run is {run.state}: {run.message}")
        if run.state == "Success":
            return None
        if len(self.coordinators) > len(self.case.faults) + MORE_EPOCHS:
            raise Broken(f"R4: taken up {len(self.coordinators)} times; {self._where_it_is()}")
        if run.state == "Crashed" and (code < 0 or self._may_fail):
            return "resume"
        if run.state == "Failed" and self._may_fail:
            return "restart"
        raise Broken(f"the run came to {run.state}: {run.message}; {self._where_it_is()}")

    def _start(self, what: str) -> None:
        epoch = len(self.coordinators)
        self.told.append(f"coordinating process {epoch}: {what}")
        address = [self.ground.address] if self.ground is not None else []
        arguments = [str(self.folder), str(epoch), what, *address]
        with (self.folder / f"coordinator-{epoch}.log").open("wb") as log:
            self.coordinators.append(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.chaos.coordinator", *arguments],
                    env={**os.environ, **self.variables("coordinator")},
                    cwd=REPOSITORY,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )

    def _note_end(self) -> None:
        self.over_ns[len(self.coordinators) - 1] = time.monotonic_ns()

    def _where_it_is(self) -> str:
        log = self.folder / f"coordinator-{len(self.coordinators) - 1}.log"
        return "the coordinating process wrote:\n" + log.read_text(errors="replace")[-3_000:]

    # ---- faults

    def _happens(self, fault: Fault) -> bool:
        """Have a fault happen; False where there is nobody to whom, yet."""
        if fault.kind in ("abort", "delay"):
            return self._disturb_connections(fault)
        if fault.target == "ledger":
            assert self.server is not None
            self.server.restart(by_force=fault.kind == "kill")
            return True
        process = self._process(fault.target)
        try:
            if process is None or process.status() == psutil.STATUS_ZOMBIE:
                return False
            if fault.kind == "kill":
                process.kill()
                self._replace(fault.target)
            elif fault.kind == "stop":
                process.suspend()
                self._later(fault.seconds, process.resume)
            elif fault.kind == "full":
                pid = process.pid
                _limit_files(pid, FULL_BYTES)
                # Without room for the journal, too, the run ends, and says so.
                self._may_fail |= fault.target == "coordinator"
                self._later(fault.seconds, lambda: _limit_files(pid, resource.RLIM_INFINITY))
            elif fault.kind == "stale":
                return self._make_stale(process)
        except (psutil.Error, ProcessLookupError):
            return False  # it ended just now
        return True

    def _process(self, target: str) -> psutil.Process | None:
        coordinator = self.coordinators[-1]
        try:
            if target == "coordinator":
                return None if coordinator.poll() is not None else psutil.Process(coordinator.pid)
            if self.ground is None:
                return first_working_child(coordinator.pid)
            if target == "worker":
                return self._busiest(self.ground.workers())
            process = self.ground.nanny() if target == "nanny" else self.ground.cluster.scheduler
            return None if process is None else psutil.Process(process.pid)
        except psutil.Error:
            return None

    def _busiest(self, workers: list[psutil.Process]) -> psutil.Process | None:
        """The one where a body was begun last; who is idle is not missed."""
        last_begun = {
            body.execution.pid: number for number, body in enumerate(self.traces.bodies())
        }
        return max(workers, key=lambda each: last_begun.get(each.pid, -1), default=None)

    def _replace(self, target: str) -> None:
        """Do what whoever looks after a cluster does."""
        if self.ground is not None and target == "scheduler":
            self.ground.start_again()

    def _disturb_connections(self, fault: Fault) -> bool:
        assert self.ground is not None
        proxy = self.ground.for_workers if fault.target == "worker" else self.ground.for_clients
        if not proxy.is_in_use:
            return False
        if fault.kind == "delay":
            proxy.delay(fault.seconds)
        else:
            proxy.abort()
        return True

    def _make_stale(self, process: psutil.Process) -> bool:
        """Stop a coordinating process, and have it taken for dead; False where its run is not there, or over."""
        # Stopped with the ledger locked, it would hold up whoever comes next: another moment, then.
        for _ in range(20):
            process.suspend()
            run = self._take_for_dead()
            if run == "Crashed":
                self.stale.append(self.coordinators[-1])
                self._note_end()
                return True
            process.resume()
            if run is not None:
                return False
            self._pause.wait(LOOK_SECONDS)
        return False

    def _take_for_dead(self) -> str | None:
        """Let the lease of the run be over; the state of the run then, None where the ledger is locked."""
        is_over = "SET lease_until = 1.0, process = '' WHERE ended IS NULL"
        if self.server is not None:
            import psycopg

            try:
                with psycopg.connect(self.ledger, options="-c lock_timeout=200ms") as connection:
                    connection.execute(f"UPDATE prefect_dask.flow_runs {is_over}")
            except psycopg.errors.UndefinedTable:
                return ""
            except psycopg.OperationalError:
                return None
        else:
            import sqlite3

            if not Path(self.ledger).exists():
                return ""
            try:
                with sqlite3.connect(self.ledger, timeout=0.2) as file:
                    file.execute(f"UPDATE flow_runs {is_over}")
                file.close()
            except sqlite3.OperationalError:
                return None
        run = self.record()
        return "" if run is None else run.state

    def _later(self, seconds: float, action: Callable[[], object]) -> None:
        def act() -> None:
            with suppress(psutil.Error, ProcessLookupError):
                action()

        self._due.append((time.monotonic() + seconds, act))

    # ---- the end

    def _let_stale_ones_end(self) -> None:
        """What was stopped wakes up, after another one has finished its run, and ends by itself."""
        for _, act in self._due:
            act()
        self._due.clear()
        for process in self.stale:
            os.kill(process.pid, signal.SIGCONT)
        for process in self.stale:
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                raise Broken("a coordinating process that lost its run does not end") from None

    def _end_all(self) -> None:
        for process in self.coordinators:
            process.kill()
            process.wait(20)

    def left_processes(self) -> list[psutil.Process]:
        """The processes of the case that are there, but for those of the cluster."""
        own = set()
        if self.ground is not None:
            for process in self.ground.cluster._all:
                with suppress(psutil.Error):
                    parent = psutil.Process(process.pid)
                    own |= {parent, *parent.children(recursive=True)}
        return [each for each in marked_processes(self.mark) if each not in own]

    def close(self) -> None:
        """End what is left of it."""
        self._end_all()
        self._stack.close()
        if self.ground is not None:
            self.ground.close()
        for process in marked_processes(self.mark):
            with suppress(psutil.Error):
                process.kill()
        wait_until(lambda: not marked_processes(self.mark), what="all processes are gone")


def marked_processes(mark: str) -> list[psutil.Process]:
    """The processes that have a mark in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _limit_files(pid: int, most_bytes: int) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most_bytes, hard))


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """This process's environment with some more in it."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
