"""What must hold when a case is over: the promises R1 to R5, and that nothing is left."""

from __future__ import annotations

import pickle
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import distributed

from prefect_dask.engine.durable import read_stored
from prefect_dask.engine.files import UNFINISHED
from prefect_dask.engine.lawful import is_lawful
from prefect_dask.engine.state import STATES, Pending, Retrying, State, Success
from prefect_dask.ledger import Ledger
from prefect_dask.ledger.facts import RecordedState
from prefect_dask.limits import limits
from tests.chaos.bodies import flat, named_places, number_in
from tests.chaos.disturbed import LEASE_SECONDS, Broken, Disturbed, environment
from tests.chaos.plan import Case, TaskPlan, expected, widths_of
from tests.chaos.traces import Body
from tests.faults.cluster import keys_on
from tests.outside_ledger import (
    TaskRun,
    check_histories_are_lawful,
    check_nothing_is_left_running,
    check_stored_results_are_final,
    histories_in,
)
from tests.waiting import wait_until

#: Between two clocks of one machine, and the moments at which they are read.
TOLERANCE_SECONDS = 0.002

#: In the log of a run that goes on on another cluster.
CLUSTER_LOST = " was lost during the run"


def check_all(done: Disturbed) -> None:
    """See that a case that is over kept all promises.

    Raises:
        Broken, AssertionError: It did not.
    """
    ledger, run_id = done.opened_ledger(), done.run_id()
    assert run_id is not None
    slugs = {task.index: task.slug for task in ledger.flow(run_id).tasks}
    states, bodies = ledger.states(run_id), done.traces.bodies()
    histories = histories_in(states, slugs)
    stored = {result.number for result in ledger.results(run_id)}
    check_histories_are_lawful(histories)
    check_flow_history_is_lawful([state for state in states if state.task < 0])
    check_nothing_is_left_running(histories)
    check_stored_results_are_final(histories, stored)
    check_all_is_recorded(done.case, histories)
    check_values(done, ledger, run_id)
    # What nobody heard of any more before a cluster was lost is done again, as where the coordinating process dies.
    lost_at = [line.time for line in ledger.logs(run_id) if CLUSTER_LOST in line.message]
    dead = dead_epochs(done) | {epoch_of(moment, done.over_ns) for moment in lost_at}
    check_extra_executions(bodies, histories, dead, done.over_ns)
    check_nothing_stored_ran_again(bodies, histories, stored, done.over_ns)
    for plan in done.case.tasks:
        if plan.max_in_flight is not None:
            check_in_flight(plan, done.case, bodies)
    for name, slots in done.case.limits.items():
        check_limit(name, slots, done.case, bodies, histories, stopped_at(done))
    if done.case.limits:
        check_no_slot_is_left(done)
    check_nothing_is_left(done)


def dead_epochs(done: Disturbed) -> frozenset[int]:
    """Which coordinating processes died, or lost their run or its cluster."""
    last = len(done.coordinators) - 1
    return frozenset(
        epoch
        for epoch, process in enumerate(done.coordinators)
        if epoch != last or process.returncode != 0
    )


def stopped_at(done: Disturbed) -> dict[int, int]:
    """Under which coordinating processes bodies were stopped with them, and when, until the run was over."""
    if done.case.place not in ("this thread", "threads"):
        return {}
    stopped = [epoch for epoch, process in enumerate(done.coordinators) if process in done.stale]
    return {epoch: done.over_ns[epoch] for epoch in stopped}


# ---- R1


def check_extra_executions(
    bodies: Sequence[Body],
    histories: Mapping[TaskRun, Sequence[RecordedState]],
    dead: Collection[int],
    over_ns: Mapping[int, int],
) -> None:
    """R1: each execution beyond the first has a cause that is recorded.

    What a coordinating process did not come to record before it died is done again; its death is the cause.

    Args:
        bodies: All executions.
        histories: What was recorded of each task run.
        dead: Under which coordinating processes something may have begun of which nobody could hear any more.
        over_ns: When which coordinating process was over.
    """
    executions: dict[TaskRun, list[Body]] = {}
    for body in bodies:
        executions.setdefault(body.execution.task_run, []).append(body)
    for task_run, those in executions.items():
        history = histories.get(task_run, ())
        causes = sum(is_cause(state) for state in history)
        untold = Counter(body.epoch for body in those if body.epoch in dead)
        untold.subtract(epoch_of(each.time, over_ns) for each in history if each.state == "Running")
        untold_count = sum((+untold).values())
        if len(those) > 1 + causes + untold_count:
            raise Broken(
                f"R1: {task_run} was begun {len(those)} times; for that there are {causes} causes, and "
                f"{untold_count} that could not be told any more"
            )


