"""Random flows come to the states and results, by the ways, that a few lines without an engine work out for them.

What these lines leave out (messages, and what becomes of the collections between tasks) is as in this thread.
"""

import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from prefect_dask import Flow, context, flatten, task, triggers, unmapped
from prefect_dask.engine import signals
from prefect_dask.engine.errors import NotMappable
from prefect_dask.executors import LocalExecutor
from prefect_dask.settings import set_temporary_config
from tests.contracts.places import APART, PLACES, TOGETHER
from tests.contracts.small_tasks import Broken
from tests.random_flows import RATHER, Result, Step, random_flow

#: How the 300 flows are shared among the executors; those that are slow to start get fewer.
SHARES = {
    "local": 70,
    "threads": 60,
    "synchronous": 35,
    "processes": 30,
    "a Dask address": 20,
    "an ambient client": 20,
    APART: 25,
    TOGETHER: 40,
}

#: Fixed, so that a change passes or fails for its own sake. Another number tries other flows.
SEED = int(os.environ.get("RANDOM_FLOWS_SEED", "0"))

#: How many times as many are tried: `make random-flows TIMES=20`.
TIMES = int(os.environ.get("RANDOM_FLOWS_TIMES", "1"))

MADE = {
    "some_failed": triggers.some_failed(at_least=2),
    "some_successful": triggers.some_successful(at_least=0.5),
}


@pytest.mark.timeout(300 * TIMES)
def test_random_flows_come_to_what_the_oracle_says(place, executor):
    # Thousands of tasks fail here on purpose; that need not be told.
    with executor.start(), set_temporary_config({"logging.level": "CRITICAL"}):
        for number in range(SHARES[place] * TIMES):
            hold(random_flow(f"{SEED} {place} {number}"), executor)


def hold(steps, executor):
    """See that a flow comes to what it should."""
    told = run(steps, executor)
    outcome, runs = expected(steps)
    assert told.outcome == outcome, steps
    assert told.runs == runs, steps
    if type(executor) is not LocalExecutor:
        assert told.all_moves == run(steps, LocalExecutor()).all_moves, steps


def test_three_hundred_random_flows_are_tried():
    assert sum(SHARES.values()) == 300 and set(SHARES) == set(PLACES)


# ---- by the engine


@task
def act(number, does, x, is_child=False):
    """The body of every step."""
    does = deed(does, number, x, is_child=is_child)
    if does == "fail":
        raise Broken(number)
    if does in ("FAIL", "SKIP"):
        raise getattr(signals, does)(str(number))
    if does in ("retry", "retry list") and context.task_run_count < 2:
        raise Broken("not yet")
    if does == "retry in vain":
        raise Broken(number)
    if does == "LOOP" and context.task_loop_count < 3:
        raise signals.LOOP(result=context.task_loop_count)
    return made_of(does, number, x, is_child=is_child)


def deed(does, number, x, *, is_child):
    """How a body ends."""
    return RATHER.get(does, "return") if is_child and digest(number, x) % 3 else does


def made_of(does, number, x, *, is_child):
    """What a body returns: a number, a list of numbers, a list of lists of numbers."""
    made = digest(number, x)
    if does in ("list", "retry list"):
        return [digest(made, i) for i in range(length(made, is_child=is_child))]
    if does == "lists":
        widths = [length(digest(made, i), is_child=is_child) for i in range(made % 3)]
        return [[digest(i, j) for j in range(width)] for i, width in enumerate(widths)]
    return made


def length(number, *, is_child):
    """Such that maps over the lists of maps do not grow without end."""
    return (0, 1, 1, 2)[number % 4] if is_child else number % 5


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
            if not step.maps:
                made.append(act(number, step.does, x, upstream_tasks=upstream, task_args=settings))
                continue
            made.append(
                act.map(
                    unmapped(number),
                    unmapped(step.does),
                    flatten(x) if step.maps == "flat" else x,
                    unmapped(True),
                    upstream_tasks=[unmapped(each) for each in upstream],
                    task_args={**settings, "batch": step.batch},
                )
            )
    return flow, made


def with_tasks(value, made):
    if isinstance(value, Result):
        return made[value.of]
    if isinstance(value, (list, tuple, frozenset)):
        return type(value)(with_tasks(item, made) for item in value)
    if isinstance(value, dict):
        return {key: with_tasks(item, made) for key, item in value.items()}
    return value


class Told(NamedTuple):
    """What a run told.

    Attributes:
        outcome: The name of the flow's state.
        runs: Of each step, and of each child of a mapped one: its state, its result, its way to that.
        all_moves: By task run, also of what builds collections: each attempt, state and message.
    """

    outcome: str
    runs: list[Any]
    all_moves: Mapping[tuple[str, int], list[tuple[int, str, str | None]]]


def run(steps, executor) -> Told:
    flow, made = build(steps)
    records: list[Any] = []
    state = flow.run(executor=executor, on_state=records.extend)
    moves = defaultdict(list)
    for each in records:
        moves[each.task_slug, each.map_index].append((each.attempt, each.state, each.message))

    def seen(its, slug, map_index=-1):
        way = [(attempt, kind) for attempt, kind, _ in moves[slug, map_index]]
        if not its.is_mapped():
            return type(its).__name__, plain(its.result), way
        return [(seen(child, slug, i)) for i, child in enumerate(its.map_states)], way

    runs = [seen(state.result[each], flow.slugs[each]) for each in made]
    return Told(type(state).__name__, runs, moves)


