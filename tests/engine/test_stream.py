"""Records on their way: batches, their order, and listeners."""

import logging
import math
import threading
from datetime import datetime, timezone

import pytest

from prefect_dask.engine.logs import LogLine
from prefect_dask.engine.state import Failed, Mapped, Retrying, Running, Success
from prefect_dask.engine.stream import (
    FLUSH_RECORDS,
    FLUSH_SECONDS,
    RUNNING_SECONDS,
    Announcer,
    Batcher,
    LineLogged,
    Report,
    StateChange,
    StateRecord,
    decode_batch,
    encode_batch,
)


def change(index: int, state=None, is_over=False) -> StateChange:
    return StateChange((index, -1, 1), 1, state or Running(), is_over, "")


def record(index: int) -> StateRecord:
    return StateRecord("run", "t", "t-1", index, -1, 1, "Running", None, 0.0, "w", {})


def test_records_survive_the_journey_without_their_results():
    start = datetime(2030, 1, 1, tzinfo=timezone.utc)
    states = [
        Running("go"),
        Failed("boom", result=ValueError("boom")),
        Retrying("later", start_time=start, run_count=2),
        Success("done", result=object()),
    ]
    line = LogLine("prefect_dask.t", logging.INFO, "hello", 1.5, 3, -1)
    sent: list[StateChange | LineLogged] = [LineLogged(line, "")]
    sent[:0] = [change(i, state, i == 3) for i, state in enumerate(states)]

    *came, came_line = decode_batch(encode_batch(sent), "tcp://worker:1")

    assert [type(c.state) for c in came] == [type(s) for s in states]
    assert [c.state.message for c in came] == ["go", "boom", "later", "done"]
    assert [c.state.timestamp for c in came] == [s.timestamp for s in states]
    assert [c.node for c in came] == [(i, -1, 1) for i in range(4)]
    assert [c.is_over for c in came] == [False, False, False, True]
    assert {c.worker for c in came} == {"tcp://worker:1"}
    assert all(c.state._result is None for c in came)
    assert (came[2].state.start_time, came[2].state.run_count) == (start, 2)
    assert came_line == LineLogged(line, "tcp://worker:1")


def test_when_it_began_travels_with_what_it_came_to():
    sent = [change(0, Success("done"))._replace(began=1.5), change(1, Mapped())._replace(began=2.5)]

    came = decode_batch(encode_batch([*sent, change(2, Success())]), "w")

    assert [c.began for c in came] == [1.5, 2.5, None]
    assert [type(c.state) for c in came] == [Success, Mapped, Success]


def test_that_a_body_runs_is_told_by_whoever_looks_first():
    told = []
    report = Report(told.append, worker="w")

    report.begin((0, -1, 1), 1, 10.0)
    report.begin((1, -1, 1), 2, 11.0)
    assert report.end((0, -1, 1)) == 10.0, "nobody looked: it goes with what comes next"
    report.look(told.extend)
    assert report.end((1, -1, 1)) is None, "it was told"

    [running] = told
    assert (running.node, running.attempt, running.worker) == ((1, -1, 1), 2, "w")
    assert (type(running.state), running.state._time) == (Running, 11.0)
    assert not running.is_over
    report.look(told.extend)
    assert told == [running], "it is told once"


def test_what_is_at_work_for_a_while_is_told_once_and_what_is_over_before_with_its_end():
    sent, timers = [], []
    batcher = Batcher(lambda n, b, _: sent.append(b), lambda s, f: timers.append((s, f)), math.inf)

    def pass_time():
        due, timers[:] = list(timers), []
        for _, function in due:
            function()

    batcher.begin((0, -1, 1), 1, 10.0)
    batcher.tell(change(0, Success(), is_over=True)._replace(began=batcher.end((0, -1, 1))))
    batcher.begin((1, -1, 1), 1, 11.0)
    assert sorted(seconds for seconds, _ in timers) == [FLUSH_SECONDS, RUNNING_SECONDS]
    pass_time()
    [batch] = sent
    [blink] = decode_batch(batch, "w")
    assert (type(blink.state), blink.began) == (Success, 10.0)

    batcher.begin((2, -1, 1), 1, 12.0)
    pass_time()
    running = decode_batch(sent[1], "w")
    assert [(c.node, type(c.state), c.state._time) for c in running] == [
        ((1, -1, 1), Running, 11.0)
    ]
    assert batcher.end((1, -1, 1)) is None, "that it ran is told"
    assert batcher.end((2, -1, 1)) == 12.0

    pass_time()
    assert not timers, "nobody looks where nothing runs"
    batcher.begin((3, -1, 1), 1, 13.0)
    pass_time()
    batcher.begin((4, -1, 1), 1, 14.0)
    pass_time()
    assert [c.node for c in decode_batch(sent[2], "w")] == [(3, -1, 1)]


