"""All that a run of a case shows: the tree of states, the way of each task to its state, the lines it logged."""

import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.contracts.flow_case import Case
from tests.contracts.state_tree import flow_tree

#: When a body that was given up ends is nobody's promise; test_timeouts.py holds that it is told.
LATE = "ended after its time limit"


@dataclass
class Observed:
    """What came of a case.

    Attributes:
        states: The flow's state as `state_tree` has it.
        moves: By task run, each move: attempt, state, message, and the facts of the state that are no times.
        lines: By task run, the lines that it logged: logger, level, text.
    """

    states: dict[str, Any]
    moves: dict[str, list[Any]]
    lines: dict[str, list[Any]]


def observe(case: Case, executor: Any) -> tuple[Any, Observed]:
    """Run a case; its state, and what was seen of it."""
    records: list[Any] = []
    with logged_records() as logged:
        state = case.flow.run(executor=executor, on_state=records.extend, **case.run)
    moves = defaultdict(list)
    for record in records:
        details = {k: v for k, v in record.details.items() if k != "start_time"}
        move = (record.attempt, record.state, record.message, details)
        moves[run_of(record.task_slug, record.map_index)].append(move)
    lines = defaultdict(list)
    for line in logged:
        # Lines of tasks, and these log INFO and WARNING; an ERROR is about a task, and has a traceback.
        task = getattr(line, "task_name", "")
        if LATE in line.getMessage():
            continue
        if task and line.name != "prefect_dask.FlowRunner" and line.levelno < logging.ERROR:
            run = run_of(task, getattr(line, "map_index", -1))
            lines[run].append((line.name, line.levelname, line.getMessage()))
    return state, Observed(flow_tree(case.flow, state), dict(moves), dict(lines))


def run_of(task: str, map_index: int) -> str:
    """Names a task run: children of a map are told apart, whose moves come in any order."""
    return task if map_index < 0 else f"{task}[{map_index}]"


class Keep(logging.Handler):
    """Appends what is logged to a list."""

    def __init__(self, records: list[Any]) -> None:
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def logged_records() -> Iterator[list[Any]]:
    """The log records that our loggers are given within the block."""
    records: list[Any] = []
    handler = Keep(records)
    logger = logging.getLogger("prefect_dask")
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)
