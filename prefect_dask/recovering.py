"""A run goes on in the process that coordinates it, after workers or a cluster died on which results lay.

What is kept of it is read back from the ledger, as by another process that takes the run up again. What that takes
is imported when something has died: every run has one of these.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from prefect_dask.engine.errors import PrefectDaskError
from prefect_dask.engine.failures import text_of
from prefect_dask.engine.graph import FlowGraph
from prefect_dask.engine.logs import get_logger
from prefect_dask.engine.result import ResultRules
from prefect_dask.engine.state import State
from prefect_dask.engine.widths import known_widths

if TYPE_CHECKING:
    from prefect_dask.ledger.recording import Recording
    from prefect_dask.resumption import History, Resumption, TaskRun

#: How long a ledger that is away may take to come back, seconds. The run waits meanwhile: without the ledger what
#: is finished would have to run again.
LEDGER_SECONDS = 60.0


class RecordedRecovery:
    """What is kept of a flow run that is recorded.

    Args:
        recording: Records it.
        graph: The flow.
        rules: Where its results are.
        parameters: The values of its parameters.
    """

    def __init__(
        self,
        recording: Recording,
        graph: FlowGraph,
        rules: ResultRules,
        parameters: Mapping[str, object],
    ) -> None:
        self._recording, self._graph, self._rules = recording, graph, rules
        self._parameters = parameters

    def kept_states(self, task_runs: Collection[TaskRun]) -> dict[TaskRun, State]:
        """See `engine.recovery.Recovery`; nothing is kept where the ledger does not come back."""
        from prefect_dask.resumption import kept_state

        known = self._known_if_there()
        found: dict[TaskRun, State] = {}
        for task_run in task_runs:
            history = known.get(task_run)
            state = None if history is None else kept_state(self._graph, task_run[0], history)
            if state is not None:
                found[task_run] = state
        return found

    def turns(self, task_runs: Collection[TaskRun]) -> dict[TaskRun, dict[str, Any]]:
        """See `engine.recovery.Recovery`; loops begin at their first turn where the ledger does not come back."""
        from prefect_dask.resumption import loop_context

        known = self._known_if_there()
        return {each: loop_context(known[each]) for each in task_runs if each in known}

    def going_on(self, cause: str) -> Resumption:
        """See `engine.recovery.Recovery`.

        Raises:
            LedgerAway: The ledger did not come back.
            Superseded: Another process has taken the run over.
        """
        from prefect_dask.kept_results import noted_finishes
        from prefect_dask.resumption import Causes, resumption, take_finishes

        lost = (
            "its result is lost, and needed again: it was in the memory of a cluster that is gone"
        )
        anew = "what it made is gone with the cluster"
        known = self._known()
        noted = noted_finishes(self._graph, self._rules, self._recording.run_id)
        finished = take_finishes(self._graph, known, noted)
        plan = resumption(
            self._graph,
            known,
            known_widths(self._graph, self._parameters),
            causes=Causes(cause, lost, anew, None),
        )
        return plan._replace(changes=[*finished, *plan.changes])

    def _known_if_there(self) -> dict[TaskRun, History]:
        try:
            return self._known()
        except PrefectDaskError as error:
            get_logger("ledger").warning(
                "what is kept of results cannot be read, and is made again: %s", text_of(error)
            )
            return {}

    def _known(self) -> dict[TaskRun, History]:
        from prefect_dask.kept_results import kept_results
        from prefect_dask.resumption import histories

        states, results = self._recording.read_back(LEDGER_SECONDS)
        return histories(states, kept_results(self._graph, self._rules, results))
