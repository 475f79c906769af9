"""R5: limits hold always, not on average."""

import random
import threading
from pathlib import Path

import dask
import distributed
import pytest

from prefect_dask import Flow, unmapped
from prefect_dask.executors import DaskExecutor
from prefect_dask.ledger import Ledger
from prefect_dask.limits import limits, set_limit
from tests.faults.cluster import Cluster
from tests.faults.forked_workers import ForkedWorkers, forked_workers
from tests.promises.limited import Diary, first, second, short
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("home")

KILLS, SEED = 20, 5


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path / "diary")


class Killer(threading.Thread):
    """Kills workers, mostly such as are in a body, and has others begin in their place."""

    def __init__(self, workers: ForkedWorkers, diary: Diary) -> None:
        super().__init__()
        self.workers, self.diary, self.kills = workers, diary, 0
        self.random = random.Random(SEED)

    def run(self) -> None:
        for number in range(KILLS):
            wait_until(lambda: self.diary.now_at_work(), what="a body at work")
            names = sorted(self.workers.pids)
            at_work = [
                n for n in names if str(self.workers.pids[n]) in self.diary.now_at_work().values()
            ]
            name = self.random.choice(at_work if at_work and self.random.random() < 0.7 else names)
            self.diary.kill(self.workers.pids.pop(name))
            self.kills += 1
            self.workers.add(f"new-{number}")
            begun = len(self.diary.begun())
            # Called at once, within this turn of the loop.
            wait_until(lambda: len(self.diary.begun()) > begun, what="the next body")  # noqa: B023


def test_50_tasks_at_limit_2_are_never_more_than_2_at_once_while_20_workers_are_killed(
    diary, tmp_path
):
    place = tmp_path / "ledger.sqlite"
    set_limit("tag:scarce", 2, ledger=place)
    with Flow("scarce") as flow:
        done = short.map(list(range(50)), unmapped(diary.path))
    cluster = Cluster(tmp_path / "cluster", allowed_failures=KILLS)
    try:
        with (
            forked_workers(cluster, "one", "two", "three", "four") as workers,
            dask.config.set({"distributed.scheduler.allowed-failures": KILLS}),
        ):
            killer = Killer(workers, diary)
            killer.start()
            state = flow.run(executor=DaskExecutor(cluster.address), ledger=place)
            killer.join(20)
            assert [child.result for child in state.result[done].map_states] == list(range(50))
    finally:
        cluster.close()

    assert state.is_successful() and killer.kills == KILLS
    assert diary.most_at_once() == 2
    assert len(diary.begun()) > 50
    assert [(limit.holders, limit.waiting) for limit in limits(ledger=place)] == [((), 0)]
    run = Ledger(place).flow_runs()[0]
    assert all(
        each.state == "Success"
        for each in Ledger(place).task_runs(run.run_id)[1:]
        if each.map_index >= 0
    )


def test_dask_never_makes_a_lost_result_again_beside_those_that_hold_the_slots(diary, tmp_path):
    """
    first  done on worker one --------- lost with it | Dask would run it on worker three at once
    second                  at work on worker two ---------------- still there
    """
    place, files = tmp_path / "ledger.sqlite", [tmp_path / "go-1", tmp_path / "go-2"]
    set_limit("tag:scarce", 1, ledger=place)
    with Flow("lost", durable=False) as flow:
        one = first(diary.path, files[0])
        two = second(diary.path, files[1])
    cluster, is_told = Cluster(tmp_path / "cluster"), threading.Event()

    def lose_first() -> None:
        wait_until(lambda: len(diary.begun()) == 1)
        pid = int(diary.lines()[0][1])
        files[0].touch()
        wait_until(lambda: len(diary.begun()) == 2, what="the second one at work")
        # The coordinating process hears nothing while Dask does what it does.
        client.loop.add_callback(is_told.wait)
        diary.kill(pid)
        with cluster.client() as other:
            wait_until(lambda: len(other.nthreads()) == 2, what="the loss to be known")
            wait_until(lambda: not others_processing(other), what="Dask to do what it would")
        begun_meanwhile.extend(diary.begun()[2:])
        is_told.set()
        wait_until(
            lambda: limits(ledger=place)[0].waiting == 1, what="the lost one to wait for a slot"
        )
        files[1].touch()

    begun_meanwhile: list[str] = []
    try:
        cluster.add_worker("one", "--resources", "FIRST=1")
        cluster.add_worker("two", "--resources", "SECOND=1")
        cluster.add_worker("three", "--resources", "FIRST=1")
        cluster.wait_for_workers()
        with cluster.client(set_as_default=True) as client:
            thread = threading.Thread(target=lose_first)
            thread.start()
            state = flow.run(executor=DaskExecutor(), ledger=place)
            thread.join(20)
            assert (state.result[one].result, state.result[two].result) == (1, 2)
    finally:
        is_told.set()
        cluster.close()

    assert begun_meanwhile == []
    assert diary.most_at_once() == 1
    assert diary.begun() == ["first[None]", "second[None]", "first[None]"]


def others_processing(client: distributed.Client) -> list[str]:
    """The keys of ours that workers have to run, `second` apart."""
    states = ("processing", "waiting", "no-worker", "queued")
    found: list[str] = client.run_on_scheduler(
        lambda dask_scheduler: [
            key[0]
            for key, state in dask_scheduler.tasks.items()
            if state.state in states and not key[0].startswith("second")
        ]
    )
    return found
