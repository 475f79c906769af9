"""A flow as a Dask collection: `dask.compute(flow)`, `dask.persist(flow)`, `flow.dask.visualize()`.

Dask runs the graph on whatever scheduler it is told to; there is no coordinating process, so states do not stream
and a retry waits inside its node. `flow.run()` is the way to run a flow; this is the way into Dask's own tools.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect_dask.engine.context import RunInfo
    from prefect_dask.engine.graph import FlowGraph
    from prefect_dask.engine.state import State


class DaskCollection:
    """What makes a flow a Dask collection; see https://docs.dask.org/en/stable/custom-collections.html."""

    def as_collection(self) -> FlowState:
        """The flow, as it is now, with the defaults of its parameters.

        Raises:
            MissingParameters: A required parameter has no default; it is a ValueError.
        """
        raise AssertionError("a flow says how")

    @property
    def dask(self) -> Any:
        """The Dask graph of the flow: a `HighLevelGraph` with a layer a task."""
        return self.as_collection().dask

    def __dask_graph__(self) -> Any:
        return self.as_collection().__dask_graph__()

    def __dask_keys__(self) -> list[Any]:
        return self.as_collection().__dask_keys__()

    def __dask_layers__(self) -> tuple[str, ...]:
        return self.as_collection().__dask_layers__()

    #: Nothing in a flow's graph may be fused or dropped: each node has a state.
    __dask_optimize__ = None

    def __dask_tokenize__(self) -> Any:
        return self.as_collection().__dask_tokenize__()

    def __dask_postcompute__(self) -> tuple[Callable[..., State], tuple[Any, ...]]:
        return self.as_collection().__dask_postcompute__()

    def __dask_postpersist__(self) -> tuple[Callable[..., FlowState], tuple[Any, ...]]:
        return self.as_collection().__dask_postpersist__()

    @staticmethod
    def __dask_scheduler__(dsk: Any, keys: Any, **kwargs: Any) -> Any:
        return _threaded(dsk, keys, **kwargs)


def _threaded(dsk: Any, keys: Any, **kwargs: Any) -> Any:
    """What Dask runs a flow with where nothing else is configured."""
    from dask.threaded import get

    return get(dsk, keys, **kwargs)


class FlowState:
    """The state of a flow as a Dask collection: what `dask.persist(flow)` gives.

    Args:
        graph: The flow.
        dsk: A Dask graph that holds the state of each of its tasks.
        keys: Their keys, in the order of the flow.
    """

    def __init__(self, graph: FlowGraph, dsk: Any, keys: Sequence[Any]) -> None:
        self.graph, self._dsk, self._keys = graph, dsk, list(keys)

    @classmethod
    def of(cls, graph: FlowGraph, info: RunInfo) -> FlowState:
        """The collection of a flow that is to be run with the given parameters and context."""
        import uuid

        from prefect_dask.engine.compile import compile_collection
        from prefect_dask.engine.node import RunPackage

        return cls(graph, *compile_collection(RunPackage(uuid.uuid4().hex[:12], graph, info)))

    @property
    def dask(self) -> Any:
        """The Dask graph: a `HighLevelGraph` with a layer a task, or a plain one once persisted."""
        return self._dsk

    def __dask_graph__(self) -> Any:
        return self._dsk

    def __dask_keys__(self) -> list[Any]:
        return self._keys

    def __dask_layers__(self) -> tuple[str, ...]:
        return tuple(self._dsk.layers) if hasattr(self._dsk, "layers") else ()

    __dask_optimize__ = None

    def __dask_tokenize__(self) -> Any:
        return self._keys

    def __dask_postcompute__(self) -> tuple[Callable[..., State], tuple[Any, ...]]:
        return _flow_state, (self.graph,)

    def __dask_postpersist__(self) -> tuple[Callable[..., FlowState], tuple[Any, ...]]:
        return _persisted, (self.graph, self._keys)

    @staticmethod
    def __dask_scheduler__(dsk: Any, keys: Any, **kwargs: Any) -> Any:
        return _threaded(dsk, keys, **kwargs)


def _flow_state(states: Sequence[State], graph: FlowGraph) -> State:
    from prefect_dask.engine.outcome import flow_outcome, hidden

    state = flow_outcome(graph, states)
    state.result = {
        node.task: hidden(task_state) if node.label.is_secret else task_state
        for node, task_state in zip(graph.nodes, states, strict=True)
    }
    return state


def _persisted(dsk: Any, graph: FlowGraph, keys: Sequence[Any], **_: Any) -> FlowState:
    return FlowState(graph, dsk, keys)
