"""Upstream states in; run, skip or fail out.

A trigger is called with `{edge: upstream state}` when all of these are finished, and returns True
to let the task run. The ones here raise a signal otherwise, which says why. Skipped counts as
success; Cancelled is neither success nor failure; a mapped upstream counts child by child. Without
upstream tasks each of them is satisfied, but `manual_only`, which asks a person and not the
upstream tasks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .context import context
from .graph import Edge
from .signals import PAUSE, SKIP, TRIGGERFAIL
from .state import (
    Cancelled,
    Crashed,
    Failed,
    Mapped,
    Skipped,
    State,
    Success,
    TimedOut,
    TriggerFailed,
)

UpstreamStates = Mapping[Edge, State]
Trigger = Callable[[UpstreamStates], bool]

#: A chain of causes longer than this is cut in its middle: message size must not grow with the
#: flow.
CHAIN_LENGTH = 8
#: How much of the text of a cause is repeated, characters.
CAUSE_LENGTH = 200


def all_finished(upstream: UpstreamStates) -> bool:
    """Run whatever became of the upstream tasks."""
    return True


always_run = all_finished


def all_successful(upstream: UpstreamStates) -> bool:
    """Run when every upstream task succeeded; the default."""
    bad = [(name, state) for name, state in each_state(upstream) if not state.is_successful()]
    if not bad:
        return True
    more = len(bad) - 1
    others = f" (and {more} more upstream task{'s' if more > 1 else ''})" if more else ""
    raise TRIGGERFAIL(f"{_name(upstream)!r} did not run: {what_became_of(*bad[0])}{others}")


def all_failed(upstream: UpstreamStates) -> bool:
    """Run when every upstream task failed."""
    good = [(name, state) for name, state in each_state(upstream) if not state.is_failed()]
    if not good:
        return True
    raise _refusal("all_failed", "that all upstream tasks fail", upstream, *good[0])


def any_successful(upstream: UpstreamStates) -> bool:
    """Run when an upstream task succeeded."""
    states = list(each_state(upstream))
    if not states or any(state.is_successful() for _, state in states):
        return True
    raise _refusal("any_successful", "a successful upstream task", upstream, *states[0])


def any_failed(upstream: UpstreamStates) -> bool:
    """Run when an upstream task failed."""
    states = list(each_state(upstream))
    if not states or any(state.is_failed() for _, state in states):
        return True
    raise _refusal("any_failed", "a failed upstream task", upstream, *states[0])


def not_all_skipped(upstream: UpstreamStates) -> bool:
    """Run when all upstream tasks succeeded and not all of them were skipped; else skip."""
    states = list(each_state(upstream))
    if states and all(state.is_skipped() for _, state in states):
        raise SKIP(f"{_name(upstream)!r} was skipped: all its upstream tasks were")
    return all_successful(upstream)


def manual_only(upstream: UpstreamStates) -> bool:
    """Pause until somebody lets the task run."""
    if context.get("resume"):
        return True
    raise PAUSE('waits for somebody to let it run: its trigger is "manual_only"')


@dataclass(frozen=True, slots=True)
class _Some:
    """Run when the number of upstream tasks with a certain outcome lies within bounds.

    Args:
        at_least: The least number, n >= 1; below 1 a share of all; no bound when None.
        at_most: The greatest number, likewise.
    """

    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        for name, bound in (("at_least", self.at_least), ("at_most", self.at_most)):
            if bound is not None and not bound >= 0:
                raise ValueError(f"{self._what}: {name} must be 0 or above, got {bound}")

    @property
    def _what(self) -> str:
        raise NotImplementedError

    def _counts(self, state: State) -> bool:
        raise NotImplementedError

    def __call__(self, upstream: UpstreamStates) -> bool:
        states = [state for _, state in each_state(upstream)]
        if not states:
            return True
        count = sum(1 for state in states if self._counts(state))
        least, most = (
            bound * len(states) if bound is not None and 0 < bound < 1 else bound
            for bound in (self.at_least, self.at_most)
        )
        if (least is None or count >= least) and (most is None or count <= most):
            return True
        raise TRIGGERFAIL(
            f"{_name(upstream)!r} did not run: its trigger is {self!r}, and {count} of "
            f"{len(states)} upstream tasks did"
        )

    def __repr__(self) -> str:
        bounds = (("at_least", self.at_least), ("at_most", self.at_most))
        shown = ", ".join(f"{name}={bound:g}" for name, bound in bounds if bound is not None)
        return f"{self._what}({shown})"


class some_failed(_Some):
    """Run when enough, and not too many, upstream tasks failed."""

    __slots__ = ()
    _what = "some_failed"

    def _counts(self, state: State) -> bool:
        return state.is_failed()


class some_successful(_Some):
    """Run when enough, and not too many, upstream tasks succeeded."""

    __slots__ = ()
    _what = "some_successful"

    def _counts(self, state: State) -> bool:
        return state.is_successful()


# ---- upstream states, and what is said of them


def each_state(upstream: UpstreamStates) -> Iterator[tuple[str, State]]:
    """Name and state of each upstream task, once, in order; of a mapped one, of its children."""
    seen: set[Any] = set()
    for edge, state in upstream.items():
        task = edge.upstream_task
        if task in seen:
            continue
        seen.add(task)
        if isinstance(state, Mapped) and state.map_states:
            for index, child in enumerate(state.map_states):
                yield f"{task.name}[{index}]", child
        else:
            yield task.name, state


def what_became_of(name: str, state: State) -> str:
    """A task's outcome in words; for a task that could not run, back to the first cause.

    >>> what_became_of("clean", TriggerFailed("'clean' did not run: 'fetch' failed: no such file"))
    "'clean' <- 'fetch' failed: no such file"
    """
    if isinstance(state, TriggerFailed):
        _, did_not_run, cause = (state.message or "").partition(" did not run: ")
        if did_not_run:
            # How many others there were is said once: each step of a long chain would add its own.
            chain = [repr(name), *_MORE.sub("", cause).split(" <- ")]
            if len(chain) > CHAIN_LENGTH:
                chain[3 : 4 - CHAIN_LENGTH] = ["…"]
            return " <- ".join(chain)
    words = next(words for kind, words in _OUTCOMES if isinstance(state, kind))
    text = state.message if isinstance(state, Failed | Cancelled) and state.message else ""
    first_line = text.partition("\n")[0]
    if len(first_line) > CAUSE_LENGTH:
        first_line = first_line[:CAUSE_LENGTH] + "…"
    return f"{name!r} {words}: {first_line}" if first_line else f"{name!r} {words}"


_MORE = re.compile(r" \(and \d+ more upstream tasks?\)$")

_OUTCOMES: tuple[tuple[type[State], str], ...] = (
    (TriggerFailed, "did not run"),
    (TimedOut, "timed out"),
    (Crashed, "crashed"),
    (Failed, "failed"),
    (Cancelled, "was cancelled"),
    (Skipped, "was skipped"),
    (Success, "succeeded"),
    (State, "has not finished"),
)


def _name(upstream: UpstreamStates) -> str:
    return next(iter(upstream)).downstream_task.name


def _refusal(
    trigger: str, wanted: str, upstream: UpstreamStates, name: str, state: State
) -> TRIGGERFAIL:
    return TRIGGERFAIL(
        f"{_name(upstream)!r} did not run: its trigger {trigger} wants {wanted}, but "
        f"{what_became_of(name, state)}"
    )
