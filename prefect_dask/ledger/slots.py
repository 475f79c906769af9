"""Slots under concurrency limits: who gets one, in one transaction, and who holds which.

A slot belongs to one execution of a task run (run, fence, task, map index, generation). It is its holder's until it
is given back, or until the lease of its run has run out; the writer renews both together. Whether it has, no clock
of another machine is asked for: who waits sees for how long nothing was renewed.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf
from typing import Final, NamedTuple, TypeAlias

from prefect_dask.engine.failures import type_and_text_of
from prefect_dask.engine.stream import NodeId
from prefect_dask.ledger.errors import LedgerAway
from prefect_dask.ledger.leases import lease_seconds, renew_seconds
from prefect_dask.ledger.processes import held_here_until
from prefect_dask.ledger.silence import Silence
from prefect_dask.ledger.store import Store

STALE_SECONDS: Final = 5.0
"""How long nobody else has to wait for a run that waited first and does not ask any more. It asks every second."""

NO_CLAIM: Final = 1e18
"""Stands for since when a run waits that holds as many slots as it can use: nobody has to leave one to it."""

BEHIND_SECONDS: Final = 1e-3
"""By how much who comes to wait is behind the last one who waits, where its clock is behind that one's."""

#: The limits that a task falls under, in order.
Names: TypeAlias = tuple[str, ...]


class Wanted(NamedTuple):
    """An execution that needs a slot under each of some limits."""

    node: NodeId
    attempt: int
    limits: Names


class Standing(NamedTuple):
    """How a limit stands for one run.

    Attributes:
        slots: How many there are.
        taken: How many are taken, by whomever.
        ahead: How many other runs wait that have waited longer.
    """

    slots: int
    taken: int
    ahead: int

    @property
    def free(self) -> int:
        """How many slots this run may take: one each is left to those who have waited longer.

        >>> Standing(slots=3, taken=1, ahead=1).free, Standing(slots=1, taken=3, ahead=0).free
        (1, 0)
        """
        return max(0, self.slots - self.taken - self.ahead)


class Lookout:
    """What one run has seen of those who hold slots, and of those who wait for them."""

    def __init__(self) -> None:
        self.holders, self.waiting = Silence(), Silence()


def is_lease_over(silent_seconds: float, holder: str, moment: float) -> bool:
    """Whether a process that renews its lease, if it is there, has lost it.

    Args:
        silent_seconds: For how long it was seen to renew nothing.
        holder: The process, as from `name_of_holder`; "" where that is not known any more.
        moment: Seconds on this machine's clock that nobody sets. By that it is known when the lease is over of a
            process of this machine; after a time when the ledger was away it has yet to renew it.
    """
    until = held_here_until(holder)
    if until is None:
        return silent_seconds >= lease_seconds()
    return moment > until and silent_seconds >= renew_seconds()


class Settled(NamedTuple):
    """What came of asking.

    Attributes:
        granted: Those that have their slot.
        why: Of each limit under which something still waits, what keeps it, for people.
    """

    granted: list[Wanted]
    why: dict[str, str]


class Room:
    """How many slots of a limit a run can use: it holds no more of any.

    A limit for each, since what waits under one for a worker of its kind keeps nothing else from being at work.
    """

    def __init__(self) -> None:
        self.at_most = sys.maxsize
        self._holding: dict[NodeId, Names] = {}
        self._counts: Counter[str] = Counter()

    def left(self, name: str) -> int:
        """How many more of a limit."""
        return self.at_most - self._counts[name]

    def take(self, granted: Iterable[Wanted]) -> None:
        """Note that it got some."""
        for each in granted:
            self._holding[each.node] = each.limits
            self._counts.update(each.limits)

    def give_back(self, nodes: Iterable[NodeId]) -> None:
        """Note that it uses some no more."""
        for node in nodes:
            self._counts.subtract(self._holding.pop(node, ()))


