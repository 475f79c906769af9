"""Log lines: from whoever logs, on whatever worker, to the handlers of the coordinating process.

All goes through Python's `logging`: one logger, `prefect_dask`, and below it one for each flow and
task.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from . import secrets

ROOT = "prefect_dask"

#: What a record of a run has beyond what every log record has, and what other records have there.
RUN_ATTRIBUTES: Mapping[str, object] = {
    "flow_run_id": "",
    "flow_name": "",
    "task_name": "",
    "task_index": -1,
    "map_index": -1,
    "worker": "",
}

#: Longer messages and tracebacks are cut before they travel: they go the way that states go.
LINE_LIMIT_CHARACTERS = 100_000


# ---- loggers


def get_logger(name: str | None = None) -> logging.Logger:
    """The logger of this package, or the one below it that has this name.

    >>> get_logger("load").name
    'prefect_dask.load'
    """
    if not name or name == ROOT:
        full_name = ROOT
    else:
        full_name = name if name.startswith(f"{ROOT}.") else f"{ROOT}.{name}"
    logger = logging.getLogger(full_name)
    # On each logger, because filters see only what is logged on their own one, not below it.
    logger.addFilter(_tagger)
    return logger


class RunAttributes(logging.Filter):
    """Adds to each record whose it is, the attributes in RUN_ATTRIBUTES, and takes secrets out of it.

    Args:
        current: What is known of them in the thread that asks, by name; None outside runs.
    """

    def __init__(self, current: Callable[[], Mapping[str, object] | None]) -> None:
        super().__init__()
        self.current = current

    def filter(self, record: logging.LogRecord) -> bool:
        facts = self.current() or {}
        for name, default in RUN_ATTRIBUTES.items():
            record.__dict__.setdefault(name, facts.get(name, default))
        secrets.mask_record(record)
        return True


_tagger = RunAttributes(lambda: None)


def tag_records(current: Callable[[], Mapping[str, object] | None]) -> None:
    """From now on ask `current` whose the records are that are logged in this process.

    Args:
        current: See `RunAttributes`. Called for each record, in the thread that logs.
    """
    _tagger.current = current


# ---- to the terminal


class StderrHandler(logging.Handler):
    """Writes to what is standard error at that moment, while nobody else listens.

    Else a line would come twice where the user, or his test runner, has set up logging; asked for
    each line, because that may happen after the first run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.level_given = logging.NOTSET
        self.addFilter(_tagger)

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr
        if stream is None or somebody_else_listens():
            return
        try:
            stream.write(self.format(record) + "\n")
            stream.flush()
        except Exception:
            self.handleError(record)


def somebody_else_listens() -> bool:
    """Whether the user has handlers of his own: on our logger, or on the root logger."""
    logger = logging.getLogger(ROOT)
    handlers = logger.handlers + (logging.getLogger().handlers if logger.propagate else [])
    silent = (logging.NullHandler, StderrHandler, RecordForwarder)
    return not all(isinstance(handler, silent) for handler in handlers)


_setting_up = threading.Lock()


def ensure_handler(level: str | int, format: str, datefmt: str | None = None) -> None:
    """See to it that lines are seen: on standard error, unless the user has handlers of his own.

    Called at the beginning of each flow run, never by an import. The logger gets `level` unless the
    user has given it one.

    Args:
        level: Lines below it are dropped; a name or number of `logging`.
        format: A line, in the % style of `logging`; may use the attributes of runs.
        datefmt: The time in a line, as for `time.strftime`; None for the way of `logging`.

    Raises:
        ValueError: `level` or `format` means nothing to `logging`.
    """
    formatter = logging.Formatter(format, datefmt)
    logger = get_logger()
    with _setting_up:
        handler = _our_handler()
        given = handler.level_given if handler is not None else logging.NOTSET
        if logger.level in (logging.NOTSET, given):
            logger.setLevel(level)
            given = logger.level
        if handler is None:
            handler = StderrHandler()
            logger.addHandler(handler)
        handler.level_given = given
        handler.setFormatter(formatter)


def remove_handler() -> None:
    """Take back what `ensure_handler` did."""
    with _setting_up:
        handler = _our_handler()
        if handler is None:
            return
        logger = logging.getLogger(ROOT)
        logger.removeHandler(handler)
        if logger.level == handler.level_given:
            logger.setLevel(logging.NOTSET)


