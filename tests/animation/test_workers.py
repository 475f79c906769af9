"""What happened to workers is shown in their lines, and what it cost."""

from prefect_dask import Flow
from prefect_dask.executors import DaskExecutor
from prefect_dask.ledger import Ledger
from tests.animation.conftest import wait_for_player
from tests.faults.bodies import dying_at_once, number
from tests.faults.cluster import cluster_of


def test_a_worker_that_died_is_marked_in_its_line(tmp_path, request):
    folder, place = tmp_path / "marks", tmp_path / "its.sqlite"
    folder.mkdir()
    with Flow("deaths") as flow:
        dying_at_once(folder, times=1)
        number.map([1, 2, 3])
    with cluster_of(tmp_path / "cluster", "one", "two") as cluster:
        assert flow.run(executor=DaskExecutor(cluster.address), ledger=place).is_successful()
    ledger = Ledger(place)
    [run] = ledger.flow_runs()
    [death] = ledger.cluster_events(run.run_id)
    file = run.animate().save(tmp_path / "run.html")

    # A browser counts as an event loop of this thread, in which no flow may run.
    page = request.getfixturevalue("page")
    page.goto(file.as_uri())
    wait_for_player(page)

    marks = page.evaluate("player.models.marks.data")
    lanes = page.evaluate("Array.from(player.models.lane_axis.major_label_overrides.entries())")
    assert marks["shape"] == ["x"]
    assert [name for at, name in lanes if abs(at - marks["y"][0]) < 0.01] == [
        death.worker.removeprefix("tcp://")
    ]
    assert page.evaluate("player.aboutMark(0)").startswith(
        f"{death.worker.removeprefix('tcp://')} died\n"
    )
    page.keyboard.press("End")
    dying = page.evaluate("player.plan.tasks.findIndex((task) => task.name === 'dying_at_once')")
    told = page.evaluate(
        "(task) => player.aboutRun(player.timeline.runNumber.get(keyOf(task, -1)))", dying
    )
    lost, survived = [line for line in told.splitlines() if line.startswith("attempt")]
    assert "died while it held this task" in lost
    assert "Success" in survived