def test_a_state_class_of_the_users_travels_as_the_nearest_known_one():
    class Delighted(Success):
        pass

    [came] = decode_batch(encode_batch([change(0, Delighted("!"))]), "w")

    assert type(came.state) is Success


def test_a_mapped_state_travels_without_its_children():
    [came] = decode_batch(encode_batch([change(0, Mapped(map_states=[Success()]))]), "w")

    assert type(came.state) is Mapped
    assert came.state.map_states == []


def test_batches_are_numbered_and_keep_the_order():
    sent, timers = [], []
    batcher = Batcher(lambda n, b, _: sent.append((n, b)), lambda s, f: timers.append(f), math.inf)

    batcher.tell(change(0))
    batcher.tell(change(1))
    assert len(timers) == 1, "one timer serves all that comes before it fires"
    timers.pop()()
    batcher.tell(change(2))
    timers.pop()()
    batcher.flush()

    assert [number for number, _ in sent] == [0, 1]
    assert [c.node[0] for _, batch in sent for c in decode_batch(batch, "")] == [0, 1, 2]


@pytest.mark.parametrize(("apart_seconds", "sizes"), [(0.0, [2, 2]), (math.inf, [])])
def test_after_a_quiet_time_what_is_over_does_not_wait_for_company(apart_seconds, sizes):
    sent = []
    batcher = Batcher(lambda n, b, _: sent.append(b), lambda s, f: None, apart_seconds)

    for i in range(4):
        batcher.tell(change(i))
        if i % 2:
            batcher.leave((i, -1, 1))

    assert [len(decode_batch(batch, "")) for batch in sent] == sizes


def test_a_full_batch_does_not_wait():
    sent = []
    batcher = Batcher(lambda n, b, _: sent.append(b), lambda s, f: None, math.inf)

    for i in range(FLUSH_RECORDS):
        batcher.tell(change(i))

    assert [len(decode_batch(batch, "")) for batch in sent] == [FLUSH_RECORDS]


def test_many_threads_lose_nothing_and_each_keeps_its_order():
    sent = []
    batcher = Batcher(lambda n, b, _: sent.append((n, b)), lambda s, f: None)
    barrier = threading.Barrier(8)

    def report(thread: int) -> None:
        barrier.wait(10)
        for i in range(500):
            batcher.tell(StateChange((thread, i, 1), 1, Running(), False, ""))

    threads = [threading.Thread(target=report, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    batcher.flush()

    assert [number for number, _ in sent] == list(range(len(sent)))
    came = [c.node for _, batch in sent for c in decode_batch(batch, "")]
    for number in range(8):
        assert [node[1] for node in came if node[0] == number] == list(range(500))


def test_a_busy_listener_gets_one_larger_batch_and_holds_nobody_up():
    entered, let_go, batches = threading.Event(), threading.Event(), []

    def listen(records):
        batches.append([r.task_index for r in records])
        entered.set()
        let_go.wait(10)

    announcer = Announcer([listen], logging.getLogger("test"))
    announcer.announce([record(0)])
    assert entered.wait(10)
    for i in range(1, 100):
        announcer.announce([record(i)])
    let_go.set()
    announcer.close()

    assert batches == [[0], list(range(1, 100))]


def test_a_listener_that_raises_is_logged_and_dropped(caplog):
    seen: list[StateRecord] = []
    calls: list[int] = []

    def broken(records):
        calls.append(len(records))
        raise RuntimeError("no")

    announcer = Announcer([broken, seen.extend], logging.getLogger("test"))
    announcer.announce([record(0)])
    announcer.announce([record(1)])
    announcer.close()
    announcer.announce([])

    assert [r.task_index for r in seen] == [0, 1]
    assert len(calls) == 1
    assert "raised and is not called again" in caplog.text


def test_nobody_listening_costs_no_thread():
    before = threading.active_count()
    announcer = Announcer([], logging.getLogger("test"))
    announcer.announce([record(0)])

    assert not announcer.is_wanted
    assert threading.active_count() == before
    announcer.close()