class Queue:
    """Executions that wait for slots, those of tasks under the same limits one behind the other."""

    def __init__(self) -> None:
        self._queues: dict[Names, deque[Wanted]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, wanted: Iterable[Wanted]) -> None:
        """Put some at the end."""
        for each in wanted:
            self._queues.setdefault(each.limits, deque()).append(each)
            self._count += 1

    def drop(self, nodes: Iterable[NodeId]) -> None:
        """Take some away that want none any more."""
        gone = set(nodes)
        for names, queue in list(self._queues.items()):
            if any(each.node in gone for each in queue):
                self._queues[names] = deque(each for each in queue if each.node not in gone)
        self._tidy()

    def counts(self) -> dict[str, int]:
        """How many wait under each limit."""
        counts: dict[str, int] = {}
        for names, queue in self._queues.items():
            for name in names:
                counts[name] = counts.get(name, 0) + len(queue)
        return counts

    def by_task(self) -> dict[tuple[int, Names], int]:
        """How many runs of each task wait, and under which limits."""
        counts: dict[tuple[int, Names], int] = {}
        for names, queue in self._queues.items():
            for each in queue.copy():
                key = (each.node[0], names)
                counts[key] = counts.get(key, 0) + 1
        return counts

    def take(self, free: Mapping[str, int]) -> list[Wanted]:
        """Take those that can have a slot under each of their limits, one of each queue in turn.

        Args:
            free: How many slots are free under each limit; what is not in here is none.
        """
        left = dict(free)
        taken: list[Wanted] = []
        open_queues = list(self._queues.items())
        while open_queues:
            still_open = []
            for names, queue in open_queues:
                if queue and all(left.get(name, 1) > 0 for name in names):
                    for name in names:
                        if name in left:
                            left[name] -= 1
                    taken.append(queue.popleft())
                    still_open.append((names, queue))
            open_queues = still_open
        self._tidy()
        return taken

    def put_back(self, wanted: Sequence[Wanted]) -> None:
        """Undo `take`."""
        for each in reversed(wanted):
            self._queues.setdefault(each.limits, deque()).appendleft(each)
        self._tidy()

    def _tidy(self) -> None:
        self._queues = {names: queue for names, queue in self._queues.items() if queue}
        self._count = sum(map(len, self._queues.values()))


# ---- limits


def put_limit(store: Store, name: str, slots: int, now: float) -> None:
    """Make a limit, or give one that is there another number of slots."""
    m = store.mark
    with _saying_away(store), store.transaction():
        store.execute(
            f"INSERT INTO limits (name, slots, since) VALUES ({m}, {m}, {m})"
            f" ON CONFLICT (name) DO UPDATE SET slots = {m}",
            (name, slots, now, slots),
        )


def drop_limit(store: Store, name: str) -> bool:
    """Take a limit away; whether it was there."""
    m = store.mark
    with _saying_away(store), store.transaction():
        found = store.execute(f"SELECT 1 FROM limits WHERE name = {m}{store.change_lock}", (name,))
        store.execute(f"DELETE FROM limits WHERE name = {m}", (name,))
        store.execute(f"DELETE FROM slots WHERE limit_name = {m}", (name,))
    return bool(found)


@contextmanager
def _saying_away(store: Store) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if store.is_away(error):
            raise LedgerAway(str(store.place), type_and_text_of(error)) from error
        raise


# ---- transactions


