"""Taking up a recorded flow run again: in another process, on another executor, with changed code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from prefect_dask.engine.graph import FlowGraph
from prefect_dask.engine.logs import get_logger
from prefect_dask.engine.state import State
from prefect_dask.engine.steering import Steering
from prefect_dask.engine.widths import known_widths
from prefect_dask.kept_results import kept_results, noted_finishes
from prefect_dask.ledger.ledger import Ledger
from prefect_dask.ledger.taking_up import find_resumable, take_up
from prefect_dask.recorded import changed_code, flow_of, graph_of, parameters_of
from prefect_dask.resumption import histories, resumption, take_finishes
from prefect_dask.running import FlowRun, GoesOn, result_rules

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
    return_tasks: Iterable[Any] | None = None,
    progress: bool | Watch | None = None,
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
        return_tasks: As for `Flow.run`.
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
    settings = (executor, on_state, context, parameters, return_tasks, progress)
    return _go_on(run_id, flow, ledger, *settings, restarts=False)


def restart(
    run_id: str,
    flow: Flow | None = None,
    *,
    ledger: Any = None,
    executor: Any = None,
    on_state: Callable[[Any], Any] | None = None,
    context: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    return_tasks: Iterable[Any] | None = None,
    progress: bool | Watch | None = None,
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
        return_tasks: As for `resume`.
        progress: As for `Flow.run`.

    Raises:
        PrefectDaskError: As for `resume`.
    """
    settings = (executor, on_state, context, parameters, return_tasks, progress)
    return _go_on(run_id, flow, ledger, *settings, restarts=True)


def _go_on(
    run_id: str,
    flow: Flow | None,
    ledger: Any,
    executor: Any,
    on_state: Callable[[Any], Any] | None,
    context: Mapping[str, Any] | None,
    parameters: Mapping[str, Any] | None,
    return_tasks: Iterable[Any] | None,
    progress: bool | Watch | None,
    *,
    restarts: bool,
) -> State:
    where = ledger if isinstance(ledger, Ledger) else Ledger(ledger)
    found = find_resumable(where, run_id)
    flow = flow if flow is not None else flow_of(found)
    graph = graph_of(flow)
    changed = changed_code(graph, found)
    values = {**(parameters_of(flow, found, parameters)), **(parameters or {})}
    # As the run was begun, whatever the flow says by now: what was finished under it is to stay so.
    durable = flow.durable if found.durable is None else found.durable
    rules = result_rules(flow, durable=durable)
    steering = Steering()
    observer = take_up(where, found, steering)
    recorded = found.run
    with observer.holding(recorded.run_id):
        states, results = where.states(recorded.run_id), where.results(recorded.run_id)
        known = histories(states, kept_results(graph, rules, results))
        finished = take_finishes(graph, known, noted_finishes(graph, rules, recorded.run_id))
        plan = resumption(graph, known, known_widths(graph, values), restarts=restarts)
        _tell_changes(changed, graph, plan.to_run, {index for index, _ in known})
        run = FlowRun(
            flow,
            executor=executor,
            parameters=values,
            context=context or {},
            task_states={},
            return_tasks=None if return_tasks is None else tuple(return_tasks),
            on_state=on_state,
            ledger=where,
            durable=durable,
            runner_cls=None,
            progress=progress,
        )
        observer.first_changes = [*finished, *plan.changes]
        with observer.listening():
            return run.go_on(
                graph,
                GoesOn(recorded.run_id, recorded.name, recorded.scheduled, plan.task_states),
                observer,
                steering,
            )


def _tell_changes(
    changed: Mapping[int, str], graph: FlowGraph, to_run: set[int], begun: set[int]
) -> None:
    """Warn of code that differs: of what has to run, and of what ran as it was before."""
    consequences = (
        (to_run, "what still has to run uses it as it is now"),
        (begun - to_run, "their results are those of the code as it was"),
    )
    for those, consequence in consequences:
        names = [repr(changed[index]) for index in sorted(those & set(changed))]
        if names:
            get_logger("resume").warning(
                "flow %r: the code of %s is not, or may not be, what it was when the run began; %s",
                graph.name,
                ", ".join(names),
                consequence,
            )
