"""Concurrency limits: how many task runs with a tag, or of a task's name, may be at work at a time.

A limit holds over all flow runs that are recorded in one ledger, in whatever process and on whatever cluster.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from prefect_dask.engine import clock
from prefect_dask.engine.errors import PrefectDaskError
from prefect_dask.ledger.ledger import Ledger
from prefect_dask.ledger.slots import STALE_SECONDS, drop_limit, put_limit

KINDS: Final = ("tag", "task")
"""What stands before the colon of a limit's name."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A task run that holds a slot.

    Attributes:
        run_id: Its flow run.
        flow_name: The flow.
        task_name: The task.
        map_index: Which child of a mapped task; -1 otherwise.
        attempt: Which attempt, from 1.
        since: Since when.
        coordinator: The process that coordinates the run, as host:process:thread.
        worker: Where the body runs; "" as long as that was not told.
    """

    run_id: str
    flow_name: str
    task_name: str
    map_index: int
    attempt: int
    since: datetime
    coordinator: str
    worker: str

    @property
    def task_run_name(self) -> str:
        """The task's name, and which child: `load[3]`."""
        return self.task_name if self.map_index < 0 else f"{self.task_name}[{self.map_index}]"


@dataclass(frozen=True, slots=True)
class Limit:
    """A concurrency limit.

    Attributes:
        name: `tag:` and a tag, or `task:` and the name of a task.
        slots: How many task runs may be at work at a time.
        holders: Those that are, longest first.
        waiting: How many task runs wait for a slot.
    """

    name: str
    slots: int
    holders: tuple[Holder, ...]
    waiting: int


def set_limit(
    name: str, slots: int, *, ledger: Ledger | str | os.PathLike[str] | None = None
) -> None:
    """Let at most so many task runs be at work at a time that have a tag, or are of a task.

    It holds for flow runs that begin, or are taken up again, from now on. A limit that there is gets another number
    of slots at once, also for runs that are under way; who holds a slot keeps it.

    Args:
        name: `tag:gpu` for task runs with the tag `gpu`, `task:load` for those of tasks that are called `load`.
        slots: How many, >= 0; with 0 none begins.
        ledger: A ledger, or what names one; when not given, what the configuration says.

    Raises:
        UnfitLimit: The name names neither, or the number is none.
        LedgerAway: It was not set.

    Example:
        >>> from prefect_dask.ledger import Ledger
        >>> ledger = Ledger(":memory:")
        >>> set_limit("tag:gpu", 2, ledger=ledger)
        >>> [(limit.name, limit.slots, limit.holders) for limit in limits(ledger=ledger)]
        [('tag:gpu', 2, ())]
        >>> remove_limit("tag:gpu", ledger=ledger)
    """
    check_name(name)
    if isinstance(slots, bool) or not isinstance(slots, int) or slots < 0:
        raise UnfitLimit(name, f"{slots!r} is no number of slots", "a whole number, 0 or more")
    with _ledger(ledger).opened(is_to_read=False) as store:
        put_limit(store, name, slots, clock.now())


def remove_limit(name: str, *, ledger: Ledger | str | os.PathLike[str] | None = None) -> None:
    """Take a limit away; what waits under it goes on within a second.

    Args:
        name: As for `set_limit`.
        ledger: The same.

    Raises:
        NoSuchLimit: There is none of that name.
        LedgerAway: It was not removed.
    """
    check_name(name)
    where = _ledger(ledger)
    with where.opened() as store:
        was_there = drop_limit(store, name)
    if not was_there:
        raise NoSuchLimit(name, [limit.name for limit in limits(ledger=where)])


def limits(*, ledger: Ledger | str | os.PathLike[str] | None = None) -> list[Limit]:
    """All limits by name, with those who hold their slots and how many wait.

    Args:
        ledger: As for `set_limit`.

    Raises:
        NothingRecorded: There is no ledger.
        LedgerAway: It cannot be asked now.
    """
    where = _ledger(ledger)
    now = clock.now()
    with where.opened() as store:
        rows = store.ask("limits", (now - STALE_SECONDS,))
        holders = store.ask("holders", (now,))
    workers = _Workers(where)
    return [
        Limit(
            name,
            slots,
            tuple(
                Holder(
                    run_id,
                    flow,
                    workers.name_of(run_id, task),
                    map_index,
                    attempt,
                    clock.to_datetime(since),
                    coordinator,
                    workers.where(run_id, task, map_index),
                )
                for limit, run_id, flow, task, map_index, attempt, since, coordinator in holders
                if limit == name
            ),
            int(waiting),
        )
        for name, slots, waiting in rows
    ]


def check_name(name: str) -> None:
    """See that a limit's name says what falls under it.

    Raises:
        UnfitLimit: It does not.

    >>> check_name("tag:gpu")
    >>> check_name("gpu")
    Traceback (most recent call last):
    prefect_dask.limits.UnfitLimit: 'gpu' is no limit: it says neither tag nor task; give 'tag:gpu' or 'task:gpu'
    """
    kind, colon, what = name.partition(":") if isinstance(name, str) else ("", "", "")
    if kind in KINDS and what.strip():
        return
    if colon and kind in KINDS:
        raise UnfitLimit(name, "nothing stands behind the colon", f"{kind + ':name'!r}")
    if not isinstance(name, str) or not name:
        raise UnfitLimit(name, "it is no name", "'tag:gpu' or 'task:load'")
    raise UnfitLimit(
        name, "it says neither tag nor task", f"{'tag:' + name!r} or {'task:' + name!r}"
    )


def _ledger(given: Ledger | str | os.PathLike[str] | None) -> Ledger:
    return given if isinstance(given, Ledger) else Ledger(given)


class _Workers:
    """What a ledger says of task runs that hold slots, asked once a run and task run."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._names: dict[str, dict[int, str]] = {}

    def name_of(self, run_id: str, task: int) -> str:
        """The name of a task."""
        if run_id not in self._names:
            tasks = self._ledger.flow(run_id).tasks
            self._names[run_id] = {each.index: each.name for each in tasks}
        return self._names[run_id].get(task, "")

    def where(self, run_id: str, task: int, map_index: int) -> str:
        """The worker that runs a task run now; "" where nobody told."""
        states = self._ledger.states(run_id, task, map_index)
        return states[-1].worker if states and states[-1].state == "Running" else ""


# ---- what goes wrong


class UnfitLimit(PrefectDaskError, ValueError):
    """What is given as a limit says not what falls under it, or not how many may."""

    def __init__(self, name: object, reason: str, wanted: str) -> None:
        super().__init__(f"{name!r} is no limit: {reason}; give {wanted}")
        self.name, self.reason, self.wanted = name, reason, wanted


class NoSuchLimit(PrefectDaskError, LookupError):
    """A limit is to be removed that is not there."""

    def __init__(self, name: str, there: list[str]) -> None:
        known = ", ".join(map(repr, there)) or "none"
        super().__init__(f"there is no limit {name!r}; limits() lists those there are: {known}")
        self.name, self.there = name, there
