"""A child process asks whether what it runs counts still, from several threads at once."""

from __future__ import annotations

import threading
from functools import partial

from prefect_dask.engine import child_main
from prefect_dask.engine.child import Child, dumps_call
from prefect_dask.engine.executors.processes import ASK, COUNTS, _Right, _take_notice
from prefect_dask.engine.node import HostedRun, host, unhost
from prefect_dask.engine.stream import Report
from prefect_dask.engine.timeouts import BodyStopped

TOKEN = "0123456789"
PASSED = b"passed"

#: Between two questions; many times what an answer takes.
APART_SECONDS = 0.5


def ask_twice() -> bytes:
    """In a child: two threads ask, one some time after the other; each says when it knows."""
    right = _Right(TOKEN)
    host(TOKEN, HostedRun([], Report(lambda _: None)))
    child_main.listen(partial(_take_notice, right))
    ended = []

    def ask() -> None:
        try:
            right.check(False)
        except BodyStopped:
            ended.append("stopped")
        else:
            ended.append("passed")
            child_main.send(PASSED)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
        thread.join(APART_SECONDS)
    if not ended:
        child_main.send(b"both wait")
    for thread in threads:
        thread.join(20)
    unhost(TOKEN)
    return " ".join(ended).encode()


def test_an_answer_is_counted_from_its_own_question_whoever_asked_since():
    """The process that answers was stopped when it had made out the first answer: that lasts until it wakes up."""
    questions: list[float] = []
    order: list[str] = []

    def answer(asked: float, seconds: float) -> None:
        child.notify(COUNTS + f"{asked} {seconds}".encode())

    def take(message: bytes) -> None:
        if message == PASSED:
            order.append("passed")
            return
        if message == b"both wait":
            first, second = questions
            answer(first, second - first)  # over, when the second one asked
            return
        questions.append(float(message[len(ASK) :]))
        order.append("asked")
        if len(questions) == 3:  # the first one again
            answer(questions[1], 45.0)

    with Child(name="asks") as child:
        told = child.call(dumps_call(ask_twice), timeout_seconds=30, on_message=take)

    assert told == b"passed passed"
    assert order == ["asked", "asked", "asked", "passed", "passed"]


def test_a_run_that_a_child_hosts_no_more_counts_no_more():
    """A body that outlives its time limit may write after the run: nobody answers then."""

    def ask_late() -> bytes:
        right = _Right(TOKEN)
        try:
            right.check(False)
        except BodyStopped:
            return b"stopped"
        return b"counts"

    with Child(name="late") as child:
        told = child.call(dumps_call(ask_late), timeout_seconds=30, on_message=lambda _: None)
    assert told == b"stopped"
