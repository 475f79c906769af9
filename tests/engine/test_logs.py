"""Log lines: who hears them, what they say of their run, and how they come from workers."""

import io
import logging
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from textwrap import dedent

import pytest

from prefect_dask.engine import logs
from prefect_dask.engine.logs import (
    LINE_LIMIT_CHARACTERS,
    LogLine,
    RecordForwarder,
    ensure_handler,
    get_logger,
    line_of,
    remove_handler,
    replay,
    tag_records,
)

OF_A_RUN = {
    "flow_run_id": "f1",
    "flow_name": "etl",
    "task_name": "load",
    "worker": "tcp://w1",
}


@pytest.fixture
def handler() -> Iterator[None]:
    """What a flow run does about logging."""
    ensure_handler("INFO", "%(name)s %(message)s")
    yield
    remove_handler()


@pytest.fixture
def worker_logger() -> Iterator[logging.Logger]:
    """A logger as on a worker: only what is forwarded leaves it."""
    logger = get_logger("test.worker")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.propagate = True
    logger.setLevel(logging.NOTSET)
    logger.handlers.clear()


def run_alone(code: str) -> subprocess.CompletedProcess[str]:
    start = "import logging, sys\nfrom prefect_dask.engine.logs import *\n"
    return subprocess.run(
        [sys.executable, "-c", start + dedent(code)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )


# ---- loggers


def test_there_is_one_logger_and_below_it_one_for_each_name():
    assert get_logger().name == get_logger("prefect_dask").name == "prefect_dask"
    assert (
        get_logger("load")
        is get_logger("prefect_dask.load")
        is logging.getLogger("prefect_dask.load")
    )


@pytest.fixture
def in_a_run() -> Iterator[None]:
    """This process works for a run, whatever it did before."""
    before = logs._tagger.current
    tag_records(lambda: {**OF_A_RUN, "map_index": 3})
    yield
    tag_records(before)


def test_records_say_whose_they_are_wherever_they_are_handled(in_a_run, caplog):
    get_logger("load").warning("slow")
    tag_records(lambda: None)
    get_logger("load").warning("outside")

    inside, outside = caplog.records
    assert {name: getattr(inside, name) for name in OF_A_RUN} == OF_A_RUN
    assert inside.map_index == 3
    assert (outside.flow_run_id, outside.task_name, outside.map_index) == ("", "", -1)


def test_what_the_user_says_of_a_record_stays(in_a_run, caplog):
    get_logger("load").warning("slow", extra={"worker": "mine"})
    assert caplog.records[0].worker == "mine"


# ---- to the terminal


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param("", "", ["prefect_dask.t: hello"], id="nobody else listens"),
        pytest.param(
            "logging.basicConfig(format='mine %(message)s')", "", ["mine hello"], id="set up before"
        ),
        pytest.param(
            "", "logging.basicConfig(format='mine %(message)s')", ["mine hello"], id="set up after"
        ),
        pytest.param(
            "logging.getLogger('prefect_dask').addHandler(logging.StreamHandler())",
            "",
            ["hello"],
            id="a handler on our logger",
        ),
        pytest.param(
            "logging.getLogger('prefect_dask').addHandler(logging.NullHandler())",
            "",
            ["prefect_dask.t: hello"],
            id="a handler that hears nothing",
        ),
        pytest.param(
            "logging.getLogger('prefect_dask').setLevel('WARNING')",
            "",
            [],
            id="a level on our logger",
        ),
        pytest.param(
            "logging.basicConfig(); logging.getLogger('prefect_dask').propagate = False",
            "",
            ["prefect_dask.t: hello"],
            id="cut off from the root",
        ),
    ],
)
def test_each_line_is_seen_once_whoever_set_up_logging(before, after, expected):
    done = run_alone(
        f"""
        {before}
        ensure_handler("INFO", "%(name)s: %(message)s")
        ensure_handler("INFO", "%(name)s: %(message)s")
        {after}
        get_logger("t").info("hello")
        get_logger("t").debug("too quiet")
        """
    )
    assert done.stderr.splitlines() == expected
    assert done.stdout == ""


def test_an_import_sets_up_nothing():
    done = run_alone(
        """
        logger = logging.getLogger("prefect_dask")
        print(logger.handlers, logger.level, logging.getLogger().handlers)
        """
    )
    assert done.stdout.strip() == "[] 0 []"


