"""One task at its place in a flow: what is the same for all its runs, and found out once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .body import remember_secrets
from .context import RunInfo
from .durable import Storing
from .graph import Edge, Node, View, views_of
from .keeping import Keeper
from .state import State
from .triggers import all_successful
from .widths import Pick, has_result


class PreparedTask:
    """What is the same for all runs of one task of a flow.

    Args:
        node: The task and its constants.
        edges: The edges that point to it.
        run: The facts of the flow run.
        mapped_above: Indices of those of the tasks above that are mapped themselves.
        views: What it looks at of the tasks above, where that is known already.
    """

    __slots__ = (
        "_looks",
        "edges",
        "is_mapped",
        "is_plain",
        "keeper",
        "mapped_above",
        "node",
        "run_info",
        "secret_keys",
        "storing",
        "tags",
        "takes_results",
        "views",
    )

    def __init__(
        self,
        node: Node,
        edges: Sequence[Edge],
        run: RunInfo,
        mapped_above: frozenset[int] = frozenset(),
        views: tuple[View, ...] | None = None,
    ) -> None:
        self.node, self.edges, self.run_info = node, edges, run
        #: What `run` wants to see of the tasks above, in that order.
        self.views = views_of(edges) if views is None else views
        self._looks: tuple[tuple[Edge, int], ...] | None = None
        self.takes_results = self.is_mapped = False
        #: Arguments whose values nobody else may see.
        self.secret_keys: tuple[str, ...] = ()
        if edges:
            self.is_mapped = True in [edge.mapped for edge in edges]
            keyed = [(key, edge) for edge in edges if (key := edge.key) is not None]
            if keyed:
                self.takes_results = True
                self.secret_keys = tuple([key for key, e in keyed if e.upstream_task.is_secret])
        self.mapped_above = mapped_above
        label, task = node.label, node.task
        self.tags = tuple(sorted(label.tags)) if label.tags else ()
        # A secret is kept nowhere, whatever the flow or the configuration say of results.
        self.keeper = None if label.is_secret else Keeper.of(task, run.results)
        #: How results are kept so that the run can be taken up again; None where they are not.
        self.storing: Storing | None = None
        if (policy := run.results.durable) or (policy is False and task.durable):  # mostly neither
            self.storing = Storing.of(node, run.results)
        #: Whether no check of the column but those of the upstream states can do anything at a first attempt.
        self.is_plain = (
            self.keeper is None
            and (self.storing is None or not self.storing.must_store)
            and task.trigger is all_successful
            and not task.state_handlers
            and task.on_failure is None
            and task.timeout_seconds is None
            and task.isolation is None
            and task.task_run_name is None
            and not task.log_stdout
            and not label.is_secret
            and not self.secret_keys
        )

    @property
    def looks(self) -> tuple[tuple[Edge, int], ...]:
        """Each edge, and which of the views it looks through."""
        if self._looks is None:
            if len(self.views) == len(self.edges):
                self._looks = tuple(zip(self.edges, range(len(self.edges)), strict=True))
            else:
                numbers = {view: number for number, view in enumerate(self.views)}
                self._looks = tuple([(edge, numbers[View.of(edge)]) for edge in self.edges])
        return self._looks

    def remember_secrets(self, inputs: Mapping[str, Any] | None = None) -> None:
        """Have this process mask the secrets that a body may see: those of the run's context, and of inputs."""
        remember_secrets(self.run_info, inputs or {}, self.secret_keys)

    def inputs_of(self, upstream: Sequence[State], picks: Sequence[Pick] | None) -> dict[str, Any]:
        """The arguments of the body: constants, and the results of the edges with a key.

        Args:
            upstream: As for `run`.
            picks: As for `run`.
        """
        inputs = dict(self.node.constants)
        if not self.takes_results:
            return inputs
        for edge, number in self.looks:
            if edge.key is not None:
                state = upstream[number]
                pick = picks[number] if picks is not None else None
                if pick is None:
                    inputs[edge.key] = state.result
                elif isinstance(pick, int):
                    inputs[edge.key] = state.result[pick]
                else:
                    inputs[edge.key] = self._flat_item(edge, state, pick)
        return inputs

    def _flat_item(self, edge: Edge, state: State, pick: tuple[int, int]) -> Any:
        outer, inner = pick
        if edge.upstream_task.index in self.mapped_above:
            # The state is that of the child which made the list.
            return state.result[inner] if has_result(state) else state.result
        return state.result[outer][inner]
