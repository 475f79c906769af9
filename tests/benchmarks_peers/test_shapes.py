"""The graphs that every system is given."""

import pytest

from benchmarks.peers.catalogue import ALL
from benchmarks.peers.shapes import GRAPHS, chain, layered, tree, wide, work


@pytest.mark.parametrize(
    ("shape", "tasks"),
    [
        (wide(ALL), 10_001),
        (chain(ALL), 1_000),
        (tree(ALL), 8_191),
        (layered(ALL), 2_000),
        (work(), 65),
    ],
)
def test_a_fast_system_is_given_the_whole_graph(shape, tasks):
    assert len(shape) == tasks


@pytest.mark.parametrize("name", GRAPHS)
def test_a_task_waits_only_for_tasks_before_it(name):
    for index, above in enumerate(GRAPHS[name](200)):
        assert all(0 <= each < index for each in above)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_slow_system_is_given_fewer_tasks_of_the_same_shape(name):
    assert 100 <= len(GRAPHS[name](200)) <= 201


def test_a_tree_ends_in_one_task_for_which_all_others_were_needed():
    needed = [index for above in tree(100) for index in above]
    assert sorted(needed) == list(range(len(tree(100)) - 1))


def test_layers_are_the_same_each_time_and_wait_for_three_tasks_of_the_layer_before():
    assert layered(ALL) == layered(ALL)
    for index, above in enumerate(layered(ALL)[100:], 100):
        assert len(set(above)) == 3
        assert {each // 100 for each in above} == {index // 100 - 1}
