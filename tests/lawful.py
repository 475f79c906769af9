"""Whether what a ledger holds of a run is a lawful history."""

from collections.abc import Iterable

from prefect_dask.engine.lawful import is_lawful
from prefect_dask.engine.state import STATES
from prefect_dask.ledger.facts import RecordedState


def check_lawful(states: Iterable[RecordedState]) -> None:
    """Each task run's history is a lawful path; of the flow's own, only what its runner decided is."""
    before: dict[tuple[int, int], str] = {}
    for state in states:
        task_run = (state.task, state.map_index)
        old = STATES[before.get(task_run, "Pending")]
        assert is_lawful(old, STATES[state.state]), (task_run, old, state)
        before[task_run] = state.state
