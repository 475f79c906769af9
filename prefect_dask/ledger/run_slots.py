"""The slots of one flow run: a thread asks the ledger for them while anything waits or is to be given back."""

from __future__ import annotations

import threading
import weakref
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from prefect_dask.engine import clock
from prefect_dask.engine.context import RunInfo
from prefect_dask.engine.files import write_file
from prefect_dask.engine.graph import FlowGraph
from prefect_dask.engine.logs import get_logger
from prefect_dask.engine.slots import SlotWait
from prefect_dask.engine.stream import NodeId
from prefect_dask.ledger.errors import LedgerAway, LedgerRefused
from prefect_dask.ledger.places import Place
from prefect_dask.ledger.slots import (
    Lookout,
    Names,
    Queue,
    Room,
    Wanted,
    free_all,
    may_be_free,
    settle,
)
from prefect_dask.ledger.store import Store
from prefect_dask.ledger.writer import Writer, open_store

LOOK_SECONDS: Final = 0.25
"""How often the ledger is looked at while something waits: a slot that another process gives back is to be seen
within 1 s, and a look is a few reads."""

ASK_SECONDS: Final = 1.0
"""How often a run that waits says so in the ledger."""

AWAY_SECONDS: Final = 0.5
"""How often a ledger that is away is asked again."""

END_SECONDS: Final = 15.0
"""How long the end of a run waits until its slots are given back; then they come free when its lease runs out."""


def limits_of(names: Iterable[str], graph: FlowGraph) -> dict[int, Names]:
    """The limits that each task of a flow falls under; those that fall under none are left out.

    Args:
        names: All limits, such as `tag:gpu` and `task:load`.
        graph: The flow.
    """
    there = frozenset(names)
    if not there:
        return {}
    found = {}
    for node in graph.nodes:
        label = node.label
        its = {f"task:{label.name}", *(f"tag:{tag}" for tag in label.tags)} & there
        if its:
            found[label.index] = tuple(sorted(its))
    return found


