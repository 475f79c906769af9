"""Runs one task of a flow: most runs along a short way, all others as an `Attempt`."""

from __future__ import annotations

from collections.abc import Sequence

from . import clock, failures, secrets
from .attempt import SUCCEEDED, Attempt
from .context import TaskFacts, TaskFrame, context
from .prepared import PreparedTask
from .state import State, Success, state_at
from .stream import NodeId, Report, change_of
from .widths import Pick


class TaskRunner(PreparedTask):
    """Runs one task of a flow, as often as it is asked to."""

    __slots__ = ()

    def run(
        self,
        node_id: NodeId,
        start: State | None,
        as_of: float,
        upstream: Sequence[State],
        report: Report,
        picks: Sequence[Pick] | None = None,
        leaves_process: bool = False,
        worker: str = "",
    ) -> State:
        """Take one run of the task from `start` as far as it can go now.

        Args:
            node_id: Which execution this is.
            start: The state to go on from; None for a first attempt.
            as_of: The moment for which a scheduled start counts as reached, seconds since the epoch.
            upstream: The states of `self.views`, in that order.
            report: Is told each change of state.
            picks: Which item of each of these results it takes, for a child of a map.
            leaves_process: Whether the result must be able to travel to another process.
            worker: Where this runs, for the records.

        Returns:
            The last state that was reported, or `start` where nothing could be done.

        Raises:
            KeyboardInterrupt: Ctrl-C while the body ran in this thread.
        """
        if not self._is_plain_run(node_id, start, upstream):
            attempt = Attempt(
                self, node_id, start, as_of, upstream, picks, report, leaves_process, worker
            )
            return attempt.run()
        # Of the column that is: the inputs, Running, the body, Success; most of all task runs are no more.
        inputs = self.inputs_of(upstream, picks)
        stack = context.stack_here()
        height = len(stack)
        facts: TaskFacts = (self.run_info, self.node, node_id[1])
        stack.append(facts)
        came_to: State | BaseException
        try:
            began = clock.now()
            report.begin(node_id, 1, began)
            try:
                result = self.node.task.run(**inputs)
            except BaseException as error:
                came_to = error
            else:
                came_to = state_at(Success, clock.now(), SUCCEEDED, result, self.tags)
                storing = self.storing
                stored = None if storing is None else storing.small(result)
                if (storing is None or stored is not None) and (
                    not leaves_process or failures.is_plain(result)
                ):
                    untold_since = report.end(node_id)
                    report.tell(
                        change_of((node_id, 1, came_to, True, worker, untold_since, stored))
                    )
                    return came_to
            attempt = Attempt(
                self, node_id, start, as_of, upstream, picks, report, leaves_process, worker
            )
            frame = context.frames_here()[height]
            assert isinstance(frame, TaskFrame)
            return attempt.run_on(frame, inputs, began, came_to)
        finally:
            del stack[height:]

    def _is_plain_run(
        self, node_id: NodeId, start: State | None, upstream: Sequence[State]
    ) -> bool:
        """Whether all that a run can do is to begin and to come to what its body comes to."""
        if not self.is_plain or start is not None or (self.tags and secrets.are_known()):
            return False
        if not upstream:
            return True
        if self.is_mapped and node_id[1] < 0:
            return False
        return list(map(type, upstream)).count(Success) == len(upstream)
