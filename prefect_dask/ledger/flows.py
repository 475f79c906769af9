"""A flow as the ledger keeps it: its graph as JSON, and what tells its code from other code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from prefect_dask.engine.fingerprint import CodeOf, NoFingerprint
from prefect_dask.engine.graph import FlowGraph
from prefect_dask.engine.secrets import masked, without


class FlowFacts(NamedTuple):
    """A flow: `digest` tells it from every other flow and every other version of it."""

    digest: str
    name: str
    code: str
    graph: str


def flow_facts(graph: FlowGraph) -> FlowFacts:
    """What the ledger keeps of a flow."""
    import hashlib
    import json

    codes = _codes_of(graph)
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
    text = masked(json.dumps(document, separators=(",", ":")))
    code = hashlib.sha256("\n".join(codes).encode()).hexdigest()[:40]
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]
    return FlowFacts(digest, graph.name, code, text)


def _codes_of(graph: FlowGraph) -> list[str]:
    """The fingerprint of each task's code; "" where it cannot be told from others.

    Tasks that share a function and hold nothing of their own are asked once: flows of 10,000 tasks have few
    functions.
    """
    known: dict[tuple[Any, ...], str] = {}
    codes = []
    for node in graph.nodes:
        function = getattr(node.task.run, "__func__", node.task.run)
        try:
            key = (id(function), *_own_of(node.task.own_facts(), function))
            if key not in known:
                known[key] = CodeOf(node.task).fingerprint
            codes.append(known[key])
        except (NoFingerprint, TypeError):
            codes.append(_code_of(node.task))
    return codes


def _own_of(facts: Mapping[str, Any], function: Any) -> tuple[Any, ...]:
    """What a task holds of its own, as a part of a key; the function of a `@task` is there anyway."""
    own = tuple((name, id(value)) for name, value in facts.items() if value is not function)
    return own


def _code_of(task: Any) -> str:
    try:
        return CodeOf(task).fingerprint
    except NoFingerprint:
        return ""


def as_json(values: Mapping[str, Any]) -> str:
    """Values as JSON text, without secrets; what JSON cannot say is told by its repr, cut short."""
    import json

    return json.dumps(without(dict(values)), default=_told, ensure_ascii=False)


def _told(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # the user's class
        text = f"<{type(value).__qualname__}>"
    text = masked(text)
    return text if len(text) <= 1_000 else f"{text[:1_000]}…"