# ---- by hand

#: How a body ends that does not return: its state, and its result by the number of its step.
ENDED: dict[str, tuple[str, Callable[[int], Any]]] = {
    "fail": ("Failed", Broken),
    "FAIL": ("Failed", lambda _: signals.FAIL()),
    "SKIP": ("Skipped", lambda _: None),
    "retry in vain": ("Failed", Broken),
}


def tried(times):
    """The way of a body that fails at all attempts but the last."""
    failed = ("Running", "Failed", "Retrying")
    return [(n, kind) for n in range(1, times) for kind in failed] + [(times, "Running")]


#: The way of a body through attempts and states, but for the last one; most only run.
WAYS = {
    "retry": tried(2),
    "retry list": tried(2),
    "retry in vain": tried(3),
    "LOOP": [(1, "Running"), (1, "Looped")] * 2 + [(1, "Running")],
}


class Run(NamedTuple):
    """What a task run comes to: its state, its result, and its way there."""

    state: str
    result: Any
    way: list[tuple[int, str]]

    def seen(self):
        return self.state, plain(self.result), self.way

    def states(self) -> Iterator[str]:
        yield self.state


class Runs(NamedTuple):
    """What the children of a map come to."""

    children: list[Run]
    state: str = "Success"

    @property
    def result(self):
        return [child.result for child in self.children]

    def seen(self):
        return [child.seen() for child in self.children], [(1, "Mapped")]

    def states(self) -> Iterator[str]:
        yield from [child.state for child in self.children] or [self.state]


class Oracle:
    """The states and results of a flow, worked out step by step."""

    def __init__(self):
        self.done: list[Run | Runs] = []

    def take(self, step: Step):
        upstream: dict[Any, Run | Runs] = {}
        x = self.receive(step.takes, step, upstream)
        others = [self.done[i] for i in step.waits_for]
        if step.maps:
            (source,) = upstream.values() or [Run("Success", x, [])]
            self.done.append(self.map(step, source, others))
        else:
            # A step may wait for what it takes; it counts once.
            upstream |= zip(step.waits_for, others, strict=True)
            self.done.append(self.act(step, x, upstream.values()))

    def act(self, step: Step, x, upstream):
        number = len(self.done)
        states = [state for each in upstream for state in each.states()]
        decided = decide(step.trigger, step.skips, states)
        if decided != "Success":
            result = signals.TRIGGERFAIL() if decided == "TriggerFailed" else None
            return Run(decided, result, [(1, decided)])
        is_child = bool(step.maps)
        does = deed(step.does, number, x, is_child=is_child)
        way = WAYS.get(does, [(1, "Running")])
        if does in ENDED:
            state, result_of = ENDED[does]
            result = result_of(number)
        else:
            state, result = "Success", made_of(does, number, x, is_child=is_child)
        return Run(state, result, [*way, (way[-1][0], state)])

    def map(self, step: Step, source, others):
        if step.skips and any(each.state == "Skipped" for each in (source, *others)):
            return Run("Skipped", None, [(1, "Skipped")])
        items = items_of(source, step.maps)
        if items is None:
            return Run("Failed", NotMappable("", None, ""), [(1, "Failed")])
        return Runs([self.act(step, item.result, [item, *others]) for item in items])

    def receive(self, value, step, upstream):
        """What an input becomes; notes what the tasks came to that it is made of."""
        if isinstance(value, Result):
            upstream[value.of] = self.done[value.of]
            return self.done[value.of].result
        if not isinstance(value, (list, tuple, frozenset, dict)):
            return value
        items = value.values() if isinstance(value, dict) else value
        inside: dict[Any, Run | Runs] = {}
        made: Any = [self.receive(item, step, inside) for item in items]
        states = [state for each in inside.values() for state in each.states()]
        # It is built by a task, which is as tolerant as the step that takes it.
        hopes_for_failure = step.trigger in ("all_failed", "any_failed", "some_failed")
        trigger = "all_successful" if hopes_for_failure else step.trigger
        state = decide(trigger, step.skips, states)
        if state != "Success":
            made = signals.TRIGGERFAIL() if state == "TriggerFailed" else None
        else:
            try:
                kind = type(value)
                made = dict(zip(value, made, strict=True)) if kind is dict else kind(made)
            except TypeError as error:  # a list in a set
                state, made = "Failed", error
        if inside:
            upstream[object()] = Run(state, made, [])
        return made


def items_of(source, maps):
    """What the children of a map are given, each as if a task run had come to it; None where it is no list."""
    if source.state != "Success":
        return None
    if maps == "each":
        return source.children if isinstance(source, Runs) else as_runs(source.result)
    rows = items_of(source, "each")
    if rows is None:
        return None
    # One that came to no list counts as one item, so that what became of it shows below.
    lists = [as_runs(row.result) if row.state == "Success" else [row] for row in rows]
    return None if None in lists else [item for each in lists for item in each]


def as_runs(value):
    if isinstance(value, (list, tuple, str)):
        return [Run("Success", item, []) for item in value]
    return None


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
    ends = [
        state for i, each in enumerate(oracle.done) if i not in taken for state in each.states()
    ]
    outcome = "Failed" if {"Failed", "TriggerFailed"} & set(ends) else "Success"
    return outcome, [each.seen() for each in oracle.done]


def numbers_in(value):
    if isinstance(value, Result):
        return {value.of}
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple, frozenset)):
        return set()
    return {number for item in value for number in numbers_in(item)}
