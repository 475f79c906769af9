"""Who may write a run: the process whose fence is the latest, as long as it renews its lease.

A coordinating process that dies can tell nobody. Whoever looks at the run sees that its lease ran out, says so in
the ledger, and raises the fence: should that process wake up after all, nothing that it writes counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from prefect_dask.engine import clock
from prefect_dask.engine.state import STATES, Finished, Looped, State
from prefect_dask.ledger.entries import Rows
from prefect_dask.ledger.errors import UnknownRun
from prefect_dask.ledger.packed import stored_columns
from prefect_dask.ledger.processes import held_here_until, is_gone
from prefect_dask.ledger.store import Store
from prefect_dask.settings import config

RENEWALS: Final = 4.5
"""How often a lease is renewed before it would run out: three may fail on the way."""


def lease_seconds() -> float:
    """How long a run is its process's without a word.

    Unless set otherwise 45 s: everybody is to know of a death within 60 s, and a process that is stopped for 20 s,
    or held up in C for as long, must not be taken for dead.
    """
    seconds: float = config.ledger.lease_seconds
    return seconds


def renew_seconds() -> float:
    """How often it is renewed; every 10 s unless set otherwise, and a transaction every 10 s is nothing."""
    return lease_seconds() / RENEWALS


class LeaseClock:
    """Until when the leases of this process run, for other machines: also where its own clock is set back."""

    def __init__(self) -> None:
        self._ahead = clock.now() - clock.monotonic()

    def until(self) -> float:
        """When a lease runs out that is renewed now, seconds since the epoch."""
        now = clock.now()
        if not clock.is_turned():
            now = max(now, self._ahead + clock.monotonic())
        return now + lease_seconds()


AT_WORK: Final = ("Pending", "Running", "Cancelling")
"""The states of a flow run that a process is at."""


class Held(NamedTuple):
    """What a ledger knows of who writes a run."""

    state: str
    fence: int
    lease_until: float | None
    process: str
    coordinator: str


def cause_of_death(held: Held, now: float, monotonic: float) -> str | None:
    """What became of the process that coordinates a run; None where nothing says that it is dead.

    Args:
        held: The run.
        now: Seconds since the epoch.
        monotonic: Seconds on this machine's clock that nobody sets; by that one a lease is judged that a process
            of this machine holds.

    >>> cause_of_death(Held("Running", 0, 100.0, "", "host:1:1"), now=101.5, monotonic=7.0)
    'the coordinating process host:1:1 died or lost the ledger: its lease ran out 2 s ago'
    >>> cause_of_death(Held("Success", 0, None, "", "host:1:1"), now=101.5, monotonic=7.0)
    """
    if held.state not in AT_WORK:
        return None
    if is_gone(held.process):
        return f"the coordinating process {held.coordinator} died"
    if held.lease_until is None:
        return None
    until = held_here_until(held.process)
    late = now - held.lease_until if until is None else monotonic - until
    if late > 0:
        return (
            f"the coordinating process {held.coordinator} died or lost the ledger: its lease ran out"
            f" {late:.0f} s ago"
        )
    return None


def declare_dead(store: Store, run: int, now: float) -> bool:
    """Have a run Crashed whose process is dead, unless another process was faster; whether it was done here."""
    with store.transaction():
        held = held_run(store, run)
        cause = cause_of_death(held, now, clock.monotonic())
        if cause is None:
            return False
        _come_to(store, run, "Crashed", cause, now, is_finished=True)
        store.execute(
            f"UPDATE flow_runs SET fence = fence + 1, lease_until = NULL WHERE id = {store.mark}",
            (run,),
        )
        return True


def take_over(
    store: Store, run: int, fence: int, now: float, process: str, coordinator: str
) -> tuple[int, int] | None:
    """Make a run this process's.

    Args:
        store: An open store.
        run: The run's key.
        fence: As it was when somebody looked whether it is free.
        now: Seconds since the epoch.
        process: This process, for others to see whether it is there.
        coordinator: The same for people.

    Returns:
        The fence under which this process writes, and the number that what it says begins with; None where
        another one has taken it meanwhile.
    """
    with store.transaction():
        held = held_run(store, run)
        if held.fence != fence or held.state in AT_WORK:
            return None
        m = store.mark
        store.execute(
            f"UPDATE flow_runs SET fence = {m}, lease_until = {m}, process = {m}, coordinator = {m}"
            f" WHERE id = {m}",
            (fence + 1, now + lease_seconds(), process, coordinator, run),
        )
        _come_to(store, run, "Pending", "taken up again", now, is_finished=False)
        return fence + 1, next_number(store, run)


class Decided(NamedTuple):
    """A state to which somebody has a task run come by hand.

    Attributes:
        task: The task's place in the flow.
        map_index: Which child of a mapped task; -1 otherwise.
        attempt: The attempt that it counts with.
        state: Such as "Success".
        message: Who decided it, and why.
        details: Plain facts of the state, as JSON; None where there are none.
        stored: Its result: a pickle, or the location of one; None where it has none.
    """

    task: int
    map_index: int
    attempt: int
    state: str
    message: str
    details: str | None = None
    stored: bytes | str | None = None


def decide(store: Store, run: int, fence: int, decided: Sequence[Decided], now: float) -> bool:
    """Have task runs come to states that somebody decided on, while no process is at the run; all or none.

    Args:
        store: An open store.
        run: The run's key.
        fence: As it was when somebody looked what the task runs had come to.
        decided: The states, in order.
        now: Seconds since the epoch.

    Returns:
        Whether it was done: False where the run is another process's, or was changed by hand, meanwhile.
    """
    with store.transaction():
        held = held_run(store, run)
        if held.fence != fence or held.state in AT_WORK:
            return False
        first = next_number(store, run)
        values: list[Any] = []
        for each in decided:
            values += (each.task, each.map_index, each.attempt, each.state, each.message, now, "")
            values += (None, each.details)
        store.insert(run, Rows("", 0, "states", first, values), again=True)
        for number, each in enumerate(decided, first):
            if each.stored is not None:
                value = (each.task, each.map_index, *stored_columns(each.stored))
                store.insert(run, Rows("", 0, "results", number, list(value)), again=True)
        # Should the process that was at the run wake up, what it says of these does not count.
        store.execute(
            f"UPDATE flow_runs SET fence = fence + 1 WHERE id = {store.mark}",
            (run,),
        )
        return True


def is_unheld(store: Store, run: int) -> bool:
    """Whether a run that is not over is nobody's: it is Paused, or could not go on."""
    held = held_run(store, run)
    return held.lease_until is None and held.state not in ("Running", "Cancelling")


