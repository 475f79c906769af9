"""Slots in both databases: never more than there are, whoever asks, and free again when they should be."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from prefect_dask import Flow, task
from prefect_dask.engine import clock
from prefect_dask.executors import LocalDaskExecutor
from prefect_dask.ledger import Ledger, run_slots
from prefect_dask.ledger.entries import Begun, Leased
from prefect_dask.ledger.leases import lease_seconds, renew_seconds
from prefect_dask.ledger.places import Place
from prefect_dask.ledger.processes import name_of_holder
from prefect_dask.ledger.slots import (
    STALE_SECONDS,
    Lookout,
    Queue,
    Room,
    Settled,
    Wanted,
    free_all,
    is_lease_over,
    settle,
)
from prefect_dask.ledger.store import Store
from prefect_dask.ledger.writer import close_writers, open_store
from prefect_dask.limits import NoSuchLimit, UnfitLimit, limits, remove_limit, set_limit
from tests.faults.cluster import REPOSITORY
from tests.promises.limited import Diary
from tests.waiting import wait_until

GPU, WIDE = ("tag:gpu",), ("tag:gpu", "task:load")


def wanted(count: int, names: tuple[str, ...] = GPU, task: int = 0) -> list[Wanted]:
    return [Wanted((task, index, 1), 1, names) for index in range(count)]


def nodes(each: list[Wanted]) -> list[int]:
    return [one.node[1] for one in each]


class Run:
    """A flow run that asks for slots, without a flow.

    Args:
        store: Its own connection.
        run_id: What it is called.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self.store, self.run_id = store, run_id
        self.queue, self.room, self.lookout = Queue(), Room(), Lookout()
        #: Its clock that nobody sets.
        self.moment = 0.0
        store.write([Begun(run_id, lease_until=clock.now() + lease_seconds())])
        [(self.key,)] = store.execute(
            f"SELECT id FROM flow_runs WHERE run_id = {store.mark}", (run_id,)
        )

    def ask(self, count: int = 0, *, over: list[int] | None = None, fence: int = 0) -> list[int]:
        """Ask for more slots, and give some back; which it got."""
        self.room.give_back([(0, index, 1) for index in over or ()])
        self.queue.add(wanted(count))
        settled = settle(
            self.store,
            self.key,
            fence,
            [(0, index, 1) for index in over or ()],
            self.queue,
            self.room,
            self.lookout,
            clock.now(),
            self.moment,
        )
        assert isinstance(settled, Settled)
        return nodes(settled.granted)

    def wait(self, seconds: float) -> list[int]:
        """Ask every second for some time; what it got."""
        got = []
        for _ in range(round(seconds)):
            self.moment += 1
            got += self.ask()
        return got

    def renew(self) -> None:
        """Say that its process is there, by its own clock."""
        self.store.write([Leased(self.run_id, 0, clock.now() + lease_seconds())])


@pytest.fixture
def runs(place: Place) -> Iterator[list[Run]]:
    """Two runs, each with a connection."""
    with contextlib.ExitStack() as stack:
        stores = [stack.enter_context(contextlib.closing(open_store(place))) for _ in range(2)]
        for store in stores:
            store.open()
        set_limit("tag:gpu", 2, ledger=place_text(place))
        yield [Run(store, name * 32) for store, name in zip(stores, "ab", strict=True)]


def place_text(place: Place) -> str:
    return place.target


# ---- who gets one


def test_of_a_queue_those_go_first_that_came_first_and_each_needs_all_its_slots():
    queue = Queue()
    queue.add(wanted(3))
    queue.add(wanted(3, WIDE, task=1))

    taken = queue.take({"tag:gpu": 4, "task:load": 1})

    assert [one.node[:2] for one in taken] == [(0, 0), (1, 0), (0, 1), (0, 2)]
    assert queue.counts() == {"tag:gpu": 2, "task:load": 2}
    assert nodes(queue.take({"tag:gpu": 9})) == [1, 2], "a limit that is not there holds nobody"


def test_no_more_slots_are_given_than_there_are_and_those_given_back_go_to_who_waits(runs):
    one, two = runs
    assert one.ask(4) == [0, 1]
    assert two.ask(1) == []
    assert one.ask(over=[0]) == [2], "it has waited longer"
    assert one.ask(over=[1]) == [], "now the other one has"
    assert two.ask() == [0]
    assert one.ask(over=[2]) == [3]


