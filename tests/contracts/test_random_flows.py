"""Random flows come to the states and results that a few lines without an engine work out for them."""

import os
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings

from prefect_dask import Flow, context, task, triggers
from prefect_dask.engine import signals
from prefect_dask.settings import set_temporary_config
from tests.contracts.places import APART, PLACES, TOGETHER
from tests.contracts.small_tasks import Broken
from tests.strategies import Result, Step, flows

#: How the 300 flows are shared among the executors; those that are slow to start get fewer.
SHARES = {
    "local": 80,
    "threads": 60,
    "synchronous": 40,
    "processes": 30,
    "a Dask address": 20,
    "an ambient client": 20,
    APART: 10,
    TOGETHER: 40,
}

#: Fixed, so that a change passes or fails for its own sake. Another number tries 300 other flows.
SEED = int(os.environ.get("RANDOM_FLOWS_SEED", "0"))

MADE = {
    "some_failed": triggers.some_failed(at_least=2),
    "some_successful": triggers.some_successful(at_least=0.5),
}


# Dask's threads use `random` while Hypothesis draws; no strategy here does.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@pytest.mark.timeout(300)
def test_random_flows_come_to_what_the_oracle_says(place, executor):
    @seed(SEED * len(PLACES) + PLACES.index(place))
    @settings(
        max_examples=SHARES[place],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(flows(max_size=150))
    def hold(steps):
        assert run(steps, executor) == expected(steps)

    # Thousands of tasks fail here on purpose; that need not be told.
    with executor.start(), set_temporary_config({"logging.level": "CRITICAL"}):
        hold()


def test_three_hundred_random_flows_are_tried():
    assert sum(SHARES.values()) == 300 and set(SHARES) == set(PLACES)


# ---- by the engine


@task
def act(number, does, x):
    """The body of every step."""
    if does == "fail":
        raise Broken(number)
    if does in ("FAIL", "SKIP"):
        raise getattr(signals, does)(str(number))
    if does == "retry" and context.task_run_count < 3:
        raise Broken("not yet")
    if does == "retry in vain":
        raise Broken(number)
    if does == "LOOP" and context.task_loop_count < 3:
        raise signals.LOOP(result=context.task_loop_count)
    return digest(number, x)


def digest(number, value):
    """A number for a value: results of results would grow without end."""
    return zlib.crc32(f"{number}: {plain(value)}".encode())


def plain(value):
    """A value as text, the same wherever it was made."""
    if isinstance(value, Broken):
        return f"Broken {value}"
    if isinstance(value, BaseException):
        return type(value).__name__
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(plain, value)))}}}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({', '.join(map(plain, value))})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {plain(item)}' for key, item in value.items())}}}"
    return repr(value)


def build(steps):
    with Flow("random") as flow:
        made: list[Any] = []
        for number, step in enumerate(steps):
            settings = {
                "name": f"step {number}",
                "trigger": MADE.get(step.trigger) or getattr(triggers, step.trigger),
                "skip_on_upstream_skip": step.skips,
            }
            if step.does.startswith("retry"):
                settings |= {"max_retries": 2, "retry_delay": 0}
            upstream = [made[i] for i in step.waits_for]
            x = with_tasks(step.takes, made)
            made.append(act(number, step.does, x, upstream_tasks=upstream, task_args=settings))
    return flow, made


def with_tasks(value, made):
    if isinstance(value, Result):
        return made[value.of]
    if isinstance(value, (list, tuple, frozenset)):
        return type(value)(with_tasks(item, made) for item in value)
    if isinstance(value, dict):
        return {key: with_tasks(item, made) for key, item in value.items()}
    return value


def run(steps, executor):
    flow, made = build(steps)
    state = flow.run(executor=executor)
    states = [state.result[task] for task in made]
    return type(state).__name__, [(type(s).__name__, plain(s.result)) for s in states]


# ---- by hand


class Oracle:
    """The states and results of a flow, worked out step by step."""

    def __init__(self):
        self.done = []  # (state, result) of each step

    def take(self, step: Step):
        number = len(self.done)
        upstream: dict[Any, str] = {}
        x = self.receive(step.takes, step, upstream)
        upstream.update({i: self.done[i][0] for i in step.waits_for})
        state = decide(step.trigger, step.skips, list(upstream.values()))
        if state == "Success":
            state, result = {
                "fail": ("Failed", Broken(number)),
                "FAIL": ("Failed", signals.FAIL()),
                "SKIP": ("Skipped", None),
                "retry in vain": ("Failed", Broken(number)),
            }.get(step.does, ("Success", digest(number, x)))
            self.done.append((state, result))
        else:
            self.done.append((state, signals.TRIGGERFAIL() if state == "TriggerFailed" else None))

    def receive(self, value, step, upstream):
        """What an input becomes; notes the states of the tasks that it comes from."""
        if isinstance(value, Result):
            upstream[value.of], result = self.done[value.of]
            return result
        if not isinstance(value, (list, tuple, frozenset, dict)):
            return value
        items = value.values() if isinstance(value, dict) else value
        inside: dict[Any, str] = {}
        made = [self.receive(item, step, inside) for item in items]
        if inside:  # it is built by a task, which is as tolerant as the step that takes it
            hopes_for_failure = step.trigger in ("all_failed", "any_failed", "some_failed")
            trigger = "all_successful" if hopes_for_failure else step.trigger
            upstream[object()] = state = decide(trigger, step.skips, list(inside.values()))
            if state != "Success":
                return signals.TRIGGERFAIL() if state == "TriggerFailed" else None
        return dict(zip(value, made, strict=True)) if isinstance(value, dict) else type(value)(made)


def decide(trigger, skips, upstream):
    """What becomes of a task, as far as its upstream decides."""
    good = sum(state in ("Success", "Skipped") for state in upstream)
    bad = len(upstream) - good
    if not upstream:
        return "Success"
    if "Skipped" in upstream and (
        skips or (trigger == "not_all_skipped" and set(upstream) == {"Skipped"})
    ):
        return "Skipped"
    runs = {
        "all_successful": not bad,
        "all_failed": not good,
        "any_successful": good,
        "any_failed": bad,
        "all_finished": True,
        "not_all_skipped": not bad,
        "some_failed": bad >= 2,
        "some_successful": good >= len(upstream) / 2,
    }
    return "Success" if runs[trigger] else "TriggerFailed"


def expected(steps):
    oracle = Oracle()
    taken: set[int] = set()
    for step in steps:
        oracle.take(step)
        taken.update(step.waits_for, numbers_in(step.takes))
    ends = [state for i, (state, _) in enumerate(oracle.done) if i not in taken]
    outcome = "Failed" if {"Failed", "TriggerFailed"} & set(ends) else "Success"
    return outcome, [(state, plain(result)) for state, result in oracle.done]


def numbers_in(value):
    if isinstance(value, Result):
        return {value.of}
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple, frozenset)):
        return set()
    return {number for item in value for number in numbers_in(item)}
