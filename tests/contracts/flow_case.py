"""A case of the contract: a flow, how it is run, and the states that it must come to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect_dask import Flow, Task
from prefect_dask.engine.state import State, Success


@dataclass(frozen=True)
class Case:
    """A flow and what must come of it.

    A wanted state is a class; or a state, whose class and result are meant, and whose message, where it has one,
    stands somewhere in the message that there is.

    Attributes:
        flow: The flow.
        states: The wanted state of each task; tasks that are not named are only compared between executors.
        outcome: What the flow must come to.
        run: Arguments of `flow.run`.
    """

    flow: Flow
    states: Mapping[Task, Any]
    outcome: State | type[State] = Success
    run: Mapping[str, Any] = field(default_factory=dict)


#: What builds each case, by its name. Built anew for each run; may take a folder to write to.
CASES: dict[str, Callable[..., Case]] = {}


def flow_case(build: Callable[..., Case], name: str | None = None) -> Callable[..., Case]:
    """Enter a function that builds a case; its name is a sentence."""
    name = name or build.__name__
    assert name not in CASES, f"there are two flow cases {name!r}"
    CASES[name] = build
    return build