def settle(
    store: Store,
    run: int,
    fence: int,
    given_back: Sequence[NodeId],
    queue: Queue,
    room: Room,
    lookout: Lookout,
    now: float,
    moment: float,
) -> Settled | None:
    """Give slots back and take those that are free, in one transaction.

    Args:
        store: An open store.
        run: The run's key.
        fence: Under which its process writes.
        given_back: Executions that are over.
        queue: Those that wait; who is granted a slot is taken from it.
        room: How many more slots it can use.
        lookout: What this run has seen until now.
        now: Seconds since the epoch.
        moment: Seconds on a clock that nobody sets.

    Returns:
        What came of it; None where another process has taken the run over, and nothing was done.
    """
    granted: list[Wanted] = []
    try:
        with store.transaction():
            m = store.mark
            [(its_fence,)] = store.execute(f"SELECT fence FROM flow_runs WHERE id = {m}", (run,))
            if its_fence != fence:
                return None
            store.execute_many(
                f"DELETE FROM slots WHERE run = {m} AND fence = {m} AND task = {m}"
                f" AND map_index = {m} AND generation = {m}",
                [(run, fence, *node) for node in given_back],
            )
            if not queue:
                _note_waiting(store, run, fence, {}, {}, {}, now)
                return Settled([], {})
            # Who comes second waits here, and sees what the first one took.
            names = sorted(queue.counts())
            standing, waiting_since, last = _look(store, run, fence, names, lookout, moment)
            granted = queue.take(
                {name: min(each.free, room.left(name)) for name, each in standing.items()}
            )
            room.take(granted)
            store.execute_many(
                "INSERT INTO slots (limit_name, run, fence, task, map_index, generation, attempt, since, until)"
                f" VALUES ({', '.join([m] * 9)}) ON CONFLICT DO NOTHING",
                [
                    (name, run, fence, *each.node, each.attempt, now, now + lease_seconds())
                    for each in granted
                    for name in each.limits
                    if name in standing
                ],
            )
            # Who got something goes behind those who did not.
            served = {name for each in granted for name in each.limits}
            since = {name: at for name, at in waiting_since.items() if name not in served}
            since |= {name: NO_CLAIM for name in standing if room.left(name) <= 0}
            counts = queue.counts()
            _note_waiting(store, run, fence, counts, since, last, now)
            why = {name: _why(store, name, standing[name], now) for name in counts}
            return Settled(granted, why)
    except BaseException:
        queue.put_back(granted)
        room.give_back([each.node for each in granted])
        raise


def may_be_free(store: Store, names: Sequence[str], lookout: Lookout, moment: float) -> bool:
    """Whether `settle` may grant something: a look, without a transaction, that holds nobody up."""
    m = store.mark
    if _lost(store, names, lookout, moment):
        return True
    for name in names:
        found = store.execute(f"SELECT slots FROM limits WHERE name = {m}", (name,))
        [(taken,)] = store.execute(f"SELECT count(*) FROM slots WHERE limit_name = {m}", (name,))
        if not found or taken < found[0][0]:
            return True
    return False


def free_all(store: Store, run: int, fence: int) -> None:
    """Give back all slots of a run under a fence; nothing of it waits any more."""
    with store.transaction():
        for table in ("slots", "slot_waits"):
            store.execute(
                f"DELETE FROM {table} WHERE run = {store.mark} AND fence = {store.mark}",
                (run, fence),
            )


def _lost(
    store: Store, names: Sequence[str], lookout: Lookout, moment: float
) -> list[tuple[int, int]]:
    """Those who hold slots under some limits, and have lost their lease: run, fence."""
    if not names:
        return []
    marks = ", ".join([store.mark] * len(names))
    # A run that was declared dead has the name of the process that died until another one takes it up.
    holders = store.execute(
        "SELECT s.run, s.fence, max(s.until), count(*), CASE WHEN r.fence = s.fence"
        " OR (r.fence = s.fence + 1 AND r.lease_until IS NULL) THEN r.process ELSE '' END AS holder"
        f" FROM slots s LEFT JOIN flow_runs r ON r.id = s.run WHERE s.limit_name IN ({marks})"
        " GROUP BY s.run, s.fence, r.fence, r.lease_until, r.process",
        names,
    )
    seen: dict[Hashable, object] = {
        (run, fence): (until, count) for run, fence, until, count, _ in holders
    }
    silent = lookout.holders.look(seen, moment)
    return [
        (run, fence)
        for run, fence, _, _, holder in holders
        if is_lease_over(silent[run, fence], holder or "", moment)
    ]


