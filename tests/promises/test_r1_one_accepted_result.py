"""R1: an attempt is started at least once; exactly one result is accepted; further executions have a cause."""

from itertools import pairwise

from tests.promises.storm import LAYERS, WIDTH


def test_each_task_ran_and_exactly_one_result_was_accepted(storm):
    assert storm.deaths > 0
    assert len(storm.names) == LAYERS * WIDTH
    for name in storm.names.values():
        assert storm.executions[name] >= 1
        told = [(r.state, r.message or "") for r in storm.records if r.task_name == name]
        assert told[-1][0] == "Success"
        for (state, _), (after, cause) in pairwise(told):
            # One whose result was lost with its worker does not count any more.
            assert state != "Success" or (after == "Pending" and "its result is lost" in cause)


def test_the_accepted_results_are_those_of_a_calm_run(storm):
    """Each layer adds one and three times the layer above."""
    expected = [1]
    for _ in range(LAYERS - 1):
        expected.append(1 + 3 * expected[-1])

    results = storm.state.result
    for task, name in storm.names.items():
        layer = int(name.split("-")[1])
        assert results[task].result == expected[layer]


def test_each_further_execution_has_a_recorded_cause(storm):
    for name in storm.names.values():
        retried = storm.history(name).count("Retrying")
        assert storm.executions[name] - 1 <= retried + len(storm.losses(name)), (
            name,
            storm.history(name),
        )
