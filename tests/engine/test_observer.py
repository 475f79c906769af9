"""An observer sees a whole flow run, in its order, and ends it where it cannot keep what it sees."""

from collections.abc import Sequence

import pytest

from prefect_dask import Flow, task
from prefect_dask.engine.context import RunInfo
from prefect_dask.engine.flow_runner import FlowRunner
from prefect_dask.engine.graph import FlowGraph
from prefect_dask.engine.state import State, Success
from prefect_dask.engine.stream import (
    LOCATION,
    Observer,
    StateChange,
    decode_batch,
    details_of,
    encode_batch,
)
from prefect_dask.executors import LocalExecutor


class Witness(Observer):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def begin(self, info: RunInfo, graph: FlowGraph) -> None:
        self.seen.append(f"begin {graph.name}")

    def take_flow_state(self, state: State) -> None:
        self.seen.append(f"flow {type(state).__name__}")

    def take_changes(self, changes: Sequence[StateChange]) -> None:
        for change in changes:
            self.seen += ["task Running"] * (change.began is not None)
            self.seen.append(f"task {type(change.state).__name__}")

    def end(self) -> None:
        self.seen.append("end")


class Forgetful(Witness):
    """Cannot keep what it is told."""

    def __init__(self, *, until_the_end: bool) -> None:
        super().__init__()
        self.until_the_end = until_the_end

    def check(self) -> None:
        if not self.until_the_end:
            raise OSError("the disk is full")

    def end(self) -> None:
        raise OSError("the disk is full")


def one_task() -> Flow:
    @task
    def one() -> int:
        return 1

    return Flow("small", tasks=[one])


def test_it_sees_all_in_order():
    witness = Witness()

    FlowRunner(one_task().describe(), executor=LocalExecutor(), observer=witness).run()

    assert witness.seen == [
        "begin small",
        "flow Running",
        "task Running",
        "task Success",
        "flow Success",
        "end",
    ]


@pytest.mark.parametrize("until_the_end", [False, True])
def test_a_run_that_cannot_be_kept_is_failed_and_says_so(until_the_end):
    observer = Forgetful(until_the_end=until_the_end)

    state = FlowRunner(one_task().describe(), executor=LocalExecutor(), observer=observer).run()

    assert state.is_failed()
    assert "disk is full" in str(state.message)


def test_small_results_and_places_of_large_ones_travel_with_their_state():
    state = Success(context={LOCATION: "s3://results/1"})
    changes = [
        StateChange((0, -1, 0), 1, state, True, "w", 1.5, b"\x80"),
        StateChange((1, -1, 0), 1, state, True, "w", None, "run/a.pickle"),
    ]
    inline, elsewhere = decode_batch(encode_batch(changes), "w")
    assert details_of(inline.state) == {LOCATION: "s3://results/1"}
    assert (inline.began, inline.stored) == (1.5, b"\x80")
    assert (elsewhere.began, elsewhere.stored) == (None, "run/a.pickle")