def epoch_of(moment: datetime, over_ns: Mapping[int, int]) -> int:
    """Under which coordinating process a moment was; that of the last one goes on for ever."""
    offset = time.time() - time.monotonic()
    at_ns = (moment.timestamp() - offset) * 1e9
    return next((epoch for epoch in sorted(over_ns) if at_ns <= over_ns[epoch]), len(over_ns))


def is_cause(state: RecordedState) -> bool:
    """Whether a state says why its task run is executed once more."""
    kind = STATES[state.state]
    return issubclass(kind, Retrying) or (kind is Pending and bool(state.message))


# ---- R2


def check_nothing_stored_ran_again(
    bodies: Sequence[Body],
    histories: Mapping[TaskRun, Sequence[RecordedState]],
    stored: set[int],
    over_ns: Mapping[int, int],
) -> None:
    """R2: no body was begun after its result was stored and recorded.

    What a coordinating process had handed over before it died or lost its run may begin until that is known where
    it runs; nothing of it counts.

    Args:
        bodies: All executions.
        histories: What was recorded of each task run.
        stored: The numbers of the states whose results are stored.
        over_ns: When which coordinating process was over.
    """
    offset = time.time() - time.monotonic()
    for body in bodies:
        if body.execution.time_ns > over_ns[body.epoch]:
            continue
        began = body.execution.time_ns / 1e9 + offset
        for state in histories.get(body.execution.task_run, ()):
            late = began - state.time.timestamp()
            is_stored = issubclass(STATES[state.state], Success) and state.number in stored
            if is_stored and late > TOLERANCE_SECONDS:
                raise Broken(
                    f"R2: {body.execution.task_run} was begun {late:.3f} s after its result was stored"
                )


# ---- R3


def check_flow_history_is_lawful(history: Sequence[RecordedState]) -> None:
    """R3, for the states of the flow run itself."""
    kinds: list[type[State]] = [Pending, *(STATES[state.state] for state in history)]
    for old, new in pairwise(kinds):
        if not is_lawful(old, new):
            raise Broken(f"R3: the flow run went {[state.state for state in history]}")


def check_all_is_recorded(case: Case, histories: Mapping[TaskRun, Sequence[RecordedState]]) -> None:
    """R3: no state is lost: of each task run the ledger knows what it came to."""
    values, widths = expected(case.tasks), widths_of(case.tasks)
    last = {task_run: history[-1].state for task_run, history in histories.items()}
    for plan in case.tasks:
        if plan.kind == "merge":
            continue
        slug = next(slug for slug, _ in last if slug.rpartition("-")[0] == plan.name)
        if plan.kind == "each":
            wanted = {(slug, -1): "Mapped"} | {
                (slug, i): "Success" for i in range(widths[plan.number])
            }
        else:
            wanted = {(slug, -1): "Skipped" if values[plan.number] is None else "Success"}
        for task_run, state in wanted.items():
            if last.get(task_run) != state:
                raise Broken(f"R3: {task_run} is {last.get(task_run)}, and came to {state}")


def check_values(done: Disturbed, ledger: Ledger, run_id: str) -> None:
    """R1: what was accepted is what the bodies come to from what was accepted above them."""
    values = expected(done.case.tasks)
    names = {task.index: task.name for task in ledger.flow(run_id).tasks}
    plans = {plan.name: plan for plan in done.case.tasks}
    for result in ledger.results(run_id):
        plan = plans.get(names[result.task])
        if plan is None or plan.kind == "merge":
            continue
        if result.value is not None:
            found = pickle.loads(result.value)
        elif plan.is_named:
            found = named_places(done.folder).read(result.location or "").value
        else:
            found = read_stored(done.folder / "home" / "results", result.location or "")
        wanted = values[plan.number]
        if result.map_index >= 0:
            assert isinstance(wanted, list)
            wanted = wanted[result.map_index]
        numbers = [number_in(each) for each in flat([found])]
        if numbers != (wanted if isinstance(wanted, list) else [wanted]):
            raise Broken(f"R1: {plan.name}[{result.map_index}] came to {numbers}, not to {wanted}")


# ---- R5