def test_a_run_holds_as_many_as_it_can_use_and_has_nobody_leave_it_more(runs):
    one, two = runs
    one.room.at_most = 1
    assert one.ask(3) == [0]
    assert two.ask(2) == [0], "the first one could use no more, and has waited longer"
    assert one.ask(over=[0]) == [], "now the other one waits, and could"
    assert two.ask() == [1]
    one.room.at_most = 2
    assert two.ask(over=[0, 1]) == []
    assert one.ask() == [1, 2]


def test_a_run_that_does_not_ask_any_more_holds_nobody_up(runs):
    one, two = runs
    assert one.ask(3) == [0, 1]
    assert two.ask(1) == []
    assert one.ask(over=[0]) == [2]
    assert one.ask(1) == [] and one.ask(over=[1]) == [], "the other one has waited longer"
    assert one.wait(STALE_SECONDS) == []
    assert one.wait(1) == [0]


def test_a_slot_is_free_when_the_lease_of_its_run_ran_out_and_not_before(runs):
    one, two = runs
    assert one.ask(2) == [0, 1]
    assert two.ask(1) == []
    assert two.wait(lease_seconds() - 1) == []
    one.renew()
    assert two.wait(lease_seconds()) == [], "it was renewed"
    assert two.wait(1) == [0]


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_set_neither_frees_a_slot_nor_keeps_that_of_a_dead_process(runs, hours):
    one, two = runs
    with clock.settable() as jumps:
        assert one.ask(2) == [0, 1]
        assert two.ask(1) == []
        for _ in range(20):
            jumps.set_by(timedelta(hours=hours))
            one.renew()
            assert two.wait(renew_seconds()) == []
            jumps.set_by(timedelta(hours=-hours))
            one.renew()
            assert two.wait(renew_seconds()) == []
        jumps.set_by(timedelta(hours=hours))
        assert two.wait(lease_seconds() - renew_seconds() - 1) == []
        assert two.wait(renew_seconds() + 2) == [0]


def test_a_clock_that_is_ahead_does_not_keep_its_run_from_having_its_turn(runs):
    one, two = runs
    with clock.settable() as ahead:
        ahead.set_by(timedelta(hours=1))
        assert one.ask(4) == [0, 1]
        ahead.set_by(timedelta(hours=-1))
        assert two.ask(2) == []
        assert one.ask(over=[0]) == [2], "it has waited longer"
        assert one.ask(over=[1]) == []
        assert two.ask() == [0]


def test_who_looks_after_the_ledger_was_away_gives_others_the_time_to_renew_their_leases(runs):
    one, two = runs
    assert one.ask(2) == [0, 1]
    assert two.ask(1) == []
    two.moment += 10 * lease_seconds()
    assert two.wait(lease_seconds()) == []
    assert two.wait(1) == [0]


def test_the_lease_of_a_process_of_this_machine_goes_by_the_clock_that_its_processes_share():
    lease, renewal = lease_seconds(), renew_seconds()
    here, elsewhere = name_of_holder(100.0), "elsewhere/1@2~100.0"
    assert not is_lease_over(10 * lease, here, 99.0)
    assert is_lease_over(renewal, here, 101.0), "it is known when it died"
    assert not is_lease_over(renewal - 1, here, 101.0), "it may just be about to renew it"
    assert not is_lease_over(lease - 1, elsewhere, 1e9)
    assert is_lease_over(lease, elsewhere, 0.0)


def test_a_process_whose_run_was_taken_over_gets_none_and_keeps_what_the_next_one_holds(runs):
    one, _ = runs
    assert one.ask(1) == [0]
    one.store.execute(f"UPDATE flow_runs SET fence = 1 WHERE id = {one.store.mark}", (one.key,))
    one.queue.add(wanted(1))
    refused = settle(
        one.store, one.key, 0, [(0, 0, 1)], one.queue, one.room, one.lookout, clock.now(), 0.0
    )
    assert refused is None
    [limit] = limits(ledger=place_text(one.store.place))
    assert [holder.map_index for holder in limit.holders] == [0]
    one.queue = Queue()
    assert one.ask(1, fence=1) == [0]
    free_all(one.store, one.key, 0)
    [limit] = limits(ledger=place_text(one.store.place))
    assert len(limit.holders) == 1, "that of the process which has the run now"


