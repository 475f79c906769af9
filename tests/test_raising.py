"""Within raise_on_exception() a failed run raises what its task raised."""

import pytest

from prefect_dask import Flow, task
from prefect_dask.executors import LocalDaskExecutor
from prefect_dask.raising import raise_on_exception


@task
def divide(a, b):
    return a / b


def test_the_first_exception_of_a_task_leaves_the_run_and_no_state_hides_it():
    with Flow("broken") as flow:
        divide(divide(1, 0), 2)
    with pytest.raises(ZeroDivisionError), raise_on_exception():
        flow.run()


def test_the_exception_of_a_mapped_child_counts_too():
    with Flow("mapped") as flow:
        divide.map([1, 2], [1, 0])
    with pytest.raises(ZeroDivisionError), raise_on_exception():
        flow.run(executor=LocalDaskExecutor(scheduler="threads", num_workers=2))


def test_a_run_that_goes_well_is_as_ever_and_so_is_a_failed_one_after_the_block():
    with Flow("sound") as flow:
        half = divide(1, 2)
    with raise_on_exception():
        assert flow.run().result[half].result == 0.5
    with Flow("broken") as flow:
        divide(1, 0)
    assert flow.run().is_failed()