def check_in_flight(plan: TaskPlan, case: Case, bodies: Sequence[Body]) -> None:
    """R5: at no moment more items are between the start of a task and the end of what is mapped over it."""
    chain = {plan.number}
    for below in case.tasks:
        if below.kind == "each" and below.above[0] in chain:
            chain.add(below.number)
    name_of = {each.number: each.name for each in case.tasks}
    names = {name_of[number] for number in chain}
    landed: set[tuple[str, int]] = set()
    for epoch in sorted({body.epoch for body in bodies}):
        moments: list[tuple[int, int, str, int]] = []
        for body in bodies:
            name, index = body.execution.task.rpartition("-")[0], body.execution.map_index
            if body.epoch == epoch and name in names:
                moments.append((body.execution.time_ns, 1, name, index))
                if body.ended_ns is not None:
                    moments.append((body.ended_ns, 0, name, index))
        flying: set[int] = set()
        for _, is_start, name, index in sorted(moments):
            if is_start:
                if name == plan.name and (name, index) not in landed:
                    flying.add(index)
                if len(flying) > (plan.max_in_flight or 0):
                    raise Broken(
                        f"R5: of {plan.name} the items {sorted(flying)} were under way at once"
                    )
            else:
                landed.add((name, index))
                if all((each, index) in landed for each in names):
                    flying.discard(index)


def check_limit(
    name: str,
    slots: int,
    case: Case,
    bodies: Sequence[Body],
    histories: Mapping[TaskRun, Sequence[RecordedState]],
    stopped_ns: Mapping[int, int],
) -> None:
    """R5: at no moment more bodies are at work than a limit has slots.

    One whose end nobody told was at work as long as its process is known to have been there, or until it was given
    up together with its worker. One that was stopped is not at work, and its slot is free when it has been silent
    for long enough; when it wakes up, the run is over.

    Args:
        name: Of the limit.
        slots: How many it has.
        case: What was planned.
        bodies: All executions.
        histories: What was recorded of each task run.
        stopped_ns: When bodies were stopped with their coordinating processes.
    """
    kind, _, which = name.partition(":")
    names = {p.name for p in case.tasks if (p.is_scarce if kind == "tag" else p.name == which)}
    last_of: dict[int, int] = {}
    for body in bodies:
        told = max(filter(None, (body.execution.time_ns, body.ended_ns, body.left_ns)))
        last_of[body.execution.pid] = max(last_of.get(body.execution.pid, 0), told)
    offset = time.time() - time.monotonic()
    moments: list[tuple[float, int, str]] = []
    for body in bodies:
        began, task_run = body.execution.time_ns, body.execution.task_run
        if task_run[0].rpartition("-")[0] not in names:
            continue
        ends: list[float] = [last_of[body.execution.pid] if body.left_ns is None else body.left_ns]
        ends += [
            given_up
            for state in histories.get(task_run, ())
            if is_cause(state) and (given_up := (state.time.timestamp() - offset) * 1e9) > began
        ]
        if began < (stopped := stopped_ns.get(body.epoch, began)):
            ends.append(stopped)
        moments += [(began, 1, str(task_run)), (min(ends), 0, str(task_run))]
    at_work: Counter[str] = Counter()
    for _, is_begin, task_run_name in sorted(moments):
        at_work[task_run_name] += 1 if is_begin else -1
        if at_work.total() > slots:
            raise Broken(f"R5: {+at_work} were at work at once, with {slots} slots of {name!r}")


def check_no_slot_is_left(done: Disturbed) -> None:
    """R5: nobody holds a slot, when the leases of those are over that died, and nobody waits for one."""

    def left() -> list[str]:
        with environment(done.variables("looks")):
            return [str(one) for one in limits(ledger=done.ledger) if one.holders or one.waiting]

    wait_until(lambda: not left(), 2 * LEASE_SECONDS, what=f"no slot that is held: {left()}")


# ---- nothing left


def check_nothing_is_left(done: Disturbed) -> None:
    """No process, no key, and no file but the ledger and results.

    A process that dies in its first moments leaves results of a run that nobody knows.
    """
    wait_until(lambda: not done.left_processes(), what=f"no process: {done.left_processes()}")
    if done.ground is not None:
        with done.ground.cluster.client() as client:
            wait_until(lambda: not keys_on(client), what="no key on the scheduler")
            wait_until(lambda: not runs_on(client), what="no run that workers host")
    home = done.folder / "home"
    left = [
        path.relative_to(done.folder)
        for top in (home, done.folder / "tmp")
        for path in top.rglob("*")
        if not path.is_dir() and not is_result(path.relative_to(home) if top is home else path)
    ]
    if left:
        raise Broken(f"files are left: {', '.join(map(str, left))}")


def runs_on(client: distributed.Client) -> list[str]:
    """The runs of which each worker, also one that comes later, is told."""
    names: list[str] = client.run_on_scheduler(
        lambda dask_scheduler: list(dask_scheduler.worker_plugins)
    )
    return [name for name in names if name.startswith("prefect-dask")]


def is_result(path: Path) -> bool:
    """Whether a path below the home folder is of a result, or of one whose writer was killed (decision 0008), or
    tells the limits there were."""
    if path.match("journal*/limits-*.txt"):
        return True
    return (
        len(path.parts) == 3
        and path.parts[0] == "results"
        and path.suffix in (".pickle", UNFINISHED)
    )
