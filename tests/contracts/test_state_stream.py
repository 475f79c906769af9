"""States and log lines come home while a run goes on: complete, in order, and at nobody's cost."""

import logging
import threading
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from distributed import Client, LocalCluster

from prefect_dask import Flow, context, task
from prefect_dask.engine import clock, secrets, signals
from prefect_dask.engine.lawful import is_lawful
from prefect_dask.engine.state import STATES, Pending, Running, State
from prefect_dask.executors import DaskExecutor, LocalDaskExecutor
from tests.contracts.observed import logged_records
from tests.contracts.places import INSIDE
from tests.contracts.small_tasks import add, fail, give, skip, total
from tests.waiting import wait_for_file, wait_until


@task(max_retries=2, retry_delay=0)
def third_time():
    if context.task_run_count < 3:
        raise ValueError("not yet")
    return context.task_run_count


def some_of_everything():
    with Flow("some of everything") as flow:
        sound = [give(i) for i in range(10)]
        below = [add(t) for t in sound]
        total([*below, third_time()])
        add(fail())
        add(skip())
    return flow


def by_task(records):
    moves = defaultdict(list)
    for record in records:
        moves[record.task_slug].append(record)
    return moves


def test_each_change_is_told_in_order_with_worker_and_time(place, executor):
    flow = some_of_everything()
    batches: list[list[Any]] = []
    state = flow.run(executor=executor, on_state=batches.append)

    moves = by_task(record for batch in batches for record in batch)

    assert set(moves) == set(flow.slugs.values())
    for t, slug in flow.slugs.items():
        kinds: list[type[State]] = [Pending, *(STATES[record.state] for record in moves[slug])]
        assert all(is_lawful(old, new) for old, new in pairwise(kinds)), kinds
        assert kinds[-1] is type(state.result[t])
        assert moves[slug][-1].message == state.result[t].message
        assert moves[slug][-1].timestamp == pytest.approx(state.result[t].timestamp.timestamp())
        times = [record.timestamp for record in moves[slug]]
        assert times == sorted(times)
        if place not in ("local", "synchronous"):
            assert all(record.worker for record in moves[slug])
        assert len({record.flow_run_id for record in moves[slug]}) == 1
    retried = moves[flow.slugs[flow.get_tasks(name="third_time")[0]]]
    assert [(r.attempt, r.state) for r in retried] == [
        (1, "Running"),
        (1, "Failed"),
        (1, "Retrying"),
        (2, "Running"),
        (2, "Failed"),
        (2, "Retrying"),
        (3, "Running"),
        (3, "Success"),
    ]


def test_records_come_in_batches(executor):
    with Flow("wide") as flow:
        for i in range(200):
            give(i)
    batches: list[list[Any]] = []
    flow.run(executor=executor, on_state=batches.append)
    assert sum(len(batch) for batch in batches) == 400
    assert len(batches) < 400


def test_states_are_told_while_the_run_goes_on(executor, tmp_path):
    """The second task ends when the listener has heard of the first one's success."""

    @task
    def wait_for_news(after):
        return wait_for_file(tmp_path / "heard", 20)

    with Flow("news") as flow:
        first = give("the news")
        second = wait_for_news(first)

    def listen(records):
        if any(r.task_name == "give" and r.state == "Success" for r in records):
            (tmp_path / "heard").write_text("heard")

    state = flow.run(executor=executor, on_state=listen)
    assert state.result[second].result == "heard"


def say_so(task, old, new):
    return Running("on it") if new.is_running() else None


