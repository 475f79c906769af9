"""What a flow run is at, in lines of text: for a terminal that is drawn again and again, and for a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from prefect_dask.engine.state import STATES, Failed, State
from prefect_dask.progress.counting import Failure, TaskProgress
from prefect_dask.progress.watch import FlowProgress

#: A log tells of each task of a flow with at most so many; of a larger one it tells how many runs are over.
MOST_TOLD = 50

#: So many failures are told one by one each time somebody looks; nobody reads more.
MOST_FAILURES = 20

#: The bar is not longer than this, and goes where less than this is left for it.
LONGEST_BAR, SHORTEST_BAR = 30, 6


class Piece(NamedTuple):
    """A part of a line, and the state whose colour it has; "" for none."""

    text: str
    state: str = ""


Line: TypeAlias = list[Piece]


# ---- for a terminal


def screen(progress: FlowProgress, width: int, *, is_ascii: bool = False) -> list[Line]:
    """The lines that show what a run is at, none longer than `width`: one a task, and one for the whole.

    Args:
        progress: What it is at; all its tasks are shown.
        width: Columns of the terminal.
        is_ascii: Whether the terminal shows nothing else.
    """
    longest = max((len(each.name) for each in progress.tasks), default=0)
    names = max(4, min(longest, width // 3))
    lines = [_task_line(each, progress.at, width, names, is_ascii) for each in progress.tasks]
    hidden = progress.task_count - len(progress.tasks)
    if hidden > 0:
        lines.append([Piece(cut(f"and {hidden:,} more tasks", width))])
    lines.append(_whole_line(progress, width))
    return lines


def _task_line(task: TaskProgress, now: float, width: int, names: int, is_ascii: bool) -> Line:
    line = [Piece(f"{cut(task.name, names):<{names}}")]
    if not task.is_mapped:
        state = next(iter(task.states), "")
        text = state or ("…" if not is_ascii else "...")
        if state == "Running" and task.begun is not None and now - task.begun >= 1:
            text += f" {duration(now - task.begun)}"
        return [*line, Piece(cut(f"  {text}", max(0, width - names)), state)]
    total = "?" if task.width is None else f"{task.width:,}"
    counted = f" {task.done:,}/{total}"
    # Whatever does not fit is left out, the last first.
    told = [Piece(f"  {name} {count:,}", name) for name, count in task.states.items()]
    if task.rate:
        told.append(Piece(f"  {rate_text(task.rate)}"))
    if task.seconds_left is not None:
        told.append(Piece(f"  {duration(task.seconds_left)} left"))
    room = width - names - len(counted) - 2 - SHORTEST_BAR
    while told and sum(len(piece.text) for piece in told) > room:
        # Which states there are is worth less than when it ends, but failures are worth most.
        told.pop(next((i for i, piece in enumerate(told) if piece.state == "Success"), -1))
    left = room + SHORTEST_BAR - sum(len(piece.text) for piece in told)
    length = min(LONGEST_BAR, left)
    if length >= SHORTEST_BAR:
        share = 1.0 if task.width == 0 else task.done / task.width if task.width else 0.0
        line += [Piece("  "), *_bar(task, share, length, is_ascii)]
    return _within([*line, Piece(counted), *told], width)


def _bar(task: TaskProgress, share: float, length: int, is_ascii: bool) -> Line:
    done = int(share * length)
    full, empty = ("#", ".") if is_ascii else ("━", "─")
    kind = next((state for state in task.states if _is_failed(state)), "Failed")
    count = sum(each for state, each in task.states.items() if _is_failed(state))
    # One that failed is to be seen among thousands.
    failed = min(done, max(1, count * done // task.done)) if count and task.done else 0
    bar = [
        Piece(full * (done - failed), "Success"),
        Piece(full * failed, kind),
        Piece(empty * (length - done)),
    ]
    return [piece for piece in bar if piece.text]


def _whole_line(progress: FlowProgress, width: int) -> Line:
    runs = f"{progress.done:,}/{progress.known:,} task runs"
    failed = sum(count for state, count in progress.states.items() if _is_failed(state))
    line = [
        Piece(f"{progress.flow_name}  "),
        Piece(progress.state, progress.state),
        Piece(f"  {runs}"),
    ]
    if failed:
        line.append(Piece(f"  {failed:,} failed", "Failed"))
    return _within([*line, Piece(f"  {duration(progress.seconds)}")], width)


def _within(line: Line, width: int) -> Line:
    """The line, cut where it is too long."""
    kept: Line = []
    for piece in line:
        text = cut(piece.text, width)
        width -= len(text)
        kept.append(piece._replace(text=text))
        if width <= 0:
            break
    return kept


# ---- for a log, a pipe, a file


class Report:
    """Tells in plain lines what has come further since it was last asked: not each step, but each tenth."""

    def __init__(self) -> None:
        self._run_id = ""
        self._tenths: dict[int, int] = {}

    def lines(self, progress: FlowProgress) -> list[str]:
        """What there is to tell now."""
        if progress.run_id != self._run_id:
            self._run_id = progress.run_id
            self._tenths.clear()
        told = failure_lines(progress.failures)
        if progress.task_count <= MOST_TOLD:
            for task in progress.tasks:
                if self._has_come_further(task.index, task.done, task.width):
                    told.append(_told(task))
        elif self._has_come_further(-1, progress.done, progress.known):
            told.append(
                f"{progress.done:,}/{progress.known:,} task runs: {in_words(progress.states)}"
            )
        return told

    def _has_come_further(self, index: int, done: int, width: int | None) -> bool:
        if width is None or (width and not done):
            return False
        tenth = 10 if not width else 10 * done // width
        before = self._tenths.get(index, 0)
        self._tenths[index] = tenth
        return tenth > before


def _told(task: TaskProgress) -> str:
    if not task.is_mapped:
        return f"{task.name}: {in_words(task.states, is_one=True)}"
    line = f"{task.name}: {task.done:,}/{task.width:,}"
    if task.states:
        line += f", {in_words(task.states)}"
    if task.rate:
        line += f", {rate_text(task.rate)}"
    if task.seconds_left:
        line += f", {duration(task.seconds_left)} left"
    return line


def failure_lines(failures: Sequence[Failure]) -> list[str]:
    """A line for each failure, and one for those that are too many.

    >>> failure_lines([Failure("load[3]", "TimedOut", "after 2 s")])
    ['load[3] TimedOut: after 2 s']
    """
    lines = [
        f"{each.task_run} {each.state}" + (f": {_first_line(each.message)}" if each.message else "")
        for each in failures[:MOST_FAILURES]
    ]
    more = len(failures) - MOST_FAILURES
    return [*lines, f"and {more:,} more failed"] if more > 0 else lines


# ---- in words


def in_words(states: Mapping[str, int], *, is_one: bool = False) -> str:
    """How many are at which state.

    >>> in_words({"Success": 1200, "Failed": 3})
    'Success 1,200, Failed 3'
    """
    if is_one:
        return ", ".join(states)
    return ", ".join(f"{state} {count:,}" for state, count in states.items())


def duration(seconds: float) -> str:
    """A length of time, short.

    >>> duration(0.25), duration(59), duration(61), duration(7260)
    ('0.2 s', '59 s', '1:01 min', '2:01 h')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600:,}:{whole % 3600 // 60:02} h"


def rate_text(rate: float) -> str:
    """How many a second, or a minute.

    >>> rate_text(1234.5), rate_text(2.5), rate_text(0.1)
    ('1,234/s', '2.5/s', '6.0/min')
    """
    if rate < 0.5:
        return f"{60 * rate:.1f}/min"
    return f"{rate:.1f}/s" if rate < 10 else f"{rate:,.0f}/s"


def cut(text: str, width: int) -> str:
    """The text, its end left out where it is longer than `width`.

    >>> cut("a long name", 6)
    'a lon…'
    """
    if len(text) <= width:
        return text
    return text[: width - 1] + "…" if width > 0 else ""


def _first_line(text: str) -> str:
    return cut(text.strip().partition("\n")[0], 500)


def _is_failed(state: str) -> bool:
    return issubclass(STATES.get(state, State), Failed)
