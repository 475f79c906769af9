"""An order keeps places that agree with its links, and finds every cycle at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_dask.order import Cycle, Order

Link = tuple[int, int]
links = st.integers(2, 12).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=40),
    )
)


def order_of(count: int) -> Order[int]:
    order: Order[int] = Order()
    for thing in range(count):
        order.add(thing)
    return order


def reaches(start: int, end: int, known: set[Link]) -> bool:
    seen, stack = {start}, [start]
    while stack:
        thing = stack.pop()
        if thing == end:
            return True
        new = {b for a, b in known if a == thing} - seen
        seen |= new
        stack += new
    return False


@given(links)
def test_a_link_is_refused_exactly_when_it_closes_a_cycle(case: tuple[int, list[Link]]):
    count, wanted = case
    order, known = order_of(count), set[Link]()
    for first, second in wanted:
        closes = reaches(second, first, known)
        try:
            order.link(first, second)
        except Cycle as cycle:
            assert closes
            things = cycle.things
            around = set(zip(things, things[1:] + things[:1], strict=True))
            assert around <= known | {(first, second)}
            assert (first, second) in around
        else:
            assert not closes
            known.add((first, second))
        assert {(a, b) for a, below in order.below.items() for b in below} == known
        ordered = order.sorted()
        assert all(ordered.index(a) < ordered.index(b) for a, b in known)


@given(links)
def test_unchecked_links_are_checked_later_and_all_together(case: tuple[int, list[Link]]):
    count, wanted = case
    order = order_of(count)
    for first, second in wanted:
        order.link(first, second, check=False)
    try:
        order.check()
    except Cycle as cycle:
        things = cycle.things
        assert set(zip(things, things[1:] + things[:1], strict=True)) <= set(wanted)
    else:
        assert not any(reaches(second, first, set(wanted)) for first, second in wanted)


@given(links)
def test_sorting_keeps_the_order_of_adding_where_links_allow(case: tuple[int, list[Link]]):
    count, wanted = case
    order = order_of(count)
    for first, second in wanted:
        if first < second:
            order.link(first, second)
    assert order.sorted() == list(range(count))


def test_all_below_goes_all_the_way_and_includes_the_start():
    order = order_of(6)
    for first, second in [(0, 1), (1, 2), (0, 3), (4, 5)]:
        order.link(first, second)
    assert order.all_below([1]) == {1, 2}
    assert order.all_below([0, 4]) == {0, 1, 2, 3, 4, 5}
    assert order.all_below([]) == set()


def test_a_copy_goes_its_own_way():
    order = order_of(2)
    copy = order.copy()
    copy.link(0, 1)
    order.link(1, 0)
    with pytest.raises(Cycle):
        copy.link(1, 0)
