"""R7: side effects are at-least-once; `context.idempotency_key` is the same each time, for user code to use."""

import os
from pathlib import Path

import pytest

from prefect_dask import Flow, context, task
from prefect_dask.executors import LocalDaskExecutor, LocalExecutor
from tests.faults.bodies import marks, note, wait_to_be_seen
from tests.faults.watching import Watch, show


@task(max_retries=1, retry_delay=0)
def send(folder: Path, name: str) -> str:
    note(folder, name, context.idempotency_key)
    if len(marks(folder, name)) == 1:
        raise ConnectionError("was it sent or not?")
    return context.idempotency_key


@task
def send_and_die(folder: Path) -> str:
    note(folder, "sent", context.idempotency_key)
    if wait_to_be_seen(folder, "attempt") == 1:
        os._exit(3)
    return context.idempotency_key


@pytest.fixture
def outbox(tmp_path):
    return tmp_path


def keys_of(outbox, name):
    return {mark.read_text() for mark in marks(outbox, name)}


def test_a_retry_has_the_key_of_its_first_attempt_and_another_task_another(outbox):
    with Flow("sending") as flow:
        one = send(outbox, "one")
        two = send(outbox, "two")

    state = flow.run(executor=LocalExecutor())

    assert len(marks(outbox, "one")) == 2
    assert keys_of(outbox, "one") == {state.result[one].result}
    assert keys_of(outbox, "two") == {state.result[two].result}
    assert state.result[one].result != state.result[two].result


def test_another_run_has_other_keys(outbox):
    with Flow("sending") as flow:
        one = send(outbox, "one")

    first, second = flow.run(), flow.run()

    assert first.result[one].result != second.result[one].result


def test_an_attempt_that_was_lost_and_the_next_have_the_same_key(outbox):
    with Flow("sending") as flow:
        sent = send_and_die(outbox)
    watch = Watch("send_and_die", "Running", show(outbox))

    state = flow.run(executor=LocalDaskExecutor("processes", num_workers=1), on_state=watch)

    assert watch.states("send_and_die") == ["Running", "Pending", "Running", "Success"]
    assert len(marks(outbox, "sent")) == 2
    assert keys_of(outbox, "sent") == {state.result[sent].result}


def test_each_child_of_a_mapped_task_has_a_key_of_its_own(outbox):
    with Flow("sending") as flow:
        sent = send.map([outbox] * 3, ["a", "b", "c"])

    keys = flow.run().result[sent].result

    assert len(set(keys)) == 3
