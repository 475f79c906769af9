"""The one thread of a process that writes to a ledger: in batches, to the journal while the ledger is away."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeAlias

from prefect_dask.engine import clock
from prefect_dask.engine.failures import text_of, type_and_text_of
from prefect_dask.engine.logs import get_logger
from prefect_dask.ledger.entries import Entry, Leased
from prefect_dask.ledger.errors import LedgerAway, LedgerRefused, NotRecorded
from prefect_dask.ledger.journal import Journal, orphans, read
from prefect_dask.ledger.leases import LeaseClock, lease_seconds, renew_seconds
from prefect_dask.ledger.places import Place
from prefect_dask.ledger.processes import name_of_holder
from prefect_dask.ledger.requests import LOOK_SECONDS, Request, take_requests
from prefect_dask.ledger.store import Store

#: How long entries wait for company, seconds: unseen by people who follow a run, and ten transactions a second
#: are nothing to a disk that several processes share.
COMPANY_SECONDS = 0.1

#: How often a ledger that is away is asked again, seconds.
RETRY_SECONDS = 1.0

#: How long a thread without work stays, with its connection, seconds.
IDLE_SECONDS = 10.0

#: How long the end of Python waits for the last entries, seconds.
EXIT_SECONDS = 15.0

#: Makes entries of what was put with it, in that order: in the writer's thread, where nobody waits for it.
MakesEntries: TypeAlias = Callable[[Sequence[Any]], Iterable[Entry]]

#: Is given what is asked of a run.
TakesRequest: TypeAlias = Callable[[Request], None]


class Writer:
    """Writes entries of any number of runs, in the order in which they come.

    Args:
        store: Where they go.
        journal: Where they wait while the store is away.
    """

    def __init__(self, store: Store, journal: Journal) -> None:
        self.store = store
        #: Why what came last is written nowhere; None again once it is.
        self.error: NotRecorded | None = None
        #: Runs that another process has taken over, with the fences under which they were this one's.
        self.superseded: set[tuple[str, int]] = set()
        self._journal = journal
        #: Appended to by any thread, without the lock.
        self._queue: list[tuple[MakesEntries, Any]] = []
        self._taken_count = self._done_count = 0
        self._changed = threading.Condition()
        self._is_hurried = self._is_closing = False
        #: Whether the thread is not there, or may not look at the queue before it is told to.
        self._must_be_woken = True
        self._thread: threading.Thread | None = None
        self._retry_at = 0.0
        #: Runs that this process coordinates, with their fences, and who takes what is asked of them.
        self._held: dict[str, tuple[int, TakesRequest]] = {}
        self._renew_at = self._look_at = 0.0
        #: Of those, until when nobody else can have them, on this process's clock.
        self._leased_until: dict[str, float] = {}
        self._leases = LeaseClock()
        #: Written nowhere yet.
        self._unwritten: list[Entry] = []
        #: For those who ask beside the thread; there as long as that is.
        self._asked: Store | None = None
        self._asking = threading.Lock()
        self._has_looked_for_orphans = False
        self._has_warned = False
        self._has_lost = False

    def check(self) -> None:
        """See that the ledger can be used.

        Raises:
            LedgerRefused: It cannot; nothing was put in it.
        """
        with self._changed:
            if self._thread is not None:
                return  # it is in use
            with suppress(LedgerAway):  # the journal will do until it is there
                self.store.open()

    @property
    def journal_folder(self) -> Path:
        """Where the journal is, and what has to be known while the ledger is away."""
        return self._journal.folder

    def ask(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query, from any thread.

        Args:
            query: Its name.
            values: What its marks stand for.

        Raises:
            LedgerAway: It cannot be asked now.
            LedgerRefused: The same.
        """
        if self.store.place.kind == "memory":
            self.store.open()
            return self.store.ask(query, values)
        with self._asking:
            # The thread is at the other one, and to open one takes ten times as long as to ask.
            if self._asked is None:
                self._asked = open_store(self.store.place)
            self._asked.open()
            return self._asked.ask(query, values)

    def put(self, make: MakesEntries, item: Any) -> None:
        """Write entries soon; returns at once.

        Args:
            make: Makes them of this item and those that were put with it just before and after.
            item: What they tell.
        """
        self._queue.append((make, item))
        # In this order: who is about to wait says so, and then looks at the queue once more.
        if self._must_be_woken:
            self._wake()

    def hold(self, run_id: str, fence: int, take: TakesRequest) -> None:
        """From now on renew the lease of a run, held for the first time already, and look for what is asked of it.

        Args:
            run_id: The run.
            fence: Under which this process writes it.
            take: Called in the writer's thread with what is asked of it.
        """
        with self._changed:
            if not self._held:
                self._renew_at = clock.monotonic() + renew_seconds()
                self._look_at = clock.monotonic() + LOOK_SECONDS
            self._held[run_id] = fence, take
        # It may be waiting for as long as one does that holds none.
        self.put(_nothing, None)

    def let_go(self, run_id: str) -> None:
        """Renew the lease of a run no more, nor look for what is asked of it."""
        with self._changed:
            self._held.pop(run_id, None)
            self._leased_until.pop(run_id, None)

    def look_soon(self) -> None:
        """Look now for what is asked of runs: somebody in this process has just asked something."""
        with self._changed:
            self._look_at = 0.0
            self._is_hurried = True
            self._changed.notify_all()

    def leased_seconds(self, run_id: str) -> float:
        """For how long the lease of a run that is held cannot run out, seconds; at most 0 where it may have.

        Known of those whose lease was renewed here: when the one with which a run begins is written, nobody says.
        """
        return self._leased_until.get(run_id, 0.0) - clock.monotonic()

    def renew(self, timeout_seconds: float) -> None:
        """Renew the leases of the runs that are held, and wait for that as long; from any other thread."""
        with self._changed:
            self._renew_at = 0.0
        self.put(_nothing, None)
        self.flush(timeout_seconds)

    @property
    def is_behind(self) -> bool:
        """Whether something waits to be written to the ledger until that is back."""
        return not self._journal.is_empty or bool(self._unwritten)

    def _wake(self) -> None:
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="prefect-dask-ledger", daemon=True
                )
                self._must_be_woken = False
                self._thread.start()
            else:
                self._changed.notify_all()

    def flush(self, timeout_seconds: float | None = None) -> bool:
        """Wait until what was put is in the ledger or the journal, or nowhere; whether that came about in time."""
        with self._changed:
            wanted = self._taken_count + len(self._queue)
            if self._done_count >= wanted:
                return True
            self._is_hurried = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._done_count >= wanted, timeout_seconds)

    def close(self, timeout_seconds: float | None = None) -> None:
        """Write what is left, end the thread, and let the connection go; `put` begins anew."""
        with self._changed:
            thread = self._thread
            if thread is not None:
                self._is_closing = True
                self._changed.notify_all()
        if thread is not None:
            thread.join(timeout_seconds)
        else:
            self.store.close()
            self._close_asked()

    def _close_asked(self) -> None:
        with self._asking:
            if self._asked is not None:
                self._asked.close()

    # ---- the thread

    def _run(self) -> None:
        while True:
            with self._changed:
                has_work = bool(self._queue) or self._wait_for_work()
            if not has_work:
                # Without the lock: a ledger that is slow would hold up whoever puts something.
                self._let_ledger_go()
            with self._changed:
                if not has_work and not self._queue:
                    self._thread, self._is_closing, self._must_be_woken = None, False, True
                    return
                items = self._queue.copy()
                # Not a new list: who puts something may hold this one.
                del self._queue[: len(items)]
                self._taken_count += len(items)
                self._is_hurried = False
            try:
                until = clock.monotonic() + lease_seconds()
                renewals = self._renewals()
                if self._settle([*_entries_of(items), *renewals]) and renewals:
                    self._note_renewed(renewals, until)
            except Exception:
                self._note_lost()
            self._look_for_requests()
            with self._changed:
                self._done_count += len(items)
                self._changed.notify_all()
            # Not kept until something comes again: results hang on them.
            del items

    def _let_ledger_go(self) -> None:
        """Write what waits in the journal if that can be, and let go of all that is open."""
        try:
            if self._unwritten or not self._journal.is_empty:
                self._settle([])
        except Exception:
            self._note_lost()
        self.store.close()
        self._close_asked()
        self._journal.leave()

    def _note_lost(self) -> None:
        """In a handler: nothing is known that leads here; what is lost must be told all the same."""
        get_logger("ledger").exception("the ledger %s lost entries", self.store.place)
        self._has_lost = True
        self._cannot("see the log", "see the log")

    def _wait_for_work(self) -> bool:
        """Wait for entries, and then for company for them; False when the thread is to end."""
        waits = self.is_behind
        self._must_be_woken = True
        has_come = self._changed.wait_for(
            lambda: self._queue or self._is_closing or (self._held and not self._look_at),
            self._patience(is_behind=waits),
        )
        is_idle = not has_come and not waits and not self._held
        if not self._queue and (self._is_closing or is_idle):
            return False  # whoever puts something from here on starts a thread
        self._must_be_woken = False
        if has_come and not self._is_closing:
            self._changed.wait_for(lambda: self._is_hurried or self._is_closing, COMPANY_SECONDS)
        return True

    def _patience(self, *, is_behind: bool) -> float:
        """How long to wait for entries, seconds."""
        patience = RETRY_SECONDS if is_behind else IDLE_SECONDS
        if self._held:
            next_time = min(self._renew_at, self._look_at)
            patience = min(patience, max(0.0, next_time - clock.monotonic()))
        return patience

    def _renewals(self) -> list[Leased]:
        """The leases that are due to be renewed."""
        with self._changed:
            if not self._held or clock.monotonic() < self._renew_at:
                return []
            self._renew_at = clock.monotonic() + renew_seconds()
            until = self._leases.until()
            holder = name_of_holder(clock.monotonic() + lease_seconds())
            return [
                Leased(run_id, fence, until, holder) for run_id, (fence, _) in self._held.items()
            ]

    def _note_renewed(self, renewals: Sequence[Leased], until: float) -> None:
        with self._changed:
            for run_id, fence, *_ in renewals:
                # What another process has was not renewed.
                is_own = (run_id, fence) not in self.superseded
                if is_own and run_id in self._held and self._held[run_id][0] == fence:
                    self._leased_until[run_id] = until

    def _look_for_requests(self) -> None:
        """Pass on what is asked of the runs that are held, now and then."""
        with self._changed:
            if not self._held or clock.monotonic() < self._look_at:
                return
            self._look_at = clock.monotonic() + LOOK_SECONDS
            held = dict(self._held)
        if clock.monotonic() < self._retry_at:
            return  # it was away a moment ago
        try:
            fences = {run_id: fence for run_id, (fence, _) in held.items()}
            requests = take_requests(self.store, fences)
        except Exception as error:
            # Whoever asks waits until the ledger is back.
            get_logger("ledger").debug("no requests could be read: %s", error)
            return
        for request in requests:
            try:
                held[request.run_id][1](request)
            except Exception:
                # It may be of a later version. This thread must not end: all that is told waits for it.
                get_logger("ledger").exception(
                    "what %s asks of run %s could not be done", request.asker, request.run_id
                )

    def _settle(self, entries: list[Entry]) -> bool:
        """Write entries to the ledger, or else to the journal; whether they are in the ledger."""
        entries = self._unwritten + entries
        cause = self._catch_up()
        if cause is None and entries:
            try:
                self.superseded |= self.store.write(entries)
            except (LedgerAway, LedgerRefused) as error:
                cause = error
        if cause is None:
            self._have_kept_all()
            return True
        if clock.monotonic() >= self._retry_at:
            # Not where it was not tried: what comes meanwhile must not put that off.
            self._retry_at = clock.monotonic() + RETRY_SECONDS
        if not entries:
            return False
        try:
            self._journal.append(entries)
        except OSError as error:
            self._unwritten = entries
            self._cannot(str(cause), type_and_text_of(error))
            return False
        self._have_kept_all()
        if not self._has_warned:
            self._has_warned = True
            get_logger("ledger").warning(
                "%s; what happens is kept in %s and written to the ledger later",
                cause,
                self._journal.folder,
            )
        return False

    def _have_kept_all(self) -> None:
        self._unwritten = []
        if not self._has_lost:
            self.error = None

    def _cannot(self, cause: str, journal_cause: str) -> None:
        self.error = NotRecorded(
            str(self.store.place), cause, str(self._journal.folder), journal_cause
        )

    # ---- what waits in journals

    def _catch_up(self) -> Exception | None:
        """Write what waits in journals; what keeps the ledger from being written, if anything does."""
        is_behind = not self._journal.is_empty or self._unwritten
        if is_behind and clock.monotonic() < self._retry_at and not self._is_closing:
            return LedgerAway(str(self.store.place), "it was not there a moment ago")
        try:
            if not self._journal.is_empty:
                for entries in self._journal.batches():
                    self.superseded |= self.store.write(entries)
                self._journal.clear()
                self._has_warned = False
                get_logger("ledger").info("the ledger %s is back", self.store.place)
            if not self._has_looked_for_orphans:
                self._has_looked_for_orphans = True
                adopt_journals(self.store, self._journal.folder)
        except (LedgerAway, LedgerRefused) as error:
            return error
        return None


