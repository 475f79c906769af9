"""The cycle collector is held back while somebody holds it, and left as it was found."""

import gc
import threading
import time
import weakref

import pytest
from distributed import Client, LocalCluster

from prefect_dask import Flow, task, triggers
from prefect_dask.engine import collector
from prefect_dask.engine.collector import (
    CollectorHeld,
    CollectorInRun,
    FullCollections,
    MadeToLast,
    SetAside,
    YoungOnly,
)
from prefect_dask.engine.flow_runner import FlowRunner
from prefect_dask.executors import DaskExecutor
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def _collecting_again():
    gc.unfreeze()
    yield
    gc.enable()
    gc.freeze()


def test_it_collects_again_when_the_last_one_lets_go():
    with CollectorHeld():
        with CollectorHeld():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_who_has_switched_it_off_finds_it_off():
    gc.disable()
    with CollectorHeld():
        pass
    assert not gc.isenabled()


def test_an_error_lets_go_too():
    with pytest.raises(ValueError), CollectorHeld():
        raise ValueError
    assert gc.isenabled()


def test_who_is_asked_whether_a_paused_run_may_go_on_finds_it_collecting():
    @task(trigger=triggers.manual_only)
    def approved():
        return 1

    def ask(name, state):
        collecting.append(gc.isenabled())
        return True

    with Flow("asks") as flow:
        result = approved()
    collecting: list[bool] = []
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster),
    ):
        runner = FlowRunner(flow.describe(), executor=DaskExecutor(), ask_to_resume=ask)
        state = runner.run()
        assert state.result[result].result == 1
    assert collecting == [True]


def test_it_may_be_let_go_before_the_end_and_in_another_thread():
    with CollectorHeld() as first, CollectorHeld() as second:
        thread = threading.Thread(target=second.let_go)
        thread.start()
        thread.join(10)
        second.let_go()
        assert not gc.isenabled(), "what was let go twice counts once"
        first.let_go()
        assert gc.isenabled()
    assert gc.isenabled()


def test_on_a_worker_it_is_held_back_behind_many_short_bodies_and_not_behind_a_long_one():
    @task
    def short(i):
        return gc.isenabled()

    @task(batch=100)
    def one_is_long(i):
        until = time.monotonic() + 30
        while i == 99 and not gc.isenabled():
            assert time.monotonic() < until, "it was never let go"
            threading.Event().wait(0.01)

    with Flow("short and long") as flow:
        found = short.map(list(range(100)), task_args={"batch": 100})
        one_is_long.map(list(range(100)))
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster),
    ):
        state = flow.run(executor=DaskExecutor())
        assert state.is_successful()
        assert state.result[found].result == [False] * 100


def are_old(things):
    return set(map(id, things)) <= set(map(id, gc.get_objects(generation=2)))


def test_much_that_is_made_to_last_counts_as_old_at_once(monkeypatch):
    monkeypatch.setattr(collector, "MANY_OBJECTS", 1_000)
    with MadeToLast() as first:
        much = [[] for _ in range(2_000)]
        first.let_go()
        assert are_old(much)
        assert gc.isenabled()
        young = [[]]
    assert not are_old(young), "it had let go"
    with MadeToLast():
        little = [[] for _ in range(10)]
    assert not are_old(little)


def test_what_somebody_set_aside_stays_so_when_something_is_made_to_last(monkeypatch):
    monkeypatch.setattr(collector, "MANY_OBJECTS", 1_000)
    gc.freeze()
    with MadeToLast():
        much = [[] for _ in range(2_000)]
    assert gc.get_freeze_count()
    assert not are_old(much)


def test_what_was_there_is_set_aside_and_what_comes_is_collected():
    class Cycle:
        def __init__(self):
            self.itself = self

    before = weakref.ref(Cycle())
    with SetAside():
        after = weakref.ref(Cycle())
        gc.collect()
        assert before() is not None
        assert after() is None
    gc.collect()
    assert before() is None


def test_what_somebody_else_set_aside_stays_so():
    gc.freeze()
    try:
        with SetAside():
            pass
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()
    with SetAside() as first:
        with SetAside():
            pass
        assert gc.get_freeze_count()
        first.let_go()
        assert not gc.get_freeze_count()


def test_a_flow_of_many_tasks_runs_beside_what_is_set_aside(monkeypatch):
    monkeypatch.setattr(collector, "SET_ASIDE_TASKS", 10)

    @task
    def look():
        return gc.get_freeze_count() > 0

    for count, is_set_aside in ((10, True), (9, False)):
        with Flow("many") as flow:
            looks = [look() for _ in range(count)]
        state = flow.run(ledger="none")
        assert state.result[looks[0]].result is is_set_aside
        assert not gc.get_freeze_count()