@pytest.mark.parametrize(
    "settings",
    [{}, {"timeout": 60}, {"state_handlers": [say_so]}],
    ids=["plain", "with a time limit", "with a Running of its own"],
)
def test_running_is_told_while_a_body_runs_once_and_with_its_time(executor, settings, tmp_path):
    """Each turn of the loop ends when the listener has heard that it runs."""

    @task(**settings)
    def wait_to_be_heard():
        turn = context.task_loop_count
        wait_for_file(tmp_path / f"heard {turn}")
        if turn < 3:
            raise signals.LOOP(result=turn)
        return turn

    with Flow("heard") as flow:
        waits = wait_to_be_heard(upstream_tasks=[give("first")])
    heard: list[Any] = []

    def listen(records):
        for record in records:
            if record.task_name == "wait_to_be_heard":
                heard.append(record)
                if record.state == "Running":
                    turn = sum(r.state == "Running" for r in heard)
                    (tmp_path / f"heard {turn}").write_text("heard")

    before = clock.now()
    state = flow.run(executor=executor, on_state=listen)

    assert state.result[waits].result == 3
    assert [r.state for r in heard] == ["Running", "Looped"] * 2 + ["Running", "Success"]
    times = [before, *(r.timestamp for r in heard), clock.now()]
    assert times == sorted(times)


@pytest.fixture
def sesame():
    """A secret that this process knows, for the length of a test."""
    yield {"door": "open sesame"}
    secrets.forget_all()


def test_running_is_told_while_a_body_runs_also_where_secrets_are_known(executor, sesame, tmp_path):
    @task(tags=["heard"])
    def wait_to_be_heard():
        return wait_for_file(tmp_path / "heard")

    with Flow("heard") as flow:
        waits = wait_to_be_heard()

    def listen(records):
        if any(record.state == "Running" for record in records):
            (tmp_path / "heard").write_text("heard")

    state = flow.run(executor=executor, on_state=listen, context={"secrets": sesame})
    assert state.result[waits].result == "heard"


def test_a_listener_that_raises_is_logged_and_dropped(executor):
    calls: list[int] = []

    def listen(records):
        calls.append(len(records))
        raise RuntimeError("the listener broke")

    with logged_records() as lines:
        state = some_of_everything().run(executor=executor, on_state=listen)

    assert state.is_failed()  # by the task that fails, and no other
    assert len(calls) == 1
    told = [line for line in lines if "is not called again in this run" in line.getMessage()]
    assert len(told) == 1 and told[0].levelno == logging.ERROR


def test_a_slow_listener_does_not_slow_the_run(executor, tmp_path):
    """It returns from its first call when the last task has run."""
    records: list[Any] = []

    def listen(batch):
        wait_for_file(tmp_path / "ran", 20)
        records.extend(batch)

    @task
    def leave_a_mark(after):
        (tmp_path / "ran").write_text("ran")

    with Flow("slow listener") as flow:
        leave_a_mark(total([add(give(i)) for i in range(20)]))

    state = flow.run(executor=executor, on_state=listen)
    assert state.is_successful()
    assert len(records) == 2 * len(flow.tasks)


# ---- log lines


@task(log_stdout=True)
def talk(number):
    for line in range(3):
        context.logger.info("line %d of %d", line, number)
    print(f"printed by {number}")


@pytest.mark.parametrize("place", ["processes", "an ambient client"], indirect=True)
def test_every_line_of_a_thousand_tasks_comes_home_in_order(place, executor):
    with Flow("talkative") as flow:
        for number in range(1000):
            talk(number, task_args={"name": f"talk {number}"})

    with logged_records() as lines:
        state = flow.run(executor=executor)

    assert state.is_successful()
    heard = defaultdict(list)
    for line in lines:
        if line.name.startswith("prefect_dask.talk"):
            assert (line.flow_name, line.map_index) == ("talkative", -1)
            heard[line.task_name, line.worker, line.flow_run_id].append(line.getMessage())
    assert len({run for _, _, run in heard}) == 1
    assert len({worker for _, worker, _ in heard if worker}) == 2
    assert {name: said for (name, _, _), said in heard.items()} == {
        f"talk {n}": [f"line {i} of {n}" for i in range(3)] + [f"printed by {n}"]
        for n in range(1000)
    }


@pytest.mark.parametrize("place", INSIDE, indirect=True)
def test_lines_of_tasks_in_this_process_are_tagged_alike(place, executor):
    with Flow("talkative") as flow:
        for number in range(20):
            talk(number, task_args={"name": f"talk {number}"})
    with logged_records() as lines:
        flow.run(executor=executor)
    heard = defaultdict(list)
    for line in lines:
        if line.name.startswith("prefect_dask.talk"):
            assert line.flow_run_id and line.flow_name == "talkative"
            heard[line.task_name].append(line.getMessage())
    assert heard == {
        f"talk {n}": [f"line {i} of {n}" for i in range(3)] + [f"printed by {n}"] for n in range(20)
    }


