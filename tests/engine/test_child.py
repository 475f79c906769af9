"""A helper process runs calls, can be stopped, may die, and is never left behind."""

import _thread
import atexit
import gc
import importlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import cloudpickle
import psutil
import pytest

from prefect_dask.engine import child_main
from prefect_dask.engine.child import Child, ChildDied, ChildError, ChildTimeout, dumps_call

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such thing")


@pytest.fixture
def child() -> Iterator[Child]:
    with Child(name="helper") as child:
        yield child


def wait_until(is_so: Callable[[], bool], timeout_seconds: float = 10) -> bool:
    """Whether it came true before the deadline."""
    deadline, look_again = time.monotonic() + timeout_seconds, threading.Event()
    while not is_so():
        if time.monotonic() > deadline:
            return False
        look_again.wait(0.01)
    return True


def is_gone(pid: int) -> bool:
    """Whether a process has ended; an orphan that nobody has buried yet has."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def all_gone(pids: list[int]) -> bool:
    return wait_until(lambda: all(is_gone(pid) for pid in pids))


def family_that_sleeps() -> bytes:
    """A call that sends home its own pid and that of a process it started, and then hangs."""

    def body() -> bytes:
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        child_main.send(pickle.dumps([os.getpid(), grandchild.pid]))
        time.sleep(60)
        return b""

    return dumps_call(body)


def call_of(function: Callable[..., object], *args: object) -> bytes:
    """A call of a function whose result nobody wants."""

    def body() -> bytes:
        function(*args)
        return b""

    return dumps_call(body)


def own_pid() -> bytes:
    """A call that returns the pid of the process it runs in."""
    return dumps_call(lambda: b"%d" % os.getpid())


def start_script(folder: Path, text: str) -> subprocess.Popen[str]:
    """Run a script that uses a Child, without a guard around its main part."""
    script = folder / "script.py"
    script.write_text(text, encoding="utf-8")
    return subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)


# ---- calls


def test_a_call_returns_what_its_function_returned(child):
    assert child.call(dumps_call(lambda a, b: b"%d" % (a * b), 6, b=7)) == b"42"


def test_one_process_serves_many_calls(child):
    pids = {child.call(own_pid()) for _ in range(20)}

    assert pids == {b"%d" % child.pid}
    assert child.pid != os.getpid()


def test_a_child_starts_with_its_first_call(child):
    assert not child.is_alive and child.pid is None
    child.call(own_pid())
    assert child.is_alive


def test_fifty_megabytes_go_both_ways(child):
    data = os.urandom(1_000_000) * 50

    assert child.call(dumps_call(bytes, data), timeout_seconds=30) == data


def test_messages_come_home_while_the_body_runs_from_any_thread(child):
    def body() -> bytes:
        child_main.send(b"from the main thread")
        thread = threading.Thread(target=child_main.send, args=(b"from another",))
        thread.start()
        thread.join()
        return b"done"

    messages: list[bytes] = []

    assert child.call(dumps_call(body), on_message=messages.append) == b"done"
    assert messages == [b"from the main thread", b"from another"]


def test_sending_home_without_a_home_says_so():
    with pytest.raises(RuntimeError, match="outside a helper process"):
        child_main.send(b"")


def test_the_body_runs_in_the_main_thread_and_finds_no_input(child):
    def body() -> bytes:
        assert threading.current_thread() is threading.main_thread()
        return sys.stdin.read().encode()

    assert child.call(dumps_call(body)) == b""


def test_modules_of_the_caller_can_be_imported(child, tmp_path, monkeypatch):
    (tmp_path / "users_module.py").write_text("def answer(): return b'42'", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    answer = importlib.import_module("users_module").answer

    assert child.call(dumps_call(answer)) == b"42"


def test_functions_and_classes_of_a_script_go_there_and_back(tmp_path):
    script = start_script(
        tmp_path,
        """
import cloudpickle, pickle
from dataclasses import dataclass
from prefect_dask.engine.child import Child, dumps_call

@dataclass
class Point:
    x: int

def mirrored(point):
    return cloudpickle.dumps(Point(-point.x))

with Child() as child:
    back = pickle.loads(child.call(dumps_call(mirrored, Point(3))))
    print(back == Point(-3))
