"""A flow as the ledger keeps it: its graph as JSON, and what tells its code from other code."""

from __future__ import annotations

import inspect
import types
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from prefect_dask.engine.durable import pickled
from prefect_dask.engine.failures import text_of
from prefect_dask.engine.fingerprint import CodeOf, NoFingerprint
from prefect_dask.engine.graph import FlowGraph
from prefect_dask.engine.logs import get_logger
from prefect_dask.engine.secrets import is_in, masked, without


class FlowFacts(NamedTuple):
    """A flow: `digest` tells it from every other flow and every other version of it."""

    digest: str
    name: str
    code: str
    graph: str


class _Known(NamedTuple):
    """What was found out about a flow, and of which objects each distinct piece of its code consisted then."""

    facts: FlowFacts
    pieces: list[tuple[Any, list[object]]]

    def holds(self) -> bool:
        """Whether the code consists of the same objects still: in a notebook functions are written anew."""
        return all(
            len(now := list(_objects_of(task))) == len(before)
            and all(a is b for a, b in zip(now, before, strict=True))
            for task, before in self.pieces
        )


_known: weakref.WeakKeyDictionary[FlowGraph, _Known] = weakref.WeakKeyDictionary()


def flow_facts(graph: FlowGraph) -> FlowFacts:
    """What the ledger keeps of a flow.

    Once for each flow as it is: asked again, it only looks whether the names that its code mentions lead to the
    same functions and values. Data that a module holds and changes in place is not seen then.
    """
    known = _known.get(graph)
    if known is None or not known.holds():
        codes, tasks = _codes_of(graph)
        pieces = [(task, list(_objects_of(task))) for task in tasks]
        known = _known[graph] = _Known(_facts(graph, codes), pieces)
    return known.facts


def _objects_of(task: Any) -> Iterator[object]:
    """What a task's code consists of, and what the functions of the same module that it mentions do."""
    function = inspect.unwrap(getattr(task.run, "__func__", task.run))
    yield from task.own_facts().values()
    yield function
    seen = {id(function)}
    stack = [function]
    while stack:
        function = stack.pop()
        if not isinstance(function, types.FunctionType):
            continue
        yield from (function.__code__, function.__defaults__, function.__kwdefaults__)
        mentioned = [cell.cell_contents for cell in function.__closure__ or () if _is_full(cell)]
        mentioned += [function.__globals__.get(name) for name in _names_in(function.__code__)]
        for value in mentioned:
            yield value
            value = getattr(value, "__wrapped__", value)
            if id(value) not in seen and getattr(value, "__globals__", 0) is function.__globals__:
                seen.add(id(value))
                stack.append(value)


def _names_in(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)


def _is_full(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _facts(graph: FlowGraph, codes: list[str]) -> FlowFacts:
    import hashlib
    import json

    distinct = list(dict.fromkeys(codes))
    number_of = {code: number for number, code in enumerate(distinct)}
    labels = [node.label for node in graph.nodes]
    # In columns: a flow may have many tasks, and each run asks whether it is the flow that was there before.
    document = {
        "name": graph.name,
        "names": [label.name for label in labels],
        "slugs": [label.slug for label in labels],
        "code_of": [number_of[code] for code in codes],
        "codes": distinct,
        "tags": {label.index: sorted(label.tags) for label in labels if label.tags},
        "mapped": [index for index, is_mapped in enumerate(graph.is_mapped) if is_mapped],
        "references": [node.label.index for node in graph.nodes if node.is_reference],
        "edges": [
            (e.upstream_task.index, e.downstream_task.index, e.key, e.mapped, e.flattened)
            for e in graph.edges
        ],
    }
    anew = [node.label.index for node in graph.nodes if node.runs_anew]
    if anew:
        document["anew"] = anew
    shown_as = {node.label.index: node.shown_as for node in graph.nodes if node.shown_as != "task"}
    if shown_as:
        document["shown_as"] = shown_as
    text = masked(json.dumps(document, separators=(",", ":")))
    code = hashlib.sha256("\n".join(codes).encode()).hexdigest()[:40]
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]
    return FlowFacts(digest, graph.name, code, text)


def _codes_of(graph: FlowGraph) -> tuple[list[str], list[Any]]:
    """The fingerprint of each task's code, "" where it cannot be told from others; a task for each that there is.

    Tasks that share a function and hold nothing of their own are asked once: flows of 10,000 tasks have few
    functions.
    """
    known: dict[tuple[Any, ...], str] = {}
    codes, tasks = [], []
    for node in graph.nodes:
        function = getattr(node.task.run, "__func__", node.task.run)
        key = (id(function), *_own_of(node.task.own_facts(), function))
        code = known.get(key)
        if code is None:
            code = known[key] = _code_of(node.task)
            tasks.append(node.task)
        codes.append(code)
    return codes, tasks


def _own_of(facts: Mapping[str, Any], function: Any) -> tuple[Any, ...]:
    """What a task holds of its own, as a part of a key; the function of a `@task` is there anyway."""
    own = tuple((name, id(value)) for name, value in facts.items() if value is not function)
    return own


def _code_of(task: Any) -> str:
    try:
        return CodeOf(task).fingerprint
    except (NoFingerprint, TypeError):
        return ""


def as_json(values: Mapping[str, Any]) -> str:
    """Values as JSON text, without secrets; what JSON cannot say is told by its repr, cut short."""
    import json

    return json.dumps(without(dict(values)), default=_told, ensure_ascii=False)


def as_pickle(values: Mapping[str, Any]) -> bytes | None:
    """Values as a pickle; None where they have a secret in them, or cannot be pickled."""
    try:
        data = pickled(dict(values))
    except Exception as error:  # the user's classes
        get_logger("ledger").debug("the parameters are kept as text alone: %s", text_of(error))
        return None
    return None if is_in(data) else data


def _told(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # the user's class
        text = f"<{type(value).__qualname__}>"
    text = masked(text)
    return text if len(text) <= 1_000 else f"{text[:1_000]}…"
