"""A recorded run, and its flow as it is now: whose code changed, its parameters, where its results are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect_dask.engine.errors import PrefectDaskError
from prefect_dask.engine.failures import type_and_text_of
from prefect_dask.engine.graph import FlowGraph
from prefect_dask.ledger.errors import UnknownTaskRun
from prefect_dask.ledger.facts import RecordedTask
from prefect_dask.ledger.flows import flow_facts
from prefect_dask.ledger.ledger import Ledger, tasks_in
from prefect_dask.ledger.taking_up import FoundRun
from prefect_dask.task_graph import TaskGraph
from prefect_dask.tasks.prefect import NoSuchFlow, find_flow

if TYPE_CHECKING:
    from prefect_dask.flow import Flow


def flow_of(found: FoundRun) -> Flow:
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


def graph_of(flow: Any) -> FlowGraph:
    """What a recorded run's flow is now.

    Raises:
        NotAFlow: What was given as the flow is none.
    """
    if not isinstance(flow, TaskGraph):
        raise NotAFlow(flow)
    return flow.describe()


def parameters_of(
    flow: Flow, found: FoundRun, given: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    try:
        values, why = found.parameters(), "a secret is in them, or they cannot be pickled"
    except Exception as error:  # the user's classes
        values, why = None, f"they cannot be unpickled: {type_and_text_of(error)}"
    if values is not None:
        return values
    missing = sorted({each.name for each in flow.parameters()} - set(given or {}))
    if missing:
        raise ParametersNotKept(found.run.run_id, missing, why)
    return {}


def changed_code(graph: FlowGraph, found: FoundRun) -> dict[int, str]:
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


def check_is_there(ledger: Ledger, run_id: str, which: RecordedTask, map_index: int) -> None:
    """See that a recorded run has a task run.

    Raises:
        UnknownTaskRun: The task has no such child, or is mapped and none is named.
    """
    if not which.is_mapped:
        if map_index >= 0:
            raise UnknownTaskRun(run_id, which.name, "is not mapped; leave out map_index, or [i]")
        return
    widths = [state.details.get("width") for state in ledger.states(run_id, which.index)]
    width = next((width for width in reversed(widths) if width is not None), None)
    if map_index >= 0 and (
        map_index < (width or 0) or ledger.states(run_id, which.index, map_index)
    ):
        return
    there = "no children yet" if width is None else f"{width} children, counted from 0"
    raise UnknownTaskRun(
        run_id,
        which.name,
        f"has {there}; say which with map_index=, or as {which.name}[i] on the command line",
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


class NotAFlow(PrefectDaskError, TypeError):
    """A run is to be taken up again, or replayed, with something that is no flow."""

    def __init__(self, given: object) -> None:
        self.given = repr(given)
        super().__init__(
            f"flow= is {self.given}, and should be the Flow itself, made by the same code; leave it out, and the "
            f"file is run in which it was made"
        )


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
