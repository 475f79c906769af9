"""What a person decides of a recorded task run while no process is at its flow run."""

from __future__ import annotations

import getpass
import platform
from collections.abc import Iterator, Mapping
from typing import Any

from prefect_dask.engine import clock, secrets
from prefect_dask.engine.durable import Storing, results_folder
from prefect_dask.engine.errors import PrefectDaskError
from prefect_dask.engine.lawful import is_lawful
from prefect_dask.engine.result import ResultRules
from prefect_dask.engine.state import (
    NEVER,
    STATES,
    Failed,
    Paused,
    Pending,
    Running,
    Skipped,
    State,
    Success,
    TriggerFailed,
)
from prefect_dask.ledger.facts import RecordedFlow, RecordedTask, RecordedTaskRun
from prefect_dask.ledger.leases import Decided, decide
from prefect_dask.ledger.ledger import Ledger
from prefect_dask.ledger.packed import as_json_object
from prefect_dask.ledger.taking_up import FoundRun, find_resumable
from prefect_dask.recorded import check_is_there
from prefect_dask.resumption import COORDINATOR_DIED, TaskRun
from prefect_dask.settings import home_folder

#: What each task run came to, as far as it came to anything.
Latest = Mapping[TaskRun, RecordedTaskRun]


def set_success(
    run_id: str,
    task: Any,
    result: Any,
    map_index: int = -1,
    *,
    ledger: Any = None,
    reason: str = "",
) -> None:
    """Have a task run of a recorded flow run be a Success with this result, without running it.

    `resume` and `restart` then go on below it: what did not run because of it, runs. What ran below it before stays
    as it is. The state's message says who did it.

    Args:
        run_id: The run's id, or as much of the beginning as tells it from others.
        task: The task: its slug, its name where no other one has it, its place in the flow, or the task itself.
        result: What the task run is to have returned.
        map_index: Which child of a mapped task.
        ledger: Where the run is recorded, as for `Flow.run`.
        reason: Why, for the message.

    Raises:
        UnknownRun: There is no such run.
        RunAlive: Its process is there.
        RunSucceeded: Nothing is left to be done.
        UnknownRecordedTask: The flow had no such task.
        UnknownTaskRun: The task has no such child, or is mapped and none is named.
        StoreFailed: The result cannot be pickled, or written.
        NotByHand: The task makes a secret or a resource, or the result holds a secret.
    """

    def decided(found: FoundRun, which: RecordedTask, latest: Latest) -> Iterator[Decided]:
        run_id = found.run.run_id
        if which.runs_anew:
            raise NotByHand(run_id, which.name, "makes a secret or a resource, which is made again")
        home = home_folder()
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        storing = Storing(results_folder(ResultRules(home=str(home))), must_store=True)
        stored = storing.store(result, run_id, which.slug, map_index)
        if stored is None:
            raise NotByHand(run_id, which.name, "cannot have this result: a secret is in it")
        last = latest.get((which.index, map_index))
        kind: type[State] = Pending
        attempt = 1
        if last is not None:
            kind, attempt = STATES.get(last.state, Pending), last.attempt
        if issubclass(kind, Running):
            yield Decided(which.index, map_index, attempt, "Pending", COORDINATOR_DIED)
        elif not is_lawful(kind, Success):
            yield Decided(which.index, map_index, attempt, "Pending", "set anew by hand")
        message = _by("set to Success", reason)
        yield Decided(which.index, map_index, attempt, "Success", message, stored=stored)
        why = f"{which.name!r}, above it, was set to Success"
        for index, child in held_back(found.flow, latest, (which.index, map_index)):
            yield Decided(index, child, latest[index, child].attempt, "Pending", why)

    _decide(run_id, task, map_index, ledger, decided)


