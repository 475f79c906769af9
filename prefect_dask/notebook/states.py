"""A state as HTML; that of a flow with what its tasks came to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect_dask.engine.folded import noteworthy
from prefect_dask.engine.state import Failed, Mapped, State, Success, TriggerFailed
from prefect_dask.notebook import markup
from prefect_dask.notebook.markup import (
    MOST_FAILURES,
    MOST_ROWS,
    code,
    said_beyond,
    short_repr,
    text,
)


@dataclass(slots=True)
class Tally:
    """How many task runs are at which state, and the first failures: (name, state)."""

    states: dict[str, int] = field(default_factory=dict)
    failures: list[tuple[str, State]] = field(default_factory=list)
    failed: int = 0

    def take(self, name: str, state: State, count: int = 1) -> None:
        """Count a task run; with `count` as many plain ones."""
        kind = type(state)
        self.states[kind.__name__] = self.states.get(kind.__name__, 0) + count
        if issubclass(kind, Failed) and kind is not TriggerFailed:
            self.failed += 1
            if len(self.failures) < MOST_FAILURES:
                self.failures.append((name, state))

    def take_children(self, name: str, mapped: Mapped) -> None:
        """Count the children of a map."""
        plain = len(mapped.map_states)
        for place, child in noteworthy(mapped.map_states):
            self.take(f"{name}[{place}]", child)
            plain -= 1
        if plain:
            self.take(name, _PLAIN_SUCCESS, plain)


_PLAIN_SUCCESS = Success()


def state_html(state: State) -> str:
    """A state: its message, when it was, its result where that is at hand; of a flow's what its tasks came to.

    Nothing is fetched for it: a result that lies on a worker or in a store stays there.
    """
    tasks = _tasks_of(state)
    when = state.timestamp.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    parts = [
        f'<p class="pd-head"><strong>{markup.state(type(state).__name__)}</strong>'
        f"<span>{text(said_beyond(state.message))}</span>"
        f'<span class="pd-soft pd-end">{when}</span></p>'
    ]
    if tasks is not None:
        parts += _of_flow(tasks)
    elif isinstance(state, Mapped):
        parts += _of_map(state)
    else:
        parts.append(markup.facts([("result", _result(state))]))
    return markup.card(*parts)


def _tasks_of(state: State) -> Mapping[Any, State] | None:
    """The states of the tasks of a flow's state, by name, as far as they are at hand."""
    if isinstance(state, Mapped) or (state._lazy is not None and not state._lazy.is_at_hand):
        return None
    try:
        result = state.result
    except Exception:  # where it lies may be away
        return None
    if not isinstance(result, Mapping) or not result:
        return None
    for key, value in result.items():
        if not isinstance(value, State) or not (isinstance(key, str) or hasattr(key, "name")):
            return None
    return result


def _of_flow(tasks: Mapping[Any, State]) -> Iterator[str]:
    tally = Tally()
    for task, state in tasks.items():
        name = _name(task)
        if isinstance(state, Mapped):
            tally.take_children(name, state)
        else:
            tally.take(name, state)
    yield f"<p>{markup.counts(tally.states)}</p>"
    yield failures_html(tally)
    rows = [_row(_name(task), state) for task, state in list(tasks.items())[:MOST_ROWS]]
    content = markup.table(["task", "state", "message or result"], rows, styles="..r")
    content += markup.more(len(tasks) - MOST_ROWS, "tasks")
    yield markup.details(f"{len(tasks):,} {'task' if len(tasks) == 1 else 'tasks'}", content)


def _of_map(mapped: Mapped) -> Iterator[str]:
    tally = Tally()
    tally.take_children("", mapped)
    yield f"<p>{markup.counts(tally.states)}</p>"
    yield failures_html(tally)
    count = len(mapped.map_states)
    rows = [_row(f"[{place}]", child) for place, child in enumerate(mapped.map_states[:MOST_ROWS])]
    content = markup.table(["child", "state", "message or result"], rows, styles="..r")
    content += markup.more(count - MOST_ROWS, "children")
    yield markup.details(f"{count:,} {'child' if count == 1 else 'children'}", content)


def failures_html(tally: Tally) -> str:
    """What failed, and why; "" where nothing did."""
    rows = [
        [code(name, markup.LONGEST_NAME), markup.state(type(state).__name__), _message(state)]
        for name, state in tally.failures
    ]
    if not rows:
        return ""
    return markup.table(["failed", "", ""], rows, styles="..r") + markup.more(
        tally.failed - len(rows), "failed"
    )


def _message(state: State) -> str:
    result = None if state._lazy is not None or isinstance(state, TriggerFailed) else state._result
    kind = type(result).__name__ if isinstance(result, BaseException) else ""
    message = state.message or ""
    says_kind = not kind or message.startswith(kind)
    return ("" if says_kind else f"{code(kind)} ") + text(message)


def _row(name: str, state: State) -> list[str]:
    said = ""
    if isinstance(state, Mapped):
        tally = Tally()
        tally.take_children(name, state)
        said = markup.counts(tally.states) or "no children"
    elif isinstance(state, Failed):
        said = _message(state)
    else:
        said = text(said_beyond(state.message))
        if isinstance(state, Success):
            said += (" " if said else "") + _result(state)
    return [code(name, markup.LONGEST_NAME), markup.state(type(state).__name__), said]


def _result(state: State) -> str:
    if state._lazy is not None:
        return '<span class="pd-soft">not fetched</span>'
    if state._result is None:
        return ""
    return code(short_repr(state._result))


def _name(task: Any) -> str:
    return task if isinstance(task, str) else str(getattr(task, "name", task))
