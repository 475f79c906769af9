"""Prints as log lines: those of the task, all of them, and nobody else's."""

import contextlib
import contextvars
import io
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from textwrap import dedent
from typing import Any, TextIO, cast

import pytest

from prefect_dask.engine.prints import LINE_LIMIT_CHARACTERS, log_prints

THREADS = 8


class Heard(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def make_logger() -> Iterator[Callable[[str], tuple[logging.Logger, Heard]]]:
    """Makes a logger that only its own handler hears."""
    made = []

    def make(name: str) -> tuple[logging.Logger, Heard]:
        logger, heard = logging.getLogger(f"test_prints.{name}"), Heard()
        logger.propagate = False
        logger.setLevel(logging.INFO)
        logger.addHandler(heard)
        made.append(logger)
        return logger, heard

    yield make
    for logger in made:
        logger.handlers.clear()
        logger.propagate = True


@pytest.fixture
def logged(make_logger) -> tuple[logging.Logger, Heard]:
    return make_logger("a")


@pytest.fixture
def logger(logged) -> logging.Logger:
    return logged[0]


@pytest.fixture
def heard(logged) -> Heard:
    return logged[1]


@pytest.fixture(autouse=True)
def standard_output_is_put_back() -> Iterator[None]:
    before = sys.stdout
    yield
    assert sys.stdout is before


def in_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


# ---- lines


def test_each_line_becomes_a_record_and_the_rest_one_at_the_end(logger, heard, capsys):
    with log_prints(logger):
        print("one", "two")
        print("three\n\nfour", end="\r\n")
        print("100% of %s", end="", flush=True)
        assert heard.messages == ["one two", "three", "", "four"]
    assert heard.messages[4:] == ["100% of %s"]
    assert {record.levelname for record in heard.records} == {"INFO"}
    assert capsys.readouterr().out == ""


def test_a_record_names_the_place_that_printed(logger, heard):
    with log_prints(logger):
        print("here")
    assert heard.records[0].filename == "test_prints.py"


def test_a_line_printed_in_pieces_is_one_record(logger, heard):
    with log_prints(logger):
        for letter in "abc":
            sys.stdout.write(letter)
        sys.stdout.writelines(["d", "e\nf"])
    assert heard.messages == ["abcde", "f"]


def test_a_line_without_end_is_logged_in_pieces_and_nothing_is_lost(logger, heard):
    with log_prints(logger):
        for _ in range(LINE_LIMIT_CHARACTERS // 10 * 2 + 1):
            sys.stdout.write("0123456789")
    assert len(heard.messages) == 3
    assert "".join(heard.messages) == "0123456789" * (LINE_LIMIT_CHARACTERS // 10 * 2 + 1)


def test_what_was_printed_before_an_exception_is_logged(logger, heard):
    with pytest.raises(ZeroDivisionError), log_prints(logger):
        print("before", end="")
        1 / 0
    assert heard.messages == ["before"]


def test_standard_output_is_still_a_stream(logger, capsys):
    before = sys.stdout
    with log_prints(logger):
        now: Any = sys.stdout
        assert now.encoding == before.encoding
        assert now.isatty() == before.isatty()
        now.flush()
        with pytest.raises(TypeError):
            now.write(b"bytes")
        with pytest.raises(AttributeError):
            now.no_such_thing
        now.buffer.write(b"raw\n")
    assert capsys.readouterr().out == "raw\n"


def test_a_process_without_standard_output_logs_prints(logger, heard, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with log_prints(logger):
        print("hello")
        sys.stdout.flush()
        in_thread(lambda: print("lost, as it would have been"))
    assert heard.messages == ["hello"]
    assert sys.stdout is None


# ---- threads


def test_prints_of_other_threads_stay_what_they_are(logger, heard, capsys):
    with log_prints(logger):
        print("mine")
        in_thread(lambda: print("theirs"))
    assert heard.messages == ["mine"]
    assert capsys.readouterr().out == "theirs\n"


def test_many_tasks_print_at_once_and_each_gets_its_own_lines(make_logger, capsys):
    barrier = threading.Barrier(2 * THREADS)
    loggers = [make_logger(f"task{i}") for i in range(THREADS)]

    def task(i: int) -> None:
        barrier.wait(10)
        with log_prints(loggers[i][0]):
            for n in range(200):
                print(i, n)
            barrier.wait(10)

    def bystander(i: int) -> None:
        barrier.wait(10)
        for n in range(200):
            sys.stdout.write(f"bystander {i} {n}\n")
        barrier.wait(10)

    threads = [
        threading.Thread(target=f, args=(i,)) for f in (task, bystander) for i in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    for i, (_, heard) in enumerate(loggers):
        assert heard.messages == [f"{i} {n}" for n in range(200)]
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(
        f"bystander {i} {n}" for i in range(THREADS) for n in range(200)
    )


def test_tasks_that_come_and_go_lose_nothing(make_logger, capsys):
    barrier = threading.Barrier(THREADS)
    loggers = [make_logger(f"task{i}") for i in range(THREADS)]

    def come_and_go(i: int) -> None:
        barrier.wait(10)
        for n in range(300):
            with log_prints(loggers[i][0]):
                print(n)

    threads = [threading.Thread(target=come_and_go, args=(i,)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    for _, heard in loggers:
        assert heard.messages == [str(n) for n in range(300)]
    assert capsys.readouterr().out == ""


def test_the_first_to_come_may_be_the_first_to_go(make_logger, capsys):
    (first, heard_first), (second, heard_second) = make_logger("first"), make_logger("second")
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def one() -> None:
        with log_prints(first):
            first_in.set()
            assert second_in.wait(10)
            print("one")
        first_out.set()
        print("free")

    def two() -> None:
        assert first_in.wait(10)
        with log_prints(second):
            second_in.set()
            assert first_out.wait(10)
            print("two")

    threads = [threading.Thread(target=one), threading.Thread(target=two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (heard_first.messages, heard_second.messages) == (["one"], ["two"])
    assert capsys.readouterr().out == "free\n"


def test_a_thread_that_is_handed_the_tasks_context_prints_for_the_task(logger, heard, capsys):
    with log_prints(logger):
        late = contextvars.copy_context()
        in_thread(lambda: contextvars.copy_context().run(print, "of nobody"))
        in_thread(lambda: late.run(print, "of the task"))
    in_thread(lambda: late.run(print, "too late"))
    assert heard.messages == ["of the task"]
    assert capsys.readouterr().out == "of nobody\ntoo late\n"


# ---- with others who put something in the place of standard output


def test_blocks_nest_and_the_innermost_takes_the_lines(make_logger):
    (outer, heard_outer), (inner, heard_inner) = make_logger("outer"), make_logger("inner")
    with log_prints(outer):
        print("begun ", end="")
        with log_prints(inner):
            print("within")
        print("and ended")
    assert heard_outer.messages == ["begun and ended"]
    assert heard_inner.messages == ["within"]


def test_what_a_task_redirects_itself_is_its_own(logger, heard):
    own = io.StringIO()
    with log_prints(logger):
        with contextlib.redirect_stdout(own):
            print("own")
        print("logged")
    assert own.getvalue() == "own\n"
    assert heard.messages == ["logged"]


def test_a_task_begins_while_somebody_else_has_put_his_stream_over_ours(make_logger, capsys):
    (first, heard_first), (second, heard_second) = make_logger("first"), make_logger("second")
    with log_prints(first):
        with contextlib.redirect_stdout(io.StringIO()) as theirs:
            with log_prints(second):
                print("second")
                in_thread(lambda: print("theirs"))
            print("redirected")
        print("first")
    print("after")
    assert theirs.getvalue() == "theirs\nredirected\n"
    assert (heard_first.messages, heard_second.messages) == (["first"], ["second"])
    assert capsys.readouterr().out == "after\n"


def test_a_stream_put_there_in_between_stays_there(logger, monkeypatch):
    theirs = io.StringIO()
    with log_prints(logger):
        monkeypatch.setattr(sys, "stdout", theirs)
        print("theirs")
    assert sys.stdout is theirs
    assert theirs.getvalue() == "theirs\n"
    monkeypatch.undo()
    # What was put back is ours, which passes on everything, and goes with the next task.
    print("goes through")
    with log_prints(logger):
        pass


def test_one_who_keeps_our_stream_longer_than_that_lives_can_still_print(logger, monkeypatch):
    gone = io.StringIO()
    monkeypatch.setattr(sys, "stdout", gone)
    with log_prints(logger):
        kept = sys.stdout
    gone.close()
    assert kept.fileno() == cast(TextIO, sys.__stdout__).fileno()
    kept.flush()


def test_a_handler_that_writes_to_standard_output_does_not_log_its_own_lines(logger, heard, capsys):
    class Printing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print(f"[{record.getMessage()}]")

    logger.addHandler(Printing())
    with log_prints(logger):
        print("printed")
        logger.info("logged")
    assert heard.messages == ["printed", "logged"]
    assert capsys.readouterr().out == "[printed]\n[logged]\n"


def test_it_works_where_nobody_stands_between():
    code = """
    import logging, sys
    from prefect_dask.engine.prints import log_prints
    real = sys.stdout
    logging.basicConfig(level="INFO", format="logged %(message)s")
    with log_prints(logging.getLogger()):
        print("a line")
    print(sys.stdout is real)
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "True\n"
    assert done.stderr == "logged a line\n"