def end_unheld(store: Store, run: int, message: str, now: float) -> bool:
    """Have a run Cancelled that is nobody's, with what of it has not come to its end.

    Args:
        store: An open store, in which the states of the run are rows.
        run: The run's key.
        message: Why, and by whom.
        now: Seconds since the epoch.

    Returns:
        Whether it was; not where a process has it, or it is over.
    """
    with store.transaction():
        if not is_unheld(store, run) or is_over(store, run):
            return False
        waiting = [
            (task, map_index, attempt)
            for _, task, map_index, attempt, state, *_ in store.ask("task_runs", (run, run))
            if not is_final(STATES[state])
        ]
        values: list[Any] = []
        for task, map_index, attempt in waiting:
            values += [task, map_index, attempt, "Cancelled", message, now, "", None, None]
        if values:
            number = next_number(store, run)
            store.insert(run, Rows("", 0, "states", number, values), again=True)
        _come_to(store, run, "Cancelled", message, now, is_finished=True)
        store.execute(f"UPDATE flow_runs SET fence = fence + 1 WHERE id = {store.mark}", (run,))
        return True


def is_final(kind: type[State]) -> bool:
    """Whether a state of this kind is the last one of a run."""
    return issubclass(kind, Finished) and not issubclass(kind, Looped)


def is_over(store: Store, run: int) -> bool:
    """Whether a run came to its final state; within a transaction nobody changes that."""
    query = f"SELECT ended FROM flow_runs WHERE id = {store.mark}{store.row_lock}"
    return store.execute(query, (run,))[0][0] is not None


def held_run(store: Store, run: int) -> Held:
    """What is known of who writes a run; within a transaction nobody changes it.

    Raises:
        UnknownRun: Somebody has removed it.
    """
    rows = store.execute(
        "SELECT state, fence, lease_until, process, coordinator FROM flow_runs"
        f" WHERE id = {store.mark}{store.change_lock}",
        (run,),
    )
    if not rows:
        raise UnknownRun(str(run), str(store.place))
    return Held(*rows[0])


def _come_to(
    store: Store, run: int, state: str, message: str, now: float, *, is_finished: bool
) -> None:
    """Note a state of the flow run that its own process did not tell."""
    number, m = next_number(store, run), store.mark
    values: list[Any] = [-1, -1, 0, state, message, now, "", None, None]
    store.insert(run, Rows("", 0, "states", number, values), again=True)
    store.execute(
        f"UPDATE flow_runs SET state = {m}, message = {m}, ended = {m}, state_number = {m} WHERE id = {m}",
        (state, message, now if is_finished else None, number, run),
    )
    if is_finished:
        store.answer_requests(run, state, now)


def next_number(store: Store, run: int) -> int:
    """What is told next of a run is counted from here."""
    tables = ("states", "log_lines", "cluster_events", "artifacts")
    each = [f"SELECT max(number) AS last FROM {table} WHERE run = {store.mark}" for table in tables]
    each.append(f"SELECT max(number + count - 1) FROM packed_states WHERE run = {store.mark}")
    [(last,)] = store.execute(
        f"SELECT max(last) FROM ({' UNION ALL '.join(each)}) AS numbers", (run,) * len(each)
    )
    return 0 if last is None else int(last) + 1
