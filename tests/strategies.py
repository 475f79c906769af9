"""Random things of this project, for Hypothesis."""

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

TRIGGERS = (
    "all_successful",
    "all_failed",
    "any_successful",
    "any_failed",
    "all_finished",
    "not_all_skipped",
    "some_failed",
    "some_successful",
)

#: How bodies end, and how often. Most go well, else little would be left to run in a large flow; and what lies
#: below a retry is handed over again at each attempt, which costs time on a cluster.
ENDS = {"return": 40, "fail": 3, "FAIL": 2, "SKIP": 4, "retry": 1, "retry in vain": 1, "LOOP": 2}


@dataclass(frozen=True)
class Result:
    """Stands in an input for the result of a step; at first counted back from the step that takes it."""

    of: int


@dataclass(frozen=True)
class Step:
    """A task of a random flow.

    Attributes:
        does: How its body ends.
        takes: Its input: a constant, a `Result`, or a collection of these at any depth.
        waits_for: Further steps that it waits for, without their results.
        trigger: Name of its trigger.
        skips: Its `skip_on_upstream_skip`.
    """

    does: str
    takes: Any
    waits_for: tuple[int, ...]
    trigger: str
    skips: bool


_constants = st.sampled_from([0, 1, None, "text"])
_results = st.integers(1, 30).map(Result)
_leaves = _results | _results | _constants
_several = st.lists(_leaves, max_size=3)
_nested = st.one_of(
    _several,
    _several.map(tuple),
    st.lists(_results, max_size=3).map(frozenset),
    st.dictionaries(st.sampled_from("abc"), _leaves, max_size=3),
    st.tuples(_several, _leaves),
    st.fixed_dictionaries(
        {"inner": st.tuples(_several.map(tuple), st.lists(_several, max_size=2))}
    ),
)
_steps = st.builds(
    Step,
    does=st.sampled_from([kind for kind, weight in ENDS.items() for _ in range(weight)]),
    takes=st.one_of(_results, _nested, _constants),
    waits_for=st.lists(st.integers(1, 30), max_size=2).map(tuple),
    trigger=st.sampled_from(["all_successful"] * 6 + ["all_finished"] * 4 + [*TRIGGERS]),
    skips=st.booleans(),
)


def flows(max_size: int = 150) -> st.SearchStrategy[list[Step]]:
    """Flows as lists of steps, each of which takes results of steps before it only."""
    sizes = st.integers(0, max_size)
    return sizes.flatmap(lambda n: st.lists(_steps, min_size=n, max_size=n)).map(_resolved)


def _resolved(steps: list[Step]) -> list[Step]:
    return [
        replace(
            step,
            takes=_absolute(step.takes, number),
            waits_for=tuple(sorted({number - back for back in step.waits_for if back <= number})),
        )
        for number, step in enumerate(steps)
    ]


def _absolute(value: Any, number: int) -> Any:
    """The input of step `number` with steps named by number; what is before the first one becomes a constant."""
    if isinstance(value, Result):
        return Result(number - value.of) if value.of <= number else -value.of
    if isinstance(value, (list, tuple, frozenset)):
        return type(value)(_absolute(item, number) for item in value)
    if isinstance(value, dict):
        return {key: _absolute(item, number) for key, item in value.items()}
    return value
