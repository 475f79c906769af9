"""R2: a finished task whose result is stored never runs again in that run, whatever dies."""

from tests.outside_ledger import check_stored_results_are_final, histories_in


def test_what_succeeded_with_a_result_that_is_kept_did_not_run_again(storm):
    assert storm.deaths > 0
    for name in storm.kept:
        assert storm.history(name).count("Success") == 1, storm.history(name)
        assert storm.history(name)[-1] == "Success"


def test_the_results_that_are_to_be_kept_are_and_what_is_recorded_of_them_is_final(storm):
    [run] = storm.ledger.flow_runs()
    tasks = {task.index: task.name for task in storm.ledger.flow(run.run_id).tasks}
    stored = storm.ledger.results(run.run_id)
    assert {tasks[result.task] for result in stored} >= storm.kept
    states = storm.ledger.states(run.run_id)
    check_stored_results_are_final(histories_in(states, tasks), {each.number for each in stored})