def test_what_fails_is_logged_with_the_line_of_its_file(executor):
    def broken(value):
        raise ValueError(value)  # here

    @task
    def fail():
        broken("no")

    with Flow("broken") as flow:
        fail()
    with logged_records() as lines:
        flow.run(executor=executor)
    [line] = [line.getMessage() for line in lines if line.name == "prefect_dask.fail"]
    assert line.count(f'File "{__file__}"') == 2
    assert "raise ValueError(value)  # here" in line


# ---- what gets lost on the way, or comes twice


def test_nothing_gets_lost_where_several_workers_are_in_one_process():
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            dashboard_address="127.0.0.1:0",
            silence_logs=False,
        ) as cluster,
        Client(cluster),
    ):
        with Flow("alone") as flow:
            give(1)
        for _ in range(6):  # by turns on one and the other
            records: list[Any] = []
            flow.run(executor=DaskExecutor(), on_state=records.extend)
            assert [record.state for record in records] == ["Running", "Success"]


@pytest.fixture
def tampered_client(cluster):
    """A client of its own, and a function that puts something between it and what it hears from the cluster."""
    from distributed import Client

    from prefect_dask.engine.executors.dask_hub import Hub
    from prefect_dask.engine.executors.dask_watch import topic_of

    with Client(cluster, set_as_default=False) as client, client.as_current():
        hub, topic = Hub.of(client), topic_of(client.id)

        def tamper(between):
            client.unsubscribe_topic(topic)
            client.subscribe_topic(topic, lambda event: between(event, hub._hear))

        yield tamper


def three_layers():
    with Flow("three layers") as flow:
        layer = [give(i) for i in range(12)]
        for _ in range(2):
            layer = [total(layer[i : i + 3]) for i in range(12)]
    return flow


def test_a_lost_batch_of_records_is_repaired_from_the_futures(tampered_client):
    dropped: set[str] = set()

    def drop_first_of_each_worker(event, hear):
        _, message = event
        if message.get("source") in dropped | {None}:
            hear(event)
        else:
            dropped.add(message["source"])

    tampered_client(drop_first_of_each_worker)
    flow = three_layers()
    right = flow.run(executor=LocalDaskExecutor("synchronous"))
    records: list[Any] = []
    with logged_records() as lines:
        # A node each, so that there is a later batch, by which it is seen that there was one before.
        state = flow.run(executor=DaskExecutor(grouping="never"), on_state=records.extend)

    assert dropped
    assert state.is_successful()
    for t in flow.tasks:
        assert state.result[t] == right.result[t]
    moves = by_task(records)
    assert all(moves[slug][-1].state == "Success" for slug in flow.slugs.values())
    assert any("were lost" in line.getMessage() for line in lines)


def test_records_that_come_twice_or_late_change_nothing(tampered_client):
    kept: list[Any] = []

    def repeat(event, hear):
        hear(event)
        kept.append(event)
        for earlier in kept[-3:]:
            hear(earlier)

    tampered_client(repeat)
    flow = three_layers()
    records: list[Any] = []
    state = flow.run(executor=DaskExecutor(), on_state=records.extend)
    assert state.is_successful()
    assert {tuple(r.state for r in moves) for moves in by_task(records).values()} == {
        ("Running", "Success")
    }


def test_two_runs_at_once_hear_each_of_its_own(executor, place):
    if place in ("local", "synchronous"):
        pytest.skip("they have no workers to share")
    heard: list[list[Any]] = [[], []]
    flows = [three_layers(), some_of_everything()]
    with executor.start():
        threads = [
            threading.Thread(
                target=flow.run, kwargs={"executor": executor, "on_state": records.extend}
            )
            for flow, records in zip(flows, heard, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    for flow, records in zip(flows, heard, strict=True):
        assert {record.task_slug for record in records} == set(flow.slugs.values())
        assert len({record.flow_run_id for record in records}) == 1
    assert wait_until(lambda: not any(thread.is_alive() for thread in threads))