def test_lines_go_to_what_is_standard_error_when_they_are_logged():
    done = run_alone(
        """
        import contextlib, io
        ensure_handler("INFO", "%(message)s (%(task_name)s)")
        other = io.StringIO()
        with contextlib.redirect_stderr(other):
            get_logger().info("redirected")
        sys.stderr = None
        get_logger().info("nowhere")
        print(repr(other.getvalue()))
        """
    )
    assert done.stdout.strip() == repr("redirected ()\n")
    assert done.stderr == ""


def test_caplog_hears_lines_and_they_do_not_come_twice(handler, caplog, capsys):
    get_logger("t").info("hello %s", "you")
    assert caplog.messages == ["hello you"]
    assert capsys.readouterr().err == ""


def test_a_later_run_may_have_another_level_but_the_users_own_stays(handler):
    logger = get_logger()
    assert logger.level == logging.INFO
    ensure_handler("DEBUG", "%(message)s")
    assert logger.level == logging.DEBUG

    logger.setLevel("ERROR")
    ensure_handler("INFO", "%(message)s")
    assert logger.level == logging.ERROR
    logger.setLevel("DEBUG")


def test_what_was_set_up_can_be_taken_back():
    ensure_handler("INFO", "%(message)s")
    remove_handler()
    remove_handler()
    assert get_logger().handlers == []
    assert get_logger().level == logging.NOTSET


def test_a_format_or_level_without_meaning_is_refused():
    with pytest.raises(ValueError):
        ensure_handler("INFO", "%(message")
    with pytest.raises(ValueError):
        ensure_handler("LOUD", "%(message)s")
    assert get_logger().handlers == []


# ---- from workers


def forward(logger: logging.Logger, task: int = 4, map_index: int = -1) -> list[LogLine]:
    """Forward what this thread logs; the lines will be in the list."""
    lines: list[LogLine] = []
    me = threading.get_ident()
    logger.addHandler(
        RecordForwarder(
            lambda: (lines.append, task, map_index) if threading.get_ident() == me else None
        )
    )
    return lines


def test_what_a_task_logs_becomes_a_line(worker_logger):
    lines = forward(worker_logger, task=4, map_index=7)
    worker_logger.warning("%d of %s", 3, "four")

    (line,) = lines
    assert line == LogLine(
        "prefect_dask.test.worker", logging.WARNING, "3 of four", line.created, 4, 7, None
    )
    assert LogLine.from_list(line.to_list()) == line
    assert pickle.loads(pickle.dumps(line)) == line


def test_a_line_is_the_same_after_msgpack():
    import msgpack

    # Made, not logged: a test report cannot hold half a surrogate pair.
    error = ValueError("half a \ud800 pair")
    record = logging.LogRecord(
        "n", logging.ERROR, "f", 1, "bad \udcff name", (), (ValueError, error, None)
    )

    line = line_of(record, 0, -1)

    assert LogLine.from_list(msgpack.unpackb(msgpack.packb(line.to_list()))) == line
    assert line.message == "bad \\udcff name"
    assert "half a \\ud800 pair" in (line.exception or "")


def test_a_traceback_travels_as_text(worker_logger):
    lines = forward(worker_logger)
    try:
        1 / 0
    except ZeroDivisionError:
        worker_logger.exception("broken", stack_info=True)
    exception = lines[0].exception
    assert exception is not None
    assert "ZeroDivisionError: division by zero" in exception
    assert "Stack (most recent call last)" in exception


def test_what_is_logged_outside_tasks_is_not_forwarded(worker_logger):
    lines = forward(worker_logger)
    thread = threading.Thread(target=worker_logger.info, args=("of somebody else",))
    thread.start()
    thread.join(10)
    worker_logger.info("of the task")
    assert [line.message for line in lines] == ["of the task"]


def test_a_line_whose_arguments_do_not_fit_is_not_lost(worker_logger):
    record = worker_logger.makeRecord("a", logging.INFO, "", 0, "%d rows", ("many",), None)
    assert line_of(record, 0, -1).message == "%d rows (its arguments do not fit: TypeError)"