def approve(
    run_id: str,
    task: Any,
    map_index: int = -1,
    *,
    ledger: Any = None,
    reason: str = "",
) -> None:
    """Let a Paused task run of a recorded flow run go on when that is next resumed.

    Args:
        run_id: As for `set_success`.
        task: As for `set_success`.
        map_index: Which child of a mapped task.
        ledger: Where the run is recorded, as for `Flow.run`.
        reason: Why, for the message.

    Raises:
        UnknownRun, RunAlive, RunSucceeded, UnknownRecordedTask, UnknownTaskRun: As for `set_success`.
        NotPaused: The task run is in another state.
    """

    def decided(found: FoundRun, which: RecordedTask, latest: Latest) -> Iterator[Decided]:
        last = latest.get((which.index, map_index))
        if last is None or last.state != Paused.__name__:
            raise NotPaused(found.run.run_id, which.name, last.state if last else "Pending")
        details = as_json_object({"start_time": clock.to_seconds(NEVER)})
        message = _by("approved", reason)
        yield Decided(which.index, map_index, last.attempt, "Resume", message, details)

    _decide(run_id, task, map_index, ledger, decided)


def _decide(run_id: str, task: Any, map_index: int, given: Any, decided: Any) -> None:
    ledger = given if isinstance(given, Ledger) else Ledger(given)
    is_done = False
    while not is_done:  # again where somebody else was faster: what he decided on comes first
        found = find_resumable(ledger, run_id)
        which = found.flow.task(task)
        latest = {(r.task, r.map_index): r for r in ledger.task_runs(found.run.run_id)}
        check_is_there(ledger, found.run.run_id, which, map_index)
        changes = list(decided(found, which, latest))
        with ledger.opened() as store:
            is_done = decide(store, found.run.key, found.fence, changes, clock.now())


def held_back(flow: RecordedFlow, latest: Latest, first: TaskRun) -> list[TaskRun]:
    """The task runs that did not run because of what one came to, in running order.

    What they wait for beside it may hold them back still; that is found out when they are due.

    Args:
        flow: The flow.
        latest: What its task runs came to.
        first: The task run.
    """
    children: dict[int, list[int]] = {}
    for index, map_index in latest:
        children.setdefault(index, []).append(map_index)
    found: set[TaskRun] = set()
    begin = latest.get(first)
    # Each with whether it was skipped, as those below it are then.
    stack = [(first, begin is not None and begin.state == Skipped.__name__)]
    while stack:
        (above, map_index), was_skipped = stack.pop()
        for up, down, _, is_mapped, is_flattened in flow.edges:
            if up != above:
                continue
            is_item = is_mapped and not is_flattened and flow.tasks[above].is_mapped
            for child in children.get(down, ()):
                if is_item and map_index >= 0 and child not in (-1, map_index):
                    continue
                state = STATES.get(latest[down, child].state, Pending)
                if (down, child) in found or not _is_held_back(
                    state,
                    was_skipped=was_skipped,
                    is_parent=child < 0 and flow.tasks[down].is_mapped,
                ):
                    continue
                found.add((down, child))
                stack.append(((down, child), issubclass(state, Skipped)))
    return sorted(found)


def _is_held_back(state: type[Any], *, was_skipped: bool, is_parent: bool) -> bool:
    if issubclass(state, Skipped):
        return was_skipped
    # A mapped task is Failed where it found nothing to be mapped over.
    return issubclass(state, TriggerFailed) or (is_parent and issubclass(state, Failed))


def _by(what: str, reason: str) -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without names
        user = "somebody"
    text = f"{what} by hand, by {user}@{platform.node()}"
    return secrets.masked(f"{text}: {reason}" if reason else text)


class NotByHand(PrefectDaskError, ValueError):
    """A task run is to be set by hand that cannot be."""

    def __init__(self, run_id: str, task: str, why: str) -> None:
        super().__init__(f"flow run {run_id}: task {task!r} {why}; set what lies below it")
        self.run_id, self.task, self.why = run_id, task, why


class NotPaused(PrefectDaskError, ValueError):
    """A task run is to be approved that waits for nobody's word."""

    def __init__(self, run_id: str, task: str, state: str) -> None:
        super().__init__(
            f"flow run {run_id}: task {task!r} is {state}, and only what is Paused can be approved"
        )
        self.run_id, self.task, self.state = run_id, task, state
