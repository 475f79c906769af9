"""Tasks and flows as HTML: what they take, what they wait for, which settings are not the usual ones."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from prefect_dask.engine.graph import Edge, FlowGraph, Node
from prefect_dask.engine.triggers import all_successful
from prefect_dask.notebook import markup
from prefect_dask.notebook.markup import MOST_ROWS, code, short_repr, text
from prefect_dask.progress.lines import duration

#: So many inputs of a task, parameters and reference tasks of a flow are named.
MOST_NAMED = 12


# ---- a task


def task_html(task: Any) -> str:
    """A task: what it takes, what it is for, and its settings."""
    kind = type(task).__name__
    about = inspect.getdoc(getattr(task, "run", None)) or ""
    if about == inspect.getdoc(_run_of_base(task)):
        about = ""
    return markup.card(
        markup.head("Task", task.name, text(kind) if kind not in ("Task", "FunctionTask") else ""),
        f'<p class="pd-soft">{text(about.partition(chr(10))[0])}</p>' if about else "",
        markup.facts(
            [
                ("takes", _signature(task)),
                ("tags", text(", ".join(sorted(task.tags)))),
                ("settings", text(", ".join(settings_of(task)))),
            ]
        ),
    )


def _run_of_base(task: Any) -> Any:
    return getattr(type(task).__mro__[-2], "run", None)


def _signature(task: Any) -> str:
    parts = []
    for name, its in task.inputs().items():
        shown = code(name)
        if not its["required"]:
            shown += f'<span class="pd-soft"> = {code(short_repr(its["default"]))}</span>'
        parts.append(shown)
    return ", ".join(parts[:MOST_NAMED])


def settings_of(task: Any) -> Iterator[str]:
    """The settings of a task that are not the usual ones, in words."""
    if hasattr(task, "required"):
        yield "required" if task.required else f"default {short_repr(task.default)}"
    if task.max_retries:
        yield f"{task.max_retries} {'retry' if task.max_retries == 1 else 'retries'}"
    if task.timeout_seconds:
        yield f"timeout {duration(task.timeout_seconds)}"
    if task.isolation:
        yield f"isolation {task.isolation}"
    if task.trigger is not all_successful:
        yield f"trigger {getattr(task.trigger, '__name__', type(task.trigger).__name__)}"
    if not task.skip_on_upstream_skip:
        yield "not skipped with what is above"
    if isinstance(task.cache_for, timedelta):
        yield f"cached for {task.cache_for}"
    if task.target:
        yield f"target {short_repr(task.target)}"
    for name in ("max_in_flight", "batch"):
        if getattr(task, name):
            yield f"{name} {getattr(task, name)}"


# ---- a flow


def flow_html(flow: Any) -> str:
    """A flow: its parameters, what decides its state, and a table of its tasks in running order."""
    try:
        graph: FlowGraph = flow.describe()
    except Exception as error:  # such as a cycle: it is being written, and says so when it is run
        return markup.card(
            markup.head("Flow", flow.name, f"{len(flow.tasks):,} tasks"),
            f"<p>It cannot run: {text(str(error))}</p>",
        )
    mapped = sum(graph.is_mapped)
    decides = [node.label.slug for node in graph.nodes if node.is_reference]
    return markup.card(
        markup.head(
            "Flow",
            flow.name,
            f"{len(graph):,} {'task' if len(graph) == 1 else 'tasks'}",
            f"{mapped:,} mapped" if mapped else "",
            f"{len(graph.edges):,} {'edge' if len(graph.edges) == 1 else 'edges'}",
        ),
        markup.facts(
            [
                ("parameters", ", ".join(_parameters(graph))),
                ("decides its state", _listed(decides)),
                ("executor", code(short_repr(flow.executor)) if flow.executor else ""),
                ("schedule", code(short_repr(flow.schedule)) if flow.schedule else ""),
            ]
        ),
        _tasks(graph),
    )


def _parameters(graph: FlowGraph) -> list[str]:
    found = [node for node in graph.nodes if node.parameter is not None]
    shown = []
    for node in found[:MOST_NAMED]:
        parameter: Any = node.task
        default = "" if parameter.required else f" = {short_repr(parameter.default)}"
        shown.append(code(f"{node.parameter}{default}"))
    if len(found) > MOST_NAMED:
        shown.append(f"and {len(found) - MOST_NAMED:,} more")
    return shown


def _listed(names: list[str]) -> str:
    shown = ", ".join(code(name) for name in names[:MOST_NAMED])
    return shown + (f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else "")


def _tasks(graph: FlowGraph) -> str:
    if not graph.nodes:
        return ""
    rows = [
        [
            code(node.label.slug, markup.LONGEST_NAME),
            _inputs(node, edges, is_mapped),
            _settings(node),
        ]
        for node, edges, is_mapped in zip(
            graph.nodes[:MOST_ROWS], graph.edges_to, graph.is_mapped, strict=False
        )
    ]
    table = markup.table(["task", "takes", "settings"], rows)
    return markup.details(
        "Tasks",
        table + markup.more(len(graph) - MOST_ROWS, "tasks"),
        is_open=len(graph) <= MOST_NAMED,
    )


def _inputs(node: Node, edges: tuple[Edge, ...], is_mapped: bool) -> str:
    parts = []
    for edge in edges:
        above = code(edge.upstream_task.slug, markup.LONGEST_NAME)
        how = " each of" if edge.mapped else ""
        how += " flattened" if edge.flattened else ""
        parts.append(f"{code(edge.key)} ={how} {above}" if edge.key else f"after{how} {above}")
    parts += [f"{code(key)} = {_constant(value)}" for key, value in _constants(node).items()]
    shown = ", ".join(parts[:MOST_NAMED])
    return shown + (f" and {len(parts) - MOST_NAMED:,} more" if len(parts) > MOST_NAMED else "")


def _constants(node: Node) -> Mapping[str, Any]:
    return node.constants


def _constant(value: Any) -> str:
    return code(short_repr(value), 40)


def _settings(node: Node) -> str:
    parts = list(settings_of(node.task))
    if node.label.tags:
        parts.append("tags " + ", ".join(sorted(node.label.tags)))
    return text(", ".join(parts), 120)
