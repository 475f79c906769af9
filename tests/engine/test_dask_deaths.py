"""Through whom workers die: the one that was at work is given up, and not those that lay beside it."""

from prefect_dask.engine.executors.dask_deaths import EXIT_CODE_SECONDS, Deaths, GivenUp

FATAL, SIBLING, OTHER = (0, -1, 1), (1, 3, 1), (1, 4, 1)


def test_what_was_alone_on_each_worker_that_died_is_given_up_after_so_many():
    deaths = Deaths(borne=1)
    assert deaths.blame("a", {FATAL}, (), 0.0) == set()
    assert deaths.blame("b", {FATAL}, (), 0.0) == {FATAL}
    assert deaths.take_given_up(0.0) == []
    deaths.note_exit("b", 3)
    assert deaths.take_given_up(0.0) == [GivenUp(FATAL, "b", 2, 3)]
    assert deaths.take_given_up(0.0) == []


def test_without_an_exit_code_it_is_told_all_the_same_a_little_later():
    deaths = Deaths(borne=0)
    assert deaths.blame("a", {FATAL}, (), 5.0) == {FATAL}
    assert deaths.take_given_up(5.0 + EXIT_CODE_SECONDS) == [GivenUp(FATAL, "a", 1, None)]


def test_of_several_the_one_that_announced_itself_is_blamed():
    deaths = Deaths(borne=1)
    assert deaths.blame("a", {FATAL, SIBLING}, (), 0.0) == set()
    assert deaths.suspects == {FATAL[:2], SIBLING[:2]}
    deaths.note_at_work("b", [SIBLING])
    deaths.note_at_work("b", [FATAL])  # the sibling is over, and the word of that was lost
    assert deaths.blame("b", {FATAL, SIBLING, OTHER}, (), 0.0) == {FATAL}


def test_one_that_lies_again_and_again_beside_others_that_die_is_never_given_up():
    deaths = Deaths(borne=1)
    for worker in "abcdef":
        assert SIBLING not in deaths.blame(worker, {FATAL, SIBLING}, (), 0.0)


def test_one_that_is_known_to_run_is_blamed_for_the_first_death():
    assert Deaths(borne=0).blame("a", {FATAL, SIBLING}, {FATAL}, 0.0) == {FATAL}