""",
    )
    assert script.communicate(timeout=30)[0] == "True\n"


def test_threads_use_children_of_their_own_side_by_side():
    together = threading.Barrier(4)

    def work(number: int) -> list[bytes]:
        with Child(name=f"helper-{number}") as child:
            together.wait(timeout=30)
            return [child.call(dumps_call(lambda i=i: b"%d %d" % (number, i))) for i in range(50)]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(4)))

    assert results == [[b"%d %d" % (number, i) for i in range(50)] for number in range(4)]


def test_a_second_call_at_the_same_time_is_refused(child):
    def call_again(_: bytes) -> None:
        child.call(own_pid())

    with pytest.raises(RuntimeError, match="runs a call already"):
        child.call(call_of(child_main.send, b"now"), on_message=call_again)


# ---- prints


def test_prints_come_home_at_once_and_in_order(child, capsys):
    def body() -> bytes:
        print("before ünïcödé")
        child_main.send(b"")
        print("after, without a newline", end="")
        return b""

    at_message = []
    child.call(dumps_call(body), on_message=lambda _: at_message.append(capsys.readouterr().out))

    assert at_message == ["before ünïcödé\n"]
    assert capsys.readouterr().out == "after, without a newline"


def test_what_is_written_past_python_does_not_disturb(child, capfd):
    def body() -> bytes:
        os.write(1, b"garbage" * 1000)
        subprocess.run([sys.executable, "-c", "print('from a grandchild')"], check=True)
        return b"sound"

    assert child.call(dumps_call(body)) == b"sound"
    assert "garbagegarbage" in (told := capfd.readouterr().err)
    assert "from a grandchild" in told


def test_a_flood_of_prints_comes_home_whole(child, capsys):
    def body() -> bytes:
        for number in range(20_000):
            print(number)
        return b""

    child.call(dumps_call(body))

    assert capsys.readouterr().out.split() == [str(number) for number in range(20_000)]


@on_posix
def test_a_forked_pool_in_a_body_does_not_disturb(child):
    def shout(number: int) -> int:
        print("from a fork")
        return number * 2

    def body() -> bytes:
        pool = multiprocessing.get_context("fork")
        results = pool.SimpleQueue()
        fork = pool.Process(target=lambda: results.put(shout(21)))
        fork.start()
        fork.join(20)
        return b"%d" % results.get()

    assert child.call(dumps_call(body), timeout_seconds=30) == b"42"
    assert child.call(own_pid()) == b"%d" % child.pid


# ---- errors


@pytest.mark.parametrize(
    ("payload", "type_name", "text"),
    [
        (b"not a pickle", "_pickle.UnpicklingError", ""),
        (dumps_call(lambda: [][1]), "builtins.IndexError", "list index out of range"),
        (dumps_call(lambda: sys.exit("enough")), "builtins.SystemExit", "enough"),
        (dumps_call(lambda: "a text"), "builtins.TypeError", "returned a str"),  # type: ignore[arg-type, return-value]
    ],
    ids=["unreadable", "raises", "exits", "returns no bytes"],
)
def test_a_call_that_fails_is_told_and_the_child_goes_on(child, payload, type_name, text):
    pid = child.call(own_pid())

    with pytest.raises(ChildError) as caught:
        child.call(payload)

    assert caught.value.type_name == type_name
    assert text in caught.value.text
    assert child.call(own_pid()) == pid


def test_an_error_of_a_call_brings_its_traceback(child):
    def body_with_a_fault() -> bytes:
        raise LookupError("nothing there")

    with pytest.raises(ChildError) as caught:
        child.call(dumps_call(body_with_a_fault))

    assert "body_with_a_fault" in caught.value.traceback_text


def test_an_error_in_on_message_ends_the_call_and_its_process(child):
    pids: list[int] = []

    def refuse(message: bytes) -> None:
        pids.extend(pickle.loads(message))
        raise LookupError("not wanted")

    with pytest.raises(LookupError):
        child.call(family_that_sleeps(), on_message=refuse)

    assert len(pids) == 2 and all_gone(pids)


@pytest.mark.parametrize(
    "error",
    [
        ChildTimeout("load", 1.5),
        ChildDied("load", -9, has_begun=True),
        ChildError("load", "builtins.ValueError", "text", "traceback"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_the_trip_between_processes(error):
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))


# ---- stopping


def test_a_timeout_ends_the_body_and_what_it_started(child):
    pids: list[int] = []
    began = time.monotonic()

    with pytest.raises(ChildTimeout, match=r"'helper' timed out after 0\.5 s"):
        child.call(
            family_that_sleeps(),
            timeout_seconds=0.5,
            on_message=lambda message: pids.extend(pickle.loads(message)),
        )

    assert time.monotonic() - began < 10
    assert not psutil.pid_exists(pids[0]), "its own child is buried before the error is raised"
    assert sys.platform == "win32" or all_gone(pids)


def test_the_time_that_starting_takes_is_not_the_bodys(child):
    assert child.call(own_pid(), timeout_seconds=0.05)


def test_a_loop_that_prints_is_stopped_in_time(child, capsys):
    def body() -> bytes:
        while True:
            print("again")

    with pytest.raises(ChildTimeout):
        child.call(dumps_call(body), timeout_seconds=0.3)


def test_after_a_timeout_the_next_call_has_a_new_process(child):
    first = child.call(own_pid())
    with pytest.raises(ChildTimeout):
        child.call(call_of(time.sleep, 60), timeout_seconds=0.1)

    second = child.call(own_pid())

    assert first != second
    assert is_gone(int(first))


def test_a_child_that_exits_is_told_with_its_exit_code(child):
    with pytest.raises(ChildDied, match="died while it ran, with exit code 3") as caught:
        child.call(dumps_call(os._exit, 3))

    assert caught.value.exit_code == 3
    assert not child.is_alive
    assert child.call(own_pid())


@on_posix
def test_a_child_that_is_killed_is_told_with_the_signal(child):
    with pytest.raises(ChildDied) as caught:
        child.call(call_of(signal.raise_signal, signal.SIGKILL))

    assert caught.value.exit_code == -signal.SIGKILL


@on_posix
def test_the_death_of_a_child_is_seen_although_its_fork_lives_and_ends_that_too(child):
    def body() -> bytes:
        if (fork := os.fork()) == 0:
            time.sleep(60)
        child_main.send(b"%d" % fork)
        os._exit(3)

    forks: list[int] = []
    with pytest.raises(ChildDied):
        child.call(dumps_call(body), on_message=lambda message: forks.append(int(message)))

    assert all_gone(forks)


def test_a_child_that_died_between_two_calls_is_replaced(child):
    first = int(child.call(own_pid()))
    psutil.Process(first).kill()
    assert wait_until(lambda: not child.is_alive)

    assert int(child.call(own_pid())) != first


def test_another_thread_can_kill_a_call(child):
    pids: list[int] = []
    has_begun = threading.Event()

    def take(message: bytes) -> None:
        pids.extend(pickle.loads(message))
        has_begun.set()

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(child.call, family_that_sleeps(), on_message=take)
        assert has_begun.wait(timeout=30)
        child.kill()
        with pytest.raises(ChildDied):
            call.result(timeout=10)

    assert sys.platform == "win32" or all_gone(pids)
    assert child.call(own_pid())


def test_ctrl_c_in_a_call_kills_the_process_and_goes_on(child):
    pids: list[int] = []

    def take(message: bytes) -> None:
        pids.extend(pickle.loads(message))
        threading.Thread(target=_thread.interrupt_main).start()

    with pytest.raises(KeyboardInterrupt):
        child.call(family_that_sleeps(), on_message=take)

    assert not psutil.pid_exists(pids[0])
    assert sys.platform == "win32" or all_gone(pids)


# ---- the end


def test_closing_lets_the_process_end_by_itself(capsys):
    child = Child()
    child.call(call_of(atexit.register, print, "good bye"))

    child.close()

    assert capsys.readouterr().out == "good bye\n"


def test_closing_ends_a_process_that_does_not_end_by_itself():
    def body() -> bytes:
        threading.Thread(target=time.sleep, args=(60,)).start()
        return b"%d" % os.getpid()

    child = Child()
    pid = int(child.call(dumps_call(body)))
    began = time.monotonic()

    child.close()

    assert not psutil.pid_exists(pid)
    assert time.monotonic() - began < 6


def test_closing_ends_a_call_in_another_thread(child):
    has_begun = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(child.call, family_that_sleeps(), on_message=lambda _: has_begun.set())
        assert has_begun.wait(timeout=30)
        child.close()
        with pytest.raises(ChildDied):
            call.result(timeout=10)


def test_a_closed_child_takes_no_calls_and_may_be_closed_again(child):
    child.close()
    child.close()
    with pytest.raises(RuntimeError, match="closed"):
        child.call(own_pid())


def test_a_forgotten_child_is_gone():
    child = Child()
    pid = int(child.call(own_pid()))

    del child
    gc.collect()

    assert not psutil.pid_exists(pid)


def test_children_leave_no_pipe_no_thread_and_no_process():
    # Each by itself, not their number: what other tests left to a thread may be closed meanwhile.
    def open_files() -> set[tuple[int, int, int]]:
        found = set()
        # Windows has no such list; there the pipes are known by the processes that they belong to.
        for number in map(int, os.listdir("/dev/fd") if os.path.isdir("/dev/fd") else ()):
            with suppress(OSError):  # that of the listing itself
                stat = os.fstat(number)
                found.add((number, stat.st_dev, stat.st_ino))
        return found

    def use_up_three() -> None:
        with Child(name="ends") as ends, Child(name="dies") as dies, Child(name="late") as late:
            ends.call(own_pid())
            with pytest.raises(ChildDied):
                dies.call(dumps_call(os._exit, 1))
            with pytest.raises(ChildTimeout):
                late.call(call_of(time.sleep, 60), timeout_seconds=0.1)

    use_up_three()  # what Python opens once and keeps
    files, threads = open_files(), set(threading.enumerate())
    processes = set(psutil.Process().children())
    use_up_three()

    assert open_files() <= files
    assert set(threading.enumerate()) <= threads
    assert set(psutil.Process().children()) <= processes


@pytest.mark.parametrize("when", ["idle", "in a call"])
def test_a_child_ends_when_its_parent_is_killed(tmp_path, when):
    script = start_script(
        tmp_path,
        f"""