class RunSlots:
    """Keeps the slots of one flow run in the ledger; see `prefect_dask.engine.slots.Slots`.

    Args:
        writer: Writes the ledger.
        fence: Under which this process writes the run.
    """

    def __init__(self, writer: Writer, fence: int) -> None:
        self._writer, self._fence = writer, fence
        self._run_id = ""
        self._limits: Mapping[int, Names] = {}
        self._queue, self._lookout, self._room = Queue(), Lookout(), Room()
        self._changed = threading.Condition()
        #: What was asked for, given back and granted, and not passed on yet.
        self._asked: list[Wanted] = []
        self._given_back: list[NodeId] = []
        self._granted: list[NodeId] = []
        self._why: dict[str, str] = {}
        self._is_ending = self._is_nudged = False
        self._thread: threading.Thread | None = None
        self._has_warned = False

    # ---- what the flow runner asks

    def limited(self, info: RunInfo, graph: FlowGraph) -> frozenset[int]:
        self._run_id = info.flow_run_id
        self._limits = limits_of(known_limits(self._writer), graph)
        return frozenset(self._limits)

    def hold_at_most(self, count: int) -> None:
        with self._changed:
            self._room.at_most = count
            self._is_nudged = True
            self._changed.notify_all()

    def ask(self, wanted: Sequence[tuple[NodeId, int]]) -> None:
        with self._changed:
            self._asked += [
                Wanted(node, attempt, self._limits[node[0]]) for node, attempt in wanted
            ]
            self._begin()

    def take_granted(self) -> list[NodeId]:
        with self._changed:
            granted, self._granted = self._granted, []
        return granted

    def give_back(self, nodes: Sequence[NodeId]) -> None:
        if nodes:
            with self._changed:
                self._given_back += nodes
                self._begin()

    def waits(self) -> list[SlotWait]:
        with self._changed:
            counts = Counter(self._queue.by_task())
            counts.update((each.node[0], each.limits) for each in self._asked)
            why = dict(self._why)
        return [
            SlotWait(task, count, names, "; ".join(why[name] for name in names if name in why))
            for (task, names), count in counts.items()
        ]

    def end(self) -> None:
        with self._changed:
            self._is_ending = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join(END_SECONDS)

    # ---- the thread

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="prefect-dask-slots", daemon=True
            )
            _here.setdefault(self._writer.store.place, weakref.WeakSet()).add(self)
            self._thread.start()
        self._changed.notify_all()

    def _nudge(self) -> None:
        """Have it look at once: a slot was given back in this process."""
        with self._changed:
            self._is_nudged = True
            self._changed.notify_all()

    def _run(self) -> None:
        is_shared = self._writer.store.place.kind == "memory"
        store = self._writer.store if is_shared else open_store(self._writer.store.place)
        run: int | None = None
        asked_at, pause = 0.0, 0.0
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(self._has_news, pause if len(self._queue) else None)
                    is_ending, self._is_nudged = self._is_ending, False
                    has_news = bool(self._asked or self._given_back)
                pause = LOOK_SECONDS
                try:
                    if run is None:
                        run = self._key(store)
                    store.open()
                    if is_ending:
                        free_all(store, run, self._fence)
                        self._tell_others()
                        return
                    is_due = clock.monotonic() - asked_at > ASK_SECONDS
                    names = [n for n in sorted(self._queue.counts()) if self._room.left(n) > 0]
                    if (
                        has_news
                        or is_due
                        or may_be_free(store, names, self._lookout, clock.monotonic())
                    ):
                        asked_at = clock.monotonic()
                        self._settle(store, run)
                    self._has_warned = False
                except Exception as error:
                    if is_ending:
                        return
                    if not isinstance(error, LedgerAway | LedgerRefused) and not store.is_away(
                        error
                    ):
                        get_logger("limits").exception("no slots can be had")
                    self._tell_away(error)
                    if not is_shared:
                        store.close()
                    pause = AWAY_SECONDS
                    with self._changed:
                        self._changed.wait_for(lambda: self._is_ending, AWAY_SECONDS)
        finally:
            if not is_shared:
                store.close()

    def _has_news(self) -> bool:
        return bool(self._asked or self._given_back or self._is_nudged or self._is_ending)

    def _key(self, store: Store) -> int:
        """The run's key, once the ledger has its beginning."""
        self._writer.flush()
        store.open()
        found = store.execute(
            f"SELECT id FROM flow_runs WHERE run_id = {store.mark}", (self._run_id,)
        )
        if not found:
            raise LedgerAway(str(store.place), "it does not have this run yet")
        return int(found[0][0])

    def _settle(self, store: Store, run: int) -> None:
        with self._changed:
            self._queue.add(self._asked)
            self._asked = []
            given_back = list(self._given_back)
        self._room.give_back(given_back)
        settled = settle(
            store,
            run,
            self._fence,
            given_back,
            self._queue,
            self._room,
            self._lookout,
            clock.now(),
            clock.monotonic(),
        )
        with self._changed:
            del self._given_back[: len(given_back)]
            if settled is None:
                return  # the flow runner learns of it from the observer
            self._granted += [each.node for each in settled.granted]
            self._why = settled.why
        if given_back:
            self._tell_others()

    def _tell_others(self) -> None:
        for other in list(_here.get(self._writer.store.place, ())):
            if other is not self:
                other._nudge()

    def _tell_away(self, error: Exception) -> None:
        with self._changed:
            names = {name for each in self._asked for name in each.limits}
            names.update(self._queue.counts())
            self._why = dict.fromkeys(names, str(error))
        if names and not self._has_warned:
            self._has_warned = True
            get_logger("limits").warning(
                "no task run that falls under a limit (%s) begins until the ledger can be asked: %s",
                ", ".join(map(repr, sorted(names))),
                error,
            )


#: Of each ledger, those in this process that may wait.
_here: dict[Place, weakref.WeakSet[RunSlots]] = {}


def known_limits(writer: Writer) -> frozenset[str]:
    """The names of the limits in a ledger as it is now; those it had when it was last seen, where it is away."""
    place = writer.store.place
    note = writer.journal_folder / f"limits-{zlib.crc32(place.target.encode()):08x}.txt"
    try:
        names = frozenset(name for (name,) in writer.ask("limit_names"))
    except (LedgerAway, LedgerRefused) as error:
        names = _last_known.get(place) or _read(note)
        get_logger("limits").warning(
            "the limits are not known now, and those hold that there were before (%s): %s",
            ", ".join(map(repr, sorted(names))) or "none",
            error,
        )
        return names
    if names != _last_known.get(place) and names != _read(note):
        with suppress(OSError):  # who cannot keep it may not know it when the ledger is away
            write_file(note, "\n".join(sorted(names)).encode())
    _last_known[place] = names
    return names


def _read(note: Path) -> frozenset[str]:
    try:
        return frozenset(filter(None, note.read_text(encoding="utf-8").split("\n")))
    except OSError:
        return frozenset()


_last_known: dict[Place, frozenset[str]] = {}
