"""R3: no state is lost or invented: the history of each task run is a lawful path of the state machine."""

from itertools import pairwise

from prefect_dask.engine.lawful import is_lawful
from prefect_dask.engine.state import STATES, Pending, State
from prefect_dask.engine.stream import StateRecord


def test_each_history_is_a_lawful_path_from_pending_to_the_last_state(storm):
    for task, name in storm.names.items():
        history: list[type[State]] = [Pending, *(STATES[state] for state in storm.history(name))]
        for old, new in pairwise(history):
            assert is_lawful(old, new), (name, storm.history(name))
        assert history[-1] is type(storm.state.result[task])


def test_what_a_listener_hears_of_one_attempt_is_in_the_order_of_its_clock(storm):
    """Workers have clocks of their own; one attempt runs on one worker."""
    for name in storm.names.values():
        by_attempt: dict[tuple[int, str], list[StateRecord]] = {}
        for record in storm.records:
            if record.task_name == name and record.worker and record.state != "Pending":
                by_attempt.setdefault((record.attempt, record.worker), []).append(record)
        for records in by_attempt.values():
            assert [r.timestamp for r in records] == sorted(r.timestamp for r in records)
