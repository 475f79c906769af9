"""What tasks make for people to look at is kept with their run."""

import time

import pytest

from prefect_dask import Flow, artifacts, task
from prefect_dask.artifacts import create_link, create_markdown
from prefect_dask.errors import ArtifactOutsideTask, ArtifactTooLarge
from prefect_dask.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from prefect_dask.ledger import Ledger
from tests.faults.cluster import cluster_of

SECRET = "hush-hush-4711"


@task
def report(x):
    create_markdown(f"**{x}** and {SECRET} \ud800", name="a report")


@task(isolation="process")
def link(x):
    create_link(f"https://example.org/{x}")


@pytest.fixture
def executor(request, tmp_path):
    if request.param != "cluster":
        yield request.param
        return
    with cluster_of(tmp_path / "cluster", "one") as cluster:
        yield DaskExecutor(cluster.address)


@pytest.mark.parametrize(
    "executor",
    [
        LocalExecutor(),
        LocalDaskExecutor("threads", 2),
        LocalDaskExecutor("processes", 1),
        "cluster",
    ],
    ids=["here", "threads", "processes", "cluster"],
    indirect=True,
)
def test_they_are_kept_wherever_the_task_ran(executor, tmp_path):
    with Flow("makes artifacts") as flow:
        report.map([1, 2])
        link(3)
    place, begun = tmp_path / "its.sqlite", time.time()

    state = flow.run(executor=executor, ledger=place, context={"secrets": {"word": SECRET}})

    assert state.is_successful()
    ledger = Ledger(place)
    found = ledger.artifacts(ledger.flow_runs()[0].run_id)
    told = {(a.task_name, a.map_index, a.kind, a.name, a.text) for a in found}
    assert told == {
        ("report", 0, "markdown", "a report", "**1** and *** \\ud800"),
        ("report", 1, "markdown", "a report", "**2** and *** \\ud800"),
        ("link", -1, "link", "", "https://example.org/3"),
    }
    assert all(begun - 1 <= a.time.timestamp() <= time.time() for a in found)


def test_one_that_is_made_outside_a_task_is_refused():
    with pytest.raises(ArtifactOutsideTask, match=r"call create_link\(\) in the body of a task"):
        create_link("https://example.org")


def test_one_that_is_too_large_fails_its_task_and_says_what_to_do():
    @task
    def large():
        create_markdown("x" * (artifacts.SIZE_LIMIT_BYTES + 1), name="all of it")

    with Flow("large") as flow:
        made = large()

    error = flow.run().result[made].result
    assert isinstance(error, ArtifactTooLarge)
    assert "'all of it' has 1000001 bytes" in str(error) and "keep a link" in str(error)
