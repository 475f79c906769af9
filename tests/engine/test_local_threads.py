"""A pool has as many threads and processes at work as there are nodes for them."""

import pytest

from prefect_dask import Flow, task
from prefect_dask.executors import LocalDaskExecutor
from tests.waiting import wait_for_file


@task
def first():
    return 1


@task
def meet(mine, others):
    """Ends when the other one has begun."""
    mine.write_text("here")
    return wait_for_file(others)


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_two_branches_below_one_task_run_at_the_same_time(tmp_path, scheduler):
    with Flow("fork") as flow:
        above = first()
        meet(tmp_path / "one", tmp_path / "other", upstream_tasks=[above])
        meet(tmp_path / "other", tmp_path / "one", upstream_tasks=[above])

    assert flow.run(executor=LocalDaskExecutor(scheduler, num_workers=2)).is_successful()


@pytest.mark.parametrize("count", [0, "4", 2.5])
def test_a_pool_needs_a_number_of_workers(count):
    with pytest.raises(ValueError, match=f"num_workers must be .* at least 1, got {count!r}"):
        LocalDaskExecutor("threads", num_workers=count)