def _drop_lost(store: Store, names: Sequence[str], lookout: Lookout, moment: float) -> None:
    """Free what is held by who has lost its lease."""
    m = store.mark
    store.execute_many(
        f"DELETE FROM slots WHERE run = {m} AND fence = {m}", _lost(store, names, lookout, moment)
    )


def _look(
    store: Store, run: int, fence: int, names: Sequence[str], lookout: Lookout, moment: float
) -> tuple[dict[str, Standing], dict[str, float], dict[str, float]]:
    """How some limits stand, held until the end of the transaction; since when this run waits under each, and the
    last one who does."""
    marks = ", ".join([store.mark] * len(names))
    slots = dict(
        store.execute(
            f"SELECT name, slots FROM limits WHERE name IN ({marks}) ORDER BY name{store.change_lock}",
            names,
        )
    )
    _drop_lost(store, names, lookout, moment)
    taken = dict(
        store.execute(
            f"SELECT limit_name, count(*) FROM slots WHERE limit_name IN ({marks}) GROUP BY limit_name",
            names,
        )
    )
    waits = store.execute(
        f"SELECT limit_name, run, fence, since, asked FROM slot_waits WHERE limit_name IN ({marks})",
        names,
    )
    asked: dict[Hashable, object] = {tuple(key): at for *key, _, at in waits}
    silent = lookout.waiting.look(asked, moment)
    own: dict[str, float] = {}
    last: dict[str, float] = {}
    others: list[tuple[str, float, int]] = []
    for name, its_run, its_fence, since, _ in waits:
        if since == NO_CLAIM:
            continue
        last[name] = max(last.get(name, since), since)
        if (its_run, its_fence) == (run, fence):
            own[name] = since
        elif silent[name, its_run, its_fence] <= STALE_SECONDS:
            others.append((name, since, its_run))
    ahead = dict.fromkeys(names, 0)
    for name, since, its_run in others:
        ahead[name] += (since, its_run) < (own.get(name, inf), run)
    standing = {
        name: Standing(count, taken.get(name, 0), ahead[name]) for name, count in slots.items()
    }
    return standing, own, last


def _note_waiting(
    store: Store,
    run: int,
    fence: int,
    counts: Mapping[str, int],
    since: Mapping[str, float],
    last: Mapping[str, float],
    now: float,
) -> None:
    """Note how many wait under each limit: since when they do, else behind the last one."""
    m = store.mark
    store.execute(f"DELETE FROM slot_waits WHERE run = {m} AND fence = {m}", (run, fence))
    store.execute_many(
        "INSERT INTO slot_waits (limit_name, run, fence, waiting, since, asked)"
        f" VALUES ({m}, {m}, {m}, {m}, {m}, {m})",
        [
            (
                *(name, run, fence, count),
                since.get(name) or max(now, last.get(name, 0.0) + BEHIND_SECONDS),
                now,
            )
            for name, count in counts.items()
        ],
    )


def _why(store: Store, name: str, standing: Standing, now: float) -> str:
    """What keeps those who wait under a limit, for people."""
    m = store.mark
    holders = store.execute(
        "SELECT r.name, r.coordinator, count(*), min(s.since) FROM slots s JOIN flow_runs r ON r.id = s.run"
        f" WHERE s.limit_name = {m} GROUP BY r.name, r.coordinator ORDER BY min(s.since) LIMIT 3",
        (name,),
    )
    by = "; ".join(
        f"{count} by flow run {run!r} of {coordinator} for {now - at:.0f} s"
        for run, coordinator, count, at in holders
    )
    text = f"{standing.taken} of {standing.slots} slots of {name!r} are taken"
    text += f": {by}" * bool(by)
    return text + f"; {standing.ahead} other runs wait longer" * bool(standing.ahead)
