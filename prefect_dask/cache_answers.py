"""What the cache would say to each task of a flow, if it were run now, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from prefect_dask.engine.context import RunInfo, TaskFrame
from prefect_dask.engine.failures import text_of
from prefect_dask.engine.graph import UNKNOWN, FlowGraph, Node
from prefect_dask.engine.keeping import Keeper, Kept
from prefect_dask.engine.logs import get_logger
from prefect_dask.engine.result import Facts

if TYPE_CHECKING:
    from prefect_dask.engine.graph import Edge


@dataclass(frozen=True)
class CacheAnswer:
    """What the cache, or a target, would say to one task.

    Attributes:
        task: The task's name.
        is_hit: Whether an earlier result would be taken; of a mapped task: for each of its children.
        differs: For a miss, what differs from the earlier result that comes closest: `code`, `input 'x'`,
            `parameter 'day'`, `expired`, `validator`; `key` where there is no earlier result, `target` where the
            target does not exist; or a sentence where nothing can be known before the run.
        children: Of a mapped task whose width is known: the answer to each child.
    """

    task: str
    is_hit: bool
    differs: tuple[str, ...] = ()
    children: tuple[CacheAnswer, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        if self.children and not self.is_hit:
            hits = sum(child.is_hit for child in self.children)
            return f"{self.task}: hit for {hits} of {len(self.children)} children"
        return f"{self.task}: {'hit' if self.is_hit else 'miss: ' + ', '.join(self.differs)}"


def answers_of_cache(graph: FlowGraph, info: RunInfo) -> dict[Any, CacheAnswer]:
    """The answer to each task that has `cache_for` or a target, in the order of the flow.

    No body runs. The inputs of a task are known where they are constants, parameters, or earlier results that
    would be taken.
    """
    known: list[Any] = []
    answers: dict[Any, CacheAnswer] = {}
    for node in graph.nodes:
        look = _Look(node, graph.edges_to[node.label.index], known, info)
        known.append(look.value())
        if look.answer is not None:
            answers[node.task] = look.answer
    return answers


class _Look:
    """One task: its value as far as that is known without running it, and the answer to it."""

    def __init__(self, node: Node, edges: Sequence[Edge], known: list[Any], info: RunInfo) -> None:
        self.node, self.edges, self.known, self.info = node, edges, known, info
        keeper = Keeper(node.task, info.results)
        asks = keeper.uses_cache or keeper.target is not None
        self.keeper = keeper if asks else None
        self.answer: CacheAnswer | None = None

    def value(self) -> Any:
        """The task's result, or UNKNOWN."""
        node, name = self.node, self.node.label.name
        if node.parameter is not None:
            return self.info.parameters.get(node.parameter)
        if node.known_result is not UNKNOWN:
            return node.known_result
        unknown = [e.upstream_task.name for e in self.edges if self._of(e) is UNKNOWN]
        if unknown:
            if self.keeper is not None:
                why = f"its inputs are not known before {unknown[0]!r} has run"
                self.answer = CacheAnswer(name, False, (why,))
            return UNKNOWN
        if self.keeper is None:
            return self._gathered()
        if not any(edge.mapped for edge in self.edges):
            self.answer, value = self._ask(self.keeper, -1)
            return value
        return self._value_of_children(self.keeper)

    def _value_of_children(self, keeper: Keeper) -> Any:
        lists = [self._of(edge) for edge in self.edges if edge.mapped]
        try:
            width = min(map(len, lists))
        except TypeError:
            self.answer = CacheAnswer(self.node.label.name, False, ("it is mapped over no list",))
            return UNKNOWN
        each = [self._ask(keeper, child) for child in range(width)]
        children = tuple(answer for answer, _ in each)
        differs = tuple(dict.fromkeys(chain.from_iterable(child.differs for child in children)))
        is_hit = all(child.is_hit for child in children)
        self.answer = CacheAnswer(self.node.label.name, is_hit, differs, children)
        return [value for _, value in each] if is_hit else UNKNOWN

    def _ask(self, keeper: Keeper, child: int) -> tuple[CacheAnswer, Any]:
        frame = TaskFrame(self.info, self.node, child, {})
        inputs = self._inputs(child)
        kept = Kept(
            keeper,
            Facts(inputs, self.info.caller, frame, self.info.parameters),
            inputs,
            self.info.parameters,
            name=frame.full_name,
            is_child=child >= 0,
            logger=get_logger(self.node.label.name),
        )
        try:
            differs, value = kept.explain()
        except Exception as error:  # the store, or a function of the user's
            return CacheAnswer(frame.full_name, False, (text_of(error),)), UNKNOWN
        return CacheAnswer(frame.full_name, not differs, tuple(differs)), (
            UNKNOWN if differs else value
        )

    def _gathered(self) -> Any:
        """What a collection of known values is; other bodies are not run."""
        if getattr(self.node.task, "gathers", False) and not any(e.mapped for e in self.edges):
            return self.node.task.run(**self._inputs(-1))
        return UNKNOWN

    def _inputs(self, child: int) -> Mapping[str, Any]:
        inputs = dict(self.node.constants)
        for edge in self.edges:
            if edge.key is not None:
                value = self._of(edge)
                inputs[edge.key] = value[child] if edge.mapped else value
        return inputs

    def _of(self, edge: Edge) -> Any:
        value = self.known[edge.upstream_task.index]
        if value is UNKNOWN or not edge.flattened:
            return value
        return list(chain.from_iterable(value))
