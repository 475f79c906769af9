"""The states of the children of a map, as a person finds them after a run."""

from prefect_dask import Flow, task
from prefect_dask.engine.state import Success


@task
def double(x):
    if x == 3:
        raise ValueError("three")
    return 2 * x


def run_map(executor):
    with Flow("doubles") as flow:
        doubled = double.map(list(range(6)))
    return flow.run(executor=executor).result[doubled]


def test_they_are_a_sequence_of_states_that_stay_the_same(executor):
    children = run_map(executor).map_states
    assert len(children) == 6
    assert children[1] is children[1]
    assert [type(child).__name__ for child in children[2:4]] == ["Success", "Failed"]
    children[1].message = "looked at"
    assert children[1].message == "looked at"


def test_each_has_its_result_time_and_message(executor):
    children = run_map(executor).map_states
    assert [c.result for c in children if isinstance(c, Success)] == [0, 2, 4, 8, 10]
    assert all(abs((c.timestamp - children[0].timestamp).total_seconds()) < 60 for c in children)
    assert {c.message for c in children if c.is_successful()} == {children[0].message}
    assert isinstance(children[3].result, ValueError)