def _our_handler() -> StderrHandler | None:
    for handler in logging.getLogger(ROOT).handlers:
        if isinstance(handler, StderrHandler):
            return handler
    return None


# ---- from workers


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a task logged, as it travels.

    Attributes:
        logger: The logger's full name.
        level: Its level, as a number.
        message: The text, complete.
        created: Seconds since the epoch, on the clock of the machine that ran the task.
        task: The task's place in the flow's topological order.
        map_index: Which child of a mapped task; -1 otherwise.
        exception: The traceback that came with it, as text.
    """

    logger: str
    level: int
    message: str
    created: float
    task: int
    map_index: int
    exception: str | None = None

    def to_list(self) -> list[Any]:
        """The values in order: text, numbers and None."""
        return [
            self.logger,
            self.level,
            self.message,
            self.created,
            self.task,
            self.map_index,
            self.exception,
        ]

    @classmethod
    def from_list(cls, values: Sequence[Any]) -> LogLine:
        """What `to_list` gave, as a line again."""
        return cls(*values)


#: Where the lines of this thread go, and which task and map index it runs.
ForwardTo: TypeAlias = tuple[Callable[[LogLine], None], int, int]


class RecordForwarder(logging.Handler):
    """Sends what is logged inside a task on its way to the coordinating process.

    Args:
        current: Says for the thread that logs where its lines go; None when it runs no task, and
            then the record is left to other handlers.
    """

    def __init__(self, current: Callable[[], ForwardTo | None]) -> None:
        super().__init__()
        self._current = current
        self._forwarding = threading.local()

    def handle(self, record: logging.LogRecord) -> bool:
        # Without the handler's lock: nothing is shared here, and who takes the line has a lock of
        # his own. A thread that logs while it holds that one would wait for us, and we for it.
        passed = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        to = self._current()
        # A line about the sending of a line would be sent about for ever.
        if to is None or getattr(self._forwarding, "now", False):
            return
        send, task, map_index = to
        self._forwarding.now = True
        try:
            send(line_of(record, task, map_index))
        except Exception:
            self.handleError(record)
        finally:
            self._forwarding.now = False


def line_of(record: logging.LogRecord, task: int, map_index: int) -> LogLine:
    """A log record as a line that can travel."""
    secrets.mask_record(record)  # also those of a logger that nobody got from us
    try:
        message = record.getMessage()
    except Exception as error:  # the user's arguments; the line is worth more than its form
        message = f"{record.msg} (its arguments do not fit: {type(error).__name__})"
    told = record.exc_text
    if not told and record.exc_info:
        told = _formatter.formatException(record.exc_info)
    exception = "\n".join(filter(None, (told, record.stack_info)))
    return LogLine(
        record.name,
        record.levelno,
        _portable(message),
        record.created,
        task,
        map_index,
        _portable(exception) if exception else None,
    )


_formatter = logging.Formatter()


def _portable(text: str) -> str:
    """The text, not too long, and such that it can be written as UTF-8."""
    more = len(text) - LINE_LIMIT_CHARACTERS
    if more > 0:
        text = f"{text[:LINE_LIMIT_CHARACTERS]}… ({more} more characters)"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def replay(line: LogLine, *, flow_run_id: str, flow_name: str, task_name: str, worker: str) -> None:
    """Log a line that was logged on a worker, as of its own time.

    The levels and handlers of this process decide what becomes of it.
    """
    logger = (
        get_logger(line.logger) if line.logger.startswith(ROOT) else logging.getLogger(line.logger)
    )
    if not logger.isEnabledFor(line.level):
        return
    record = logger.makeRecord(line.logger, line.level, "", 0, line.message, (), None)
    record.relativeCreated += (line.created - record.created) * 1000
    record.created = line.created
    record.msecs = float(int(line.created % 1 * 1000))
    record.exc_text = line.exception
    # Not those of this process.
    record.process, record.processName = 0, worker
    record.thread, record.threadName = 0, worker
    record.__dict__.update(
        flow_run_id=flow_run_id,
        flow_name=flow_name,
        task_name=task_name,
        task_index=line.task,
        map_index=line.map_index,
        worker=worker,
    )
    logger.handle(record)