def test_many_threads_never_hold_more_than_there_are(place):
    set_limit("tag:gpu", 3, ledger=place_text(place))
    held, most, guard = 0, 0, threading.Lock()

    def work(number: int) -> int:
        nonlocal held, most
        got = 0
        with contextlib.closing(open_store(place)) as store:
            store.open()
            run = Run(store, str(number) * 32)
            mine = run.ask(6)
            while got < 6:
                with guard:
                    held += len(mine)
                    most = max(most, held)
                got += len(mine)
                with guard:
                    held -= len(mine)
                mine = run.ask(over=mine)
        return got

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [6] * 6
    assert most <= 3
    [limit] = limits(ledger=place_text(place))
    assert (limit.holders, limit.waiting) == ((), 0)


# ---- several processes


class Process:
    """A process that runs a flow of limited bodies, as soon as it is told to."""

    def __init__(self, place: str, diary: Diary, count: int, *until: Path) -> None:
        program = [sys.executable, "-m", "tests.promises.limited", place]
        self.process = subprocess.Popen(
            [*program, str(diary.path), str(count), *map(str, until)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()

    def begin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        said, errors = self.process.communicate(timeout=50)
        assert self.process.returncode == 0, errors

    def close(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=20)


@pytest.fixture
def diary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Diary:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    return Diary(tmp_path / "diary")


def test_two_processes_share_the_slots_and_a_release_wakes_the_other_within_a_second(
    url, diary, tmp_path
):
    set_limit("tag:scarce", 2, ledger=url)
    go = tmp_path / "go"
    one, two = Process(url, diary, 2, go), Process(url, diary, 1, go)
    try:
        before = clock.utc_now()
        one.begin()
        wait_until(lambda: len(diary.now_at_work()) == 2)
        begun = clock.utc_now()
        two.begin()
        wait_until(lambda: limits(ledger=url)[0].waiting == 1)
        wait_until(lambda: all(h.worker for h in limits(ledger=url)[0].holders))
        [limit] = limits(ledger=url)
        since = [h.since for h in limit.holders]
        assert before <= since[0] <= since[1] <= begun
        assert len({h.worker for h in limit.holders}) == 2, [h.worker for h in limit.holders]
        assert {h.coordinator.split(":")[1] for h in limit.holders} == {str(one.process.pid)}
        assert [h.task_run_name for h in limit.holders] == ["held[0]", "held[1]"]
        assert {(h.flow_name, h.attempt) for h in limit.holders} == {
            (f"flow of {one.process.pid}", 1)
        }
        go.touch()
        wait_until(lambda: len(diary.begun()) == 3)
        ended, woken = times(diary)
        assert woken - ended < 1.0
        one.end()
        two.end()
    finally:
        one.close()
        two.close()
    assert diary.most_at_once() == 2
    assert [(each.holders, each.waiting) for each in limits(ledger=url)] == [((), 0)]


def times(diary: Diary) -> tuple[float, float]:
    """When the first body ended, and when the third one began."""
    lines = diary.lines()
    first_end = next(float(words[3]) for words in lines if words[0] == "end")
    third = [float(words[3]) for words in lines if words[0] == "begin"][2]
    return first_end, third


def test_two_processes_at_once_never_exceed_the_limit_and_none_starves(url, diary):
    set_limit("task:short", 1, ledger=url)
    set_limit("tag:scarce", 2, ledger=url)
    both = [Process(url, diary, 8) for _ in range(2)]
    try:
        for process in both:
            process.begin()
        for process in both:
            process.end()
    finally:
        for process in both:
            process.close()
    assert diary.most_at_once() == 1
    assert len(diary.begun()) == 16
    order = [words[1] for words in diary.lines() if words[0] == "begin"]
    first_of_the_other = next(i for i, pid in enumerate(order) if pid != order[0])
    assert first_of_the_other < 8, "nobody waits until the other one is through"
    assert all(not each.holders and not each.waiting for each in limits(ledger=url))


def test_what_a_killed_process_held_is_free_when_its_lease_is_over(
    url, diary, tmp_path, monkeypatch
):
    monkeypatch.setenv("PREFECT__LEDGER__LEASE_SECONDS", "9")
    set_limit("tag:scarce", 1, ledger=url)
    one, two = Process(url, diary, 1, tmp_path / "never"), Process(url, diary, 1)
    try:
        one.begin()
        wait_until(diary.now_at_work)
        two.begin()
        wait_until(lambda: limits(ledger=url)[0].waiting == 1)
        diary.kill(one.process.pid)
        ledger = Ledger(url)
        wait_until(
            lambda: ledger.flow_runs(flow_name=f"flow of {one.process.pid}")[0].state == "Crashed"
        )
        [limit] = limits(ledger=url)
        assert len(limit.holders) == 1, "a body of its may be at work elsewhere"
        with ledger.opened() as store:  # its lease is over
            store.execute(
                f"UPDATE flow_runs SET process = {store.mark} WHERE state = 'Crashed'",
                (name_of_holder(clock.monotonic() - 1),),
            )
        two.end()
    finally:
        one.close()
        two.close()
    assert diary.most_at_once() == 1 and len(diary.begun()) == 2


# ---- what users say


@task(tags=["gpu"])
def load(x):
    return x


def test_a_limit_can_be_changed_and_removed_while_runs_wait(url):
    set_limit("tag:gpu", 0, ledger=url)
    with Flow("waits") as flow:
        done = load.map([1, 2])

    def let_it_go() -> None:
        wait_until(lambda: limits(ledger=url)[0].waiting == 2)
        remove_limit("tag:gpu", ledger=url)

    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(let_it_go)
        state = flow.run(ledger=url)
        waits.result(20)
    assert [child.result for child in state.result[done].map_states] == [1, 2]
    assert limits(ledger=url) == []
    with pytest.raises(NoSuchLimit, match="'tag:gpu'"):
        remove_limit("tag:gpu", ledger=url)


@pytest.mark.parametrize("name", ["gpu", "", "tag:", "host:a", "tag: ", 3])
def test_a_name_that_says_neither_tag_nor_task_is_refused(name, tmp_path):
    with pytest.raises(UnfitLimit):
        set_limit(name, 1, ledger=tmp_path / "ledger.sqlite")
    assert not (tmp_path / "ledger.sqlite").exists()


@pytest.mark.parametrize("slots", [-1, 1.5, True, "2"])
def test_a_number_that_is_none_is_refused(slots, tmp_path):
    with pytest.raises(UnfitLimit, match="whole number"):
        set_limit("tag:gpu", slots, ledger=tmp_path / "ledger.sqlite")


def test_while_the_ledger_is_away_no_slot_is_given_and_the_run_waits_and_says_so(tmp_path, caplog):
    place = tmp_path / "ledger.sqlite"
    set_limit("tag:gpu", 1, ledger=place)
    went_on = threading.Event()

    @task
    def unlimited():
        # The file is gone for who opens it next, and another thing is in its place.
        place.rename(tmp_path / "kept")
        place.mkdir()
        return 1

    @task
    def meanwhile(x):
        wait_until(lambda: "until the ledger can be asked" in caplog.text)
        went_on.set()

    @task(tags=["gpu"])
    def scarce(x):
        assert went_on.is_set() and not place.is_dir()
        return x

    with Flow("away") as flow:
        one = unlimited()
        meanwhile(one)
        done = scarce(one)

    def bring_back() -> None:
        went_on.wait(20)
        place.rmdir()
        (tmp_path / "kept").rename(place)

    with ThreadPoolExecutor(1) as pool:
        back = pool.submit(bring_back)
        state = flow.run(ledger=place, executor=LocalDaskExecutor("threads", 2))
        back.result(20)
    assert state.is_successful() and state.result[done].result == 1
    assert "'tag:gpu'" in caplog.text
    assert [(each.holders, each.waiting) for each in limits(ledger=place)] == [((), 0)]


def test_a_run_that_begins_while_the_ledger_is_away_heeds_the_limits_there_were(tmp_path, caplog):
    place = tmp_path / "ledger.sqlite"
    set_limit("tag:gpu", 1, ledger=place)
    with Flow("before") as flow:
        load.map([1, 2])
    assert flow.run(ledger=place).is_successful()
    close_writers()
    place.rename(tmp_path / "kept")
    place.mkdir()
    run_slots._last_known.clear()  # as in another process

    def bring_back() -> None:
        wait_until(lambda: "until the ledger can be asked" in caplog.text)
        place.rmdir()
        (tmp_path / "kept").rename(place)

    with ThreadPoolExecutor(1) as pool:
        back = pool.submit(bring_back)
        assert flow.run(ledger=place).is_successful()
        back.result(20)
    assert "those hold that there were before ('tag:gpu')" in caplog.text
