"""The ledger outside the engine sees what it is there to see."""

from dataclasses import replace

import pytest

from prefect_dask import Flow, task
from prefect_dask.ledger import Ledger
from tests.outside_ledger import (
    check_executions,
    check_extra_executions_have_a_cause,
    check_histories_are_lawful,
    check_nothing_is_left_running,
    check_stored_results_are_final,
    counts_in,
    executions_in,
    histories_in,
)
from tests.outside_ledger import note_execution as note


@task(max_retries=1, retry_delay=0)
def unsteady(path, x):
    if note(path).attempt == 1 and x == 1:
        raise ValueError("the first time")
    return x


@pytest.fixture
def run(tmp_path, place):
    """A run with a child that was tried twice: where it was noted, its id, and what was recorded."""
    with Flow("noted") as flow:
        unsteady.map([tmp_path / "notes"] * 3, [0, 1, 2])
    assert flow.run(ledger=place).is_successful()
    ledger = Ledger(place)
    run_id = ledger.flow_runs()[0].run_id
    slugs = {each.index: each.slug for each in ledger.flow(run_id).tasks}
    return tmp_path / "notes", run_id, histories_in(ledger.states(run_id), slugs)


def test_a_run_whose_executions_have_causes_passes(run, place):
    notes, run_id, _ = run
    slug = "unsteady-1"
    assert counts_in(notes, run_id) == {(slug, 0): 1, (slug, 1): 2, (slug, 2): 1}
    check_executions(notes, Ledger(place), run_id)


def test_an_execution_without_a_cause_is_seen(run):
    notes, run_id, histories = run
    executions = executions_in(notes, run_id)
    with pytest.raises(AssertionError, match="begun 2 times"):
        check_extra_executions_have_a_cause([*executions, executions[0]], histories)


def test_what_is_stored_and_runs_again_is_seen(run):
    _, _, histories = run
    history = histories["unsteady-1", 0]
    again = replace(history[-1], state="Pending", number=99)
    with pytest.raises(AssertionError, match="ran again"):
        check_stored_results_are_final({("x", -1): [*history, again]}, {history[-1].number})


def test_an_unlawful_history_and_one_that_does_not_end_are_seen(run):
    _, _, histories = run
    history = histories["unsteady-1", 0]
    running = replace(history[-1], state="Running", number=99)
    with pytest.raises(AssertionError, match="Success"):
        check_histories_are_lawful({("x", -1): [*history, running]})
    with pytest.raises(AssertionError, match="left Running"):
        check_nothing_is_left_running({("x", -1): [running]})
