"""Taking up a recorded flow run again: in another process, on another executor, with changed code."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect_dask.engine.errors import PrefectDaskError
from prefect_dask.engine.graph import FlowGraph
from prefect_dask.engine.logs import get_logger
from prefect_dask.engine.state import State
from prefect_dask.engine.steering import Steering
from prefect_dask.engine.widths import known_widths
from prefect_dask.kept_results import kept_results
from prefect_dask.ledger.flows import flow_facts
from prefect_dask.ledger.ledger import Ledger, tasks_in
from prefect_dask.ledger.taking_up import (
    Resumable,
    find_resumable,
    recording_on,
    take_up,
)
from prefect_dask.resumption import histories, resumption
from prefect_dask.running import FlowRun, GoesOn, result_rules
from prefect_dask.tasks.prefect import NoSuchFlow, find_flow

if TYPE_CHECKING:
    from prefect_dask.flow import Flow
    from prefect_dask.progress import Watch


def resume(
    run_id: str,
    flow: Flow | None = None,
    *,
    ledger: Any = None,
    executor: Any = None,
    on_state: Callable[[Any], Any] | None = None,
    context: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    progress: bool | Watch = False,
) -> State:
    """Go on with a recorded flow run whose process died, or that is Paused, from where it was.

    Task runs that are finished and whose results are stored never run again. Those whose result was in memory only
    run again where something that has yet to run takes it. Retries keep their count and time, loops their turn,
    maps their children. Where code has changed, what still has to run uses the new code, and a warning says so.

    Parameters and results are unpickled, and the file with the flow is run: take up only runs of people whom you
    trust as yourself.

    Args:
        run_id: The run's id, or as much of the beginning as tells it from others.
        flow: The flow; the one in the file where it was made, when not given.
        ledger: Where the run is recorded, as for `Flow.run`.
        executor: Where the tasks run, as for `Flow.run`.
        on_state: As for `Flow.run`.
        context: As for `Flow.run`; what the run was given before is not kept, since secrets are in it.
        parameters: Values of parameters that were not kept, because a secret is in them or they cannot be pickled.
        progress: As for `Flow.run`.

    Returns:
        The flow's state; its result is a dict with the state of each task.

    Raises:
        UnknownRun: There is no such run.
        RunAlive: Its process is there.
        RunSucceeded: Nothing is left to be done.
        NoFlowToResume: The flow is not given, and cannot be found.
        FlowDiffers: The flow has other tasks or edges than the one that ran.
        ParametersNotKept: The parameters are needed, and were not kept.
    """
    return _go_on(
        run_id, flow, ledger, executor, on_state, context, parameters, progress, restarts=False
    )


def restart(
    run_id: str,
    flow: Flow | None = None,
    *,
    ledger: Any = None,
    executor: Any = None,
    on_state: Callable[[Any], Any] | None = None,
    context: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    progress: bool | Watch = False,
) -> State:
    """Go on with a recorded flow run as `resume` does, and run its failed task runs again, with all their attempts.

    What did not run because of them runs too.

    Args:
        run_id: As for `resume`.
        flow: As for `resume`.
        ledger: As for `resume`.
        executor: As for `resume`.
        on_state: As for `resume`.
        context: As for `resume`.
        parameters: As for `resume`.
        progress: As for `Flow.run`.

    Raises:
        PrefectDaskError: As for `resume`.
    """
    return _go_on(
        run_id, flow, ledger, executor, on_state, context, parameters, progress, restarts=True
    )


def _go_on(
    run_id: str,
    flow: Flow | None,
    ledger: Any,
    executor: Any,
    on_state: Callable[[Any], Any] | None,
    context: Mapping[str, Any] | None,
    parameters: Mapping[str, Any] | None,
    progress: bool | Watch,
    *,
    restarts: bool,
) -> State:
    where = ledger if isinstance(ledger, Ledger) else Ledger(ledger)
    found = find_resumable(where, run_id)
    flow = flow if flow is not None else _flow_of(found)
    graph = flow.describe()
    changed = _changed_code(graph, found)
    values = {**(_parameters(flow, found, parameters)), **(parameters or {})}
    rules = result_rules(flow, durable=flow.durable)
    # Nothing may go wrong from here on but what the run itself is told.
    taken = take_up(where, found)
    plan = resumption(
        graph,
        histories(taken.states, kept_results(graph, rules, taken.results)),
        known_widths(graph, values),
        restarts=restarts,
    )
    _tell_changes(changed, graph, plan.to_run)
    run = FlowRun(
        flow,
        executor=executor,
        parameters=values,
        context=context or {},
        task_states={},
        return_tasks=None,
        on_state=on_state,
        ledger=where,
        durable=flow.durable,
        runner_cls=None,
        progress=progress,
    )
    steering = Steering()
    observer = recording_on(where, taken, plan.changes, steering)
    with observer.listening():
        recorded = found.run
        return run.go_on(
            graph,
            GoesOn(recorded.run_id, recorded.name, recorded.scheduled, plan.task_states),
            observer,
            steering,
        )


def _flow_of(found: Resumable) -> Flow:
    name = found.run.flow_name
    if found.origin is None or not Path(found.origin).is_file():
        why = "it was made in no file" if found.origin is None else f"{found.origin} is not there"
        raise NoFlowToResume(found.run.run_id, name, why)
    try:
        flow: Flow = find_flow(found.origin)
        if flow.name == name:
            return flow
    except NoSuchFlow:
        pass  # several, of which one may have the name
    try:
        return find_flow(f"{found.origin}:{name}")
    except NoSuchFlow as error:
        raise NoFlowToResume(found.run.run_id, name, str(error)) from error


def _parameters(flow: Flow, found: Resumable, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    try:
        values, why = found.parameters(), "a secret is in them, or they cannot be pickled"
    except Exception as error:  # the user's classes
        values, why = None, f"they cannot be unpickled: {type(error).__name__}: {error}"
    if values is not None:
        return values
    missing = sorted({each.name for each in flow.parameters()} - set(given or {}))
    if missing:
        raise ParametersNotKept(found.run.run_id, missing, why)
    return {}


def _changed_code(graph: FlowGraph, found: Resumable) -> dict[int, str]:
    """The names of the tasks whose code is not what it was, by place in the flow.

    Raises:
        FlowDiffers: The tasks or edges themselves are not.
    """
    document = json.loads(flow_facts(graph).graph)
    now, then = tasks_in(document), found.flow.tasks
    slugs_now, slugs_then = [t.slug for t in now], [t.slug for t in then]
    new, gone = sorted(set(slugs_now) - set(slugs_then)), sorted(set(slugs_then) - set(slugs_now))
    if new or gone:
        raise FlowDiffers(
            graph.name,
            "; ".join(
                [f"it has {', '.join(new)}, which did not run"] * bool(new)
                + [f"it lacks {', '.join(gone)}"] * bool(gone)
            ),
        )
    if slugs_now != slugs_then:
        raise FlowDiffers(graph.name, "its tasks come in another order")
    edges = {tuple(edge) for edge in document["edges"]}
    if edges != set(found.flow.edges):
        up, down, *_ = sorted(edges ^ set(found.flow.edges), key=repr)[0]
        raise FlowDiffers(
            graph.name, f"{slugs_now[down]} waits for {slugs_now[up]} in another way, or no more"
        )
    return {
        a.index: a.name for a, b in zip(now, then, strict=True) if a.code != b.code or not a.code
    }


def _tell_changes(changed: Mapping[int, str], graph: FlowGraph, to_run: set[int]) -> None:
    names = [repr(changed[index]) for index in sorted(to_run & set(changed))]
    if names:
        get_logger("resume").warning(
            "flow %r: the code of %s is not, or may not be, what it was when the run began; what still has to run "
            "uses it as it is now",
            graph.name,
            ", ".join(names),
        )


# ---- what goes wrong


class NoFlowToResume(PrefectDaskError):
    """A run is to be taken up again, and nobody knows its flow."""

    def __init__(self, run_id: str, flow: str, why: str) -> None:
        super().__init__(
            f"flow run {run_id} cannot be taken up again without its flow {flow!r}: {why}; build the flow as it "
            f"was, and give it with flow=…"
        )
        self.run_id, self.flow, self.why = run_id, flow, why


class FlowDiffers(PrefectDaskError, ValueError):
    """A run is to be taken up again with a flow that has other tasks or edges."""

    def __init__(self, flow: str, how: str) -> None:
        super().__init__(
            f"flow {flow!r} is not the one that ran: {how}; code may change, tasks and edges may not: begin a new "
            f"run with flow.run()"
        )
        self.flow, self.how = flow, how


class ParametersNotKept(PrefectDaskError, ValueError):
    """A run is to be taken up again whose parameters are not in the ledger."""

    def __init__(self, run_id: str, missing: list[str], why: str) -> None:
        super().__init__(
            f"the parameters of flow run {run_id} were not kept: {why}; give parameters={{…}} with "
            f"{', '.join(map(repr, missing))}"
        )
        self.run_id, self.missing, self.why = run_id, missing, why
