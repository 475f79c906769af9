"""Through whom workers die: the one that was at work is given up, and not those that lay beside it."""

from prefect_dask.engine.executors.dask_deaths import EXIT_CODE_SECONDS, Deaths, GivenUp
from prefect_dask.engine.group_run import Care

FATAL, SIBLING, OTHER = (0, -1, 1), (1, 3, 1), (1, 4, 1)


def test_what_was_alone_on_each_worker_that_died_is_given_up_after_so_many():
    deaths = Deaths(borne=1)
    assert deaths.blame("a", {FATAL}, (), 1, 0.0) == set()
    deaths.note_at_work("b", [FATAL])
    assert deaths.blame("b", {FATAL}, (), 1, 0.0) == {FATAL}
    assert deaths.take_given_up(0.0) == []
    deaths.note_exit("b", 3)
    assert deaths.take_given_up(0.0) == [GivenUp(FATAL, "b", 2, 3)]
    assert deaths.take_given_up(0.0) == []


def test_without_an_exit_code_it_is_told_all_the_same_a_little_later():
    deaths = Deaths(borne=0)
    assert deaths.blame("a", {FATAL}, (), 1, 5.0) == {FATAL}
    assert deaths.take_given_up(5.0 + EXIT_CODE_SECONDS) == [GivenUp(FATAL, "a", 1, None)]


def test_of_several_the_one_that_announced_itself_is_blamed():
    deaths = Deaths(borne=1)
    assert deaths.blame("a", {FATAL, SIBLING}, (), 1, 0.0) == set()
    assert set(deaths.suspects) == {FATAL[:2], SIBLING[:2]}
    deaths.note_at_work("b", [SIBLING])
    deaths.note_at_work("b", [FATAL])  # the sibling is over, and the word of that was lost
    assert deaths.blame("b", {FATAL, SIBLING, OTHER}, (), 1, 0.0) == {FATAL}


def test_one_that_lies_again_and_again_beside_others_that_die_is_never_given_up():
    deaths = Deaths(borne=1)
    for worker in "abcdef":
        assert SIBLING not in deaths.blame(worker, {FATAL, SIBLING}, (), 1, 0.0)


def test_one_that_is_known_to_run_is_blamed_for_the_first_death():
    assert Deaths(borne=0).blame("a", {FATAL, SIBLING}, {FATAL}, 1, 0.0) == {FATAL}


def test_what_waited_in_a_worker_that_died_is_not_charged_for_that():
    deaths = Deaths(borne=1)
    deaths.blame("a", {FATAL, SIBLING}, {FATAL}, 1, 0.0)
    deaths.blame("b", {SIBLING, OTHER}, {OTHER}, 1, 0.0)
    assert deaths.blame("c", {SIBLING}, {SIBLING}, 1, 0.0) == set()
    assert deaths.blame("d", {SIBLING}, {SIBLING}, 1, 0.0) == {SIBLING}


def test_a_death_of_which_nobody_knows_through_whom_it_was_is_charged_once():
    deaths = Deaths(borne=1)
    deaths.blame("a", {FATAL, SIBLING, OTHER}, (), 1, 0.0)
    deaths.note_at_work("b", [FATAL])
    assert deaths.blame("b", {FATAL, SIBLING}, (), 1, 0.0) == {FATAL}
    deaths.note_at_work("c", [SIBLING])
    assert deaths.blame("c", {SIBLING, OTHER}, (), 1, 0.0) == set(), "that one was through FATAL"


def test_what_runs_beside_what_ends_workers_is_told_apart_from_it():
    deaths = Deaths(borne=1)
    assert deaths.blame("a", {FATAL, SIBLING}, {FATAL, SIBLING}, 2, 0.0) == set()
    assert set(deaths.suspects.values()) == {Care.ONE_BY_ONE}
    deaths.note_at_work("b", [FATAL])
    # Another one that nobody suspects runs beside it, as do the threads of a worker.
    assert deaths.blame("b", {FATAL, SIBLING, OTHER}, {OTHER}, 2, 0.0) == {FATAL}
    assert deaths.suspects[OTHER[:2]] is Care.ANNOUNCED


def test_one_that_is_long_at_work_is_not_charged_for_one_that_ends_its_worker_at_once():
    deaths = Deaths(borne=2)
    assert deaths.blame("a", {SIBLING, FATAL, OTHER}, {SIBLING}, 2, 0.0) == set()
    deaths.note_at_work("b", [FATAL])
    assert deaths.blame("b", {FATAL}, {FATAL}, 2, 0.0) == set()
    deaths.note_at_work("c", [FATAL])
    assert deaths.blame("c", {FATAL}, {FATAL}, 2, 0.0) == {FATAL}
    for worker in "de":
        deaths.note_at_work(worker, [SIBLING])
        assert deaths.blame(worker, {SIBLING}, {SIBLING}, 2, 0.0) == set()
