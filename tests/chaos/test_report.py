"""Where a promise was broken, one is told what to run again, and all that is known."""

import pytest

from tests.chaos.disturbed import Broken, Disturbed
from tests.chaos.drawing import case_of
from tests.chaos.plan import Case, Fault, TaskPlan
from tests.chaos.report import run_case, story_of

#: In this thread, killed once.
SEED = 521


@pytest.mark.timeout(120)
def test_a_failure_prints_its_seed_its_faults_and_the_history(tmp_path):
    case = case_of(SEED)
    (fault,) = case.faults

    def find_broken(disturbed):
        raise Broken("R1: this is meant to be found")

    with pytest.raises(AssertionError, match="Broken: R1: this is meant to be found") as failed:
        run_case(case, limit_seconds=60, folder=tmp_path, check=find_broken)

    head, _, rest = str(failed.value).partition("what happened:")
    happened, _, recorded = rest.partition("recorded:")
    assert f"seed {SEED}, on {case.place}" in head
    assert f"again: python -m tests.chaos --seed {SEED}" in head
    assert all(f"    {line}" in head for line in (*map(str, case.tasks), str(fault)))
    assert f"now: {fault}" in happened
    assert "ended with -9" in happened
    assert f"    0 {case.tasks[0].name}-1[-1] 1 " in happened  # a body, as it told
    assert f"{case.tasks[-1].name}[-1] 1 Success" in recorded
    assert "(flow)[-1] 0 Crashed" in recorded


@pytest.mark.timeout(120)
def test_faults_that_did_not_happen_are_told(tmp_path):
    comes, never = (
        Fault("crash", "coordinator", point="before end", nth=nth) for nth in (1, 1_000)
    )
    too_late = Fault("kill", "coordinator", after=1_000)
    case = Case(None, "this thread", (TaskPlan(0, "total"),), (comes, never, too_late))

    outcome = run_case(case, limit_seconds=60, folder=tmp_path)

    assert outcome.missed == [never, too_late]


def test_a_case_of_no_seed_says_where_it_is_from(tmp_path):
    case = Case(None, "this thread", (TaskPlan(0, "total"),), ())

    told = story_of(Disturbed(case, tmp_path, 1))

    assert "again: the test that made it up" in told
    assert "--seed" not in told
    assert "nothing is recorded" in told