import os, subprocess, sys, time
from prefect_dask.engine import child_main
from prefect_dask.engine.child import Child, dumps_call

def body():
    pids = [os.getpid()]
    if {when == "in a call"}:
        pids += [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid]
    child_main.send(repr(pids).encode())
    if {when == "in a call"}:
        time.sleep(60)
    return b""

child = Child()
child.call(dumps_call(body), on_message=lambda message: print(message.decode(), flush=True))
time.sleep(60)
""",
    )
    assert script.stdout is not None
    pids = [int(pid) for pid in script.stdout.readline().strip("[]\n").split(",")]
    assert not any(is_gone(pid) for pid in pids)

    script.kill()
    script.communicate(timeout=10)

    assert is_gone(pids[0]) if sys.platform == "win32" else all_gone(pids)


@on_posix
def test_a_fork_of_the_parent_does_not_keep_its_children_alive(tmp_path):
    script = start_script(
        tmp_path,
        """
import os, sys, time, warnings
from prefect_dask.engine.child import Child, dumps_call

warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
child = Child()
child.call(dumps_call(bytes))
if (fork := os.fork()) == 0:
    assert not child.is_alive
    os.close(1)
    time.sleep(60)
print(child.pid, fork, flush=True)
time.sleep(60)
""",
    )
    assert script.stdout is not None
    child, fork = (int(pid) for pid in script.stdout.readline().split())
    try:
        script.kill()
        script.communicate(timeout=10)

        assert all_gone([child])
        assert not is_gone(fork)
    finally:
        os.kill(fork, signal.SIGKILL)


def test_a_program_that_closes_nothing_ends_and_leaves_nothing(tmp_path):
    script = start_script(
        tmp_path,
        """
import os
from prefect_dask.engine.child import Child, dumps_call

child = Child()
print(child.call(dumps_call(lambda: b"%d" % os.getpid())).decode())
""",
    )
    pid = int(script.communicate(timeout=30)[0])

    assert script.returncode == 0
    assert all_gone([pid])


def test_results_are_pickled_by_the_function(child):
    def body() -> bytes:
        data: bytes = cloudpickle.dumps({"rows": [1, 2, 3]})
        return data

    assert pickle.loads(child.call(dumps_call(body))) == {"rows": [1, 2, 3]}