def test_what_was_made_since_is_left_alone_too_but_young_garbage_is_not():
    class Cycle:
        def __init__(self):
            self.itself = self

    with SetAside() as aside:
        kept = [[] for _ in range(1_000)]
        garbage = weakref.ref(Cycle())
        aside.again()
        # What is set aside is not among these.
        assert not {id(one) for one in gc.get_objects()}.intersection(map(id, kept))
        assert garbage() is None
    assert gc.get_freeze_count() == 0
    aside.again()
    assert gc.get_freeze_count() == 0, "it is over"


def make_garbage_grow_old():
    """A reference to garbage in a cycle that outlived the young generations: whether it is still there."""

    class Cycle:
        def __init__(self):
            self.itself = self

    cycle = Cycle()
    gc.collect(1)
    gc.collect(1)
    return weakref.ref(cycle)


def fill(rounds):
    """As many objects that last as make a full collection due, were it not kept off."""
    return [[[] for _ in range(gc.get_threshold()[0] + 1)] for _ in range(rounds)]


def test_old_objects_are_not_looked_at_while_somebody_wants_young_ones_only():
    usual = gc.get_threshold()
    try:
        # So that a full one is due at each turn.
        gc.set_threshold(700, 1, 1)
        gc.freeze()
        gc.collect()
        with YoungOnly() as first, YoungOnly() as second:
            garbage = make_garbage_grow_old()
            kept = fill(200)
            assert garbage() is not None
            first.let_go()
            first.let_go()
            kept += fill(200)
            assert garbage() is not None, "the other one has not let go"
            second.let_go()
            kept += fill(200)
            assert garbage() is None
        assert gc.get_threshold() == (700, 1, 1)
        assert kept
    finally:
        gc.unfreeze()
        gc.set_threshold(*usual)


def test_who_asks_for_a_full_collection_gets_it_although_only_young_ones_come():
    with YoungOnly():
        garbage = make_garbage_grow_old()
        assert garbage() is not None
        gc.collect()
        assert garbage() is None


def test_a_threshold_that_somebody_set_meanwhile_stays():
    usual = gc.get_threshold()
    try:
        with YoungOnly():
            gc.set_threshold(500, 5, 5)
        assert gc.get_threshold() == (500, 5, 5)
    finally:
        gc.set_threshold(*usual)


def test_full_collections_are_kept_off_again_when_one_came_in_between():
    usual = gc.get_threshold()
    full = FullCollections()
    assert full.keep_off()
    assert not full.keep_off(), "it has begun"
    full.let_come()
    assert gc.get_threshold() == usual
    assert not full.keep_off(), "none came"
    gc.collect()
    assert full.keep_off()
    assert gc.get_threshold() != usual
    full.let_come()
    assert gc.get_threshold() == usual


def test_while_a_run_on_a_cluster_goes_on_one_comes_now_and_then(monkeypatch):
    usual = gc.get_threshold()
    with CollectorInRun(1, runs_here=False) as held:
        held.look()
        assert gc.get_threshold() != usual
        monkeypatch.setattr(collector, "APART_SECONDS", 0.0)
        held.look()
        assert gc.get_threshold() != usual, "the first ten seconds are not over"
    assert gc.get_threshold() == usual

    with CollectorInRun(1, runs_here=False) as held:
        held.look()
        assert gc.get_threshold() != usual
        held.look()
        assert gc.get_threshold() == usual, "its time is over, and none came"
        gc.collect()
        held.look()
        assert gc.get_threshold() != usual
    assert gc.get_threshold() == usual


def test_on_a_worker_they_come_as_they_like_when_the_run_is_over():
    @task
    def threshold(i):
        return gc.get_threshold()

    with Flow("short") as flow:
        found = threshold.map(list(range(100)), task_args={"batch": 100})
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        (usual,) = client.run(gc.get_threshold).values()
        state = flow.run(executor=DaskExecutor())
        assert set(state.result[found].result) == {(*usual[:2], collector.NEVER)}
        wait_until(lambda: list(client.run(gc.get_threshold).values()) == [usual])


def test_a_run_lets_go_when_its_first_seconds_are_over(monkeypatch):
    monkeypatch.setattr(collector, "HELD_SECONDS", 3_600.0)
    with CollectorInRun(1, runs_here=False) as held:
        held.look()
        assert not gc.isenabled()
        assert 0 < held.seconds_left() <= 3_600
    assert gc.isenabled()

    monkeypatch.setattr(collector, "HELD_SECONDS", -1.0)
    with CollectorInRun(1, runs_here=False) as held:
        assert not gc.isenabled()
        held.look()
        assert gc.isenabled()
        assert held.seconds_left() < 0