def test_a_line_that_is_far_too_long_is_cut(worker_logger):
    lines = forward(worker_logger)
    worker_logger.info("x" * (LINE_LIMIT_CHARACTERS + 5))
    assert lines[0].message == "x" * LINE_LIMIT_CHARACTERS + "… (5 more characters)"


def test_a_sender_that_logs_is_not_asked_to_send_that_too(worker_logger):
    sent = []

    def send(line: LogLine) -> None:
        sent.append(line.message)
        worker_logger.info("sent one")

    worker_logger.addHandler(RecordForwarder(lambda: (send, 0, -1)))
    worker_logger.info("first")
    worker_logger.info("second")
    assert sent == ["first", "second"]


def test_a_sender_that_fails_does_not_fail_the_task(worker_logger, capsys):
    def send(line: LogLine) -> None:
        raise OSError("the line is dead")

    worker_logger.addHandler(RecordForwarder(lambda: (send, 0, -1)))
    worker_logger.info("first")
    assert "the line is dead" in capsys.readouterr().err


def test_a_thread_that_holds_the_senders_lock_may_log(worker_logger):
    lock, waits, has_logged = threading.Lock(), threading.Event(), threading.Event()
    sent = []

    def send(line: LogLine) -> None:
        waits.set()
        with lock:
            sent.append(line.message)

    def log_under_the_lock() -> None:
        with lock:
            thread.start()
            assert waits.wait(10)
            other.info("while holding it")
            has_logged.set()

    # Both go through the same handler; the second is not in a task.
    forwarder = RecordForwarder(
        lambda: (send, 0, -1) if threading.current_thread() is thread else None
    )
    other = get_logger("test.worker.other")
    thread = threading.Thread(target=worker_logger.info, args=("from the task",))
    worker_logger.addHandler(forwarder)
    log_under_the_lock()
    thread.join(10)
    assert has_logged.is_set() and sent == ["from the task"]


# ---- at the coordinator


def test_a_replayed_line_says_whose_it_is_and_keeps_its_time(caplog):
    line = LogLine(
        "prefect_dask.load", logging.WARNING, "100% of %s", 1_000_000_000.25, 4, 7, "Trace"
    )
    replay(line, **OF_A_RUN)

    (record,) = caplog.records
    assert record.getMessage() == "100% of %s"
    assert {name: getattr(record, name) for name in OF_A_RUN} == OF_A_RUN
    assert (record.map_index, record.name, record.levelno) == (7, line.logger, line.level)
    assert (record.created, record.msecs) == (line.created, 250.0)
    formatter = logging.Formatter("%(asctime)s %(message)s", "%Y")
    assert formatter.format(record) == "2001 100% of %s\nTrace"


def test_a_replayed_line_can_be_formatted_with_every_attribute_of_a_record(caplog):
    replay(LogLine("prefect_dask.load", logging.WARNING, "x", 1e9, 4, -1), **OF_A_RUN)
    names = ("pathname", "filename", "module", "funcName", "threadName", "processName", "levelname")
    numbers = ("lineno", "process", "thread", "map_index")
    form = " ".join([f"%({n})s" for n in names] + [f"%({n})d" for n in numbers])
    text = logging.Formatter(form).format(caplog.records[0])
    assert text.split() == ["None", "tcp://w1", "tcp://w1", "WARNING", "0", "0", "0", "-1"]


def test_a_replayed_line_below_the_level_here_is_dropped(caplog):
    caplog.set_level("ERROR", logger="prefect_dask")
    replay(LogLine("prefect_dask.load", logging.WARNING, "x", 1e9, 4, -1), **OF_A_RUN)
    assert not caplog.records


def test_a_line_goes_from_a_worker_to_the_coordinators_handlers_unchanged(worker_logger):
    lines = forward(worker_logger)
    try:
        raise KeyError("k")
    except KeyError:
        worker_logger.exception("no %s", "key")
    worker_logger.handlers.clear()

    here = io.StringIO()
    worker_logger.addHandler(logging.StreamHandler(here))
    for line in lines:
        replay(LogLine.from_list(line.to_list()), **OF_A_RUN)

    assert here.getvalue().startswith("no key\nTraceback (most recent call last):\n")
    assert here.getvalue().endswith("KeyError: 'k'\n")