def _entries_of(items: Sequence[tuple[MakesEntries, Any]]) -> Iterator[Entry]:
    """The entries that follow from items; those that belong together make theirs at once."""
    for make, group in groupby(items, itemgetter(0)):
        yield from make([item for _, item in group])


def _nothing(_: Sequence[Any]) -> Iterable[Entry]:
    """Entries of what is put only for the thread to come round."""
    return ()


def adopt_journals(store: Store, folder: Path) -> None:
    """Write what processes left in journals that are gone.

    One that cannot be read here, such as one of a later version, stays for who can.

    Raises:
        LedgerAway, LedgerRefused: What is not written stays where it is.
    """
    for path, claim in orphans(folder, store.place):
        try:
            for entries in read(path):
                store.write(entries)
            path.unlink(missing_ok=True)
        except (LedgerAway, LedgerRefused):
            raise
        except Exception as error:
            get_logger("ledger").warning(
                "what waits in %s cannot be read here, and stays: %s", path, text_of(error)
            )
        finally:
            claim.release()


# ---- one writer a ledger and process

_writers: dict[tuple[Place, Path], Writer] = {}
_lock = threading.Lock()


def writer_for(place: Place, journals: Path) -> Writer:
    """The writer of a ledger in this process, made when it is first asked for."""
    with _lock:
        key = (place, journals)
        writer = _writers.get(key)
        if writer is None:
            writer = _writers[key] = Writer(open_store(place), Journal(journals, place))
        return writer


def known_writer(place: Place, journals: Path) -> Writer | None:
    """The writer of a ledger, where this process has one."""
    return _writers.get((place, journals))


def open_store(place: Place) -> Store:
    """A store of the kind that a place asks for; not connected yet."""
    if place.kind == "postgresql":
        from prefect_dask.ledger.postgresql import PostgresStore

        return PostgresStore(place)
    from prefect_dask.ledger.sqlite import SqliteStore

    return SqliteStore(place)


@atexit.register
def close_writers() -> None:
    """Write what is left, and end the threads; within `EXIT_SECONDS`."""
    until = clock.monotonic() + EXIT_SECONDS
    for writer in list(_writers.values()):
        writer.close(max(0.0, until - clock.monotonic()))


def _forget_writers() -> None:
    """In a fork: threads, connections and locks belong to the process that was forked."""
    global _lock
    _lock = threading.Lock()
    # Kept, not dropped: closing a copy of an SQLite connection would let go of the locks of the other one.
    _forked.append(dict(_writers))
    _writers.clear()


_forked: list[dict[tuple[Place, Path], Writer]] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_writers)
