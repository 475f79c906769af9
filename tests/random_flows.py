"""Random flows, each drawn from a seed of its own.

Hypothesis tries most of what it draws several times, with a step or two changed: more than half of 300 flows.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
ENDS = {
    "return": 34,
    "list": 6,
    "lists": 3,
    "fail": 3,
    "FAIL": 2,
    "SKIP": 4,
    "retry": 2,
    "retry list": 2,
    "retry in vain": 1,
    "LOOP": 2,
}

#: The same for a map. Most of its children do otherwise (`RATHER`), and what goes on while one is retried matters.
MAP_ENDS = {**ENDS, "return": 16, "list": 10, "retry": 4, "retry list": 8}

#: What two in three children of a map rather do, where that is not to return.
RATHER = {"list": "list", "retry list": "list", "lists": "lists"}

#: Those that return a list; "lists" one of lists.
GIVE_LISTS = ("list", "retry list", "lists")

#: What a step is mapped over: nothing; the items of its input; those of the lists in it. And how often.
MAPS = {"": 15, "each": 4, "flat": 2}

CONSTANTS = (0, 1, None, "text")

#: How many steps a flow has at most, and a small one. Two in three are small: what a step costs on a cluster is
#: better spent on other shapes.
MAX_SIZE, SMALL_SIZE = 150, 30


@dataclass(frozen=True)
class Result:
    """Stands in an input for the result of a step."""

    of: int


@dataclass(frozen=True)
class Step:
    """A task of a random flow.

    Attributes:
        does: How its body ends.
        takes: Its input: a constant, a `Result` of a step before it, or a collection of these at any depth.
        waits_for: Further steps before it that it waits for, without their results.
        trigger: Name of its trigger.
        skips: Its `skip_on_upstream_skip`.
        maps: What it is mapped over, of `MAPS`.
        batch: Its setting of that name, where it is mapped.
    """

    does: str
    takes: Any
    waits_for: tuple[int, ...]
    trigger: str
    skips: bool
    maps: str
    batch: int | None

    def gives_lists(self, maps: str) -> bool:
        """Whether something can be mapped in such a way over what it comes to."""
        if maps == "each":
            return bool(self.maps) or self.does in GIVE_LISTS
        return self.does in (GIVE_LISTS if self.maps else ("lists",))


def random_flow(seed: str) -> list[Step]:
    """A flow as a list of steps, each of which takes results of steps before it only."""
    draw = random.Random(seed)
    steps: list[Step] = []
    for _ in range(draw.randint(0, draw.choice([SMALL_SIZE, SMALL_SIZE, MAX_SIZE]))):
        steps.append(_step(draw, steps))
    return steps


def _step(draw: random.Random, before: Sequence[Step]) -> Step:
    number = len(before)
    maps, takes = _weighted(draw, MAPS), _input(draw, number)
    if maps and draw.random() < 0.8:
        takes = _list_for(draw, maps, before)
    waits_for = {max(0, number - draw.randint(1, 30)) for _ in range(draw.randint(0, 2)) if number}
    if maps and isinstance(takes, Result):
        # What an item of it comes to, and what all of it comes to, are not to be told apart here.
        waits_for -= {takes.of}
    return Step(
        does=_weighted(draw, MAP_ENDS if maps else ENDS),
        takes=takes,
        waits_for=tuple(sorted(waits_for)),
        trigger=draw.choice(["all_successful"] * 6 + ["all_finished"] * 4 + [*TRIGGERS]),
        skips=draw.random() < 0.5,
        maps=maps,
        batch=draw.choice([None, None, 1, 3, 100]),
    )


def _input(draw: random.Random, number: int) -> Any:
    """What step `number` takes."""

    def result() -> Any:
        back = draw.randint(1, 30)
        return Result(number - back) if back <= number else constant()

    def constant() -> Any:
        return draw.choice(CONSTANTS)

    def leaf() -> Any:
        return draw.choice([result, result, constant])()

    def several() -> list[Any]:
        return [leaf() for _ in range(draw.randint(0, 3))]

    def nested() -> Any:
        return draw.choice(
            [
                several,
                lambda: tuple(several()),
                lambda: frozenset(result() for _ in range(draw.randint(0, 3))),
                lambda: {key: leaf() for key in draw.sample("abc", draw.randint(0, 3))},
                lambda: (several(), leaf()),
                lambda: {
                    "inner": (tuple(several()), [several() for _ in range(draw.randint(0, 2))])
                },
            ]
        )()

    return draw.choice([result, nested, constant])()


def _list_for(draw: random.Random, maps: str, before: Sequence[Step]) -> Any:
    """What a step is mapped over: most of what is before it is no list, and says little of maps."""
    lists = [i for i, other in enumerate(before) if other.gives_lists(maps)]
    if lists and draw.random() < 0.7:
        return Result(draw.choice(lists[-5:]))
    items = [draw.choice(CONSTANTS) for _ in range(draw.randint(1, 3))]
    return [items, items[:1]] if maps == "flat" else items


def _weighted(draw: random.Random, weights: dict[str, int]) -> str:
    return draw.choices(list(weights), list(weights.values()))[0]
