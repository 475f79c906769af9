"""A flow that tests look at in a browser, run in a process of its own: FLOW_NAME TASK_NAME SCHEDULER GATE."""

import sys
from pathlib import Path

from prefect_dask import Flow, task
from prefect_dask.executors import DaskExecutor
from tests.waiting import wait_until

#: What a browser would take for more than a name.
SCRIPT, IMAGE = "<script>alert(1)</script> & etl", "<img src=x onerror=alert(1)>"


@task(batch=1)
def load(month, gate):
    """Waits until its turn has come."""
    wait_until(lambda: (gate / f"month {month}").exists(), 50)
    return month


def check(month):
    if month == 1:
        raise ValueError(f"month {month} has <b>no</b> rows")


def etl(flow_name, task_name, gate):
    """load, mapped over 6 months -> a task that fails for one of them, mapped over that"""
    with Flow(flow_name) as flow:
        task(check, name=task_name, batch=1).map(load.map(list(range(6)), [gate] * 6))
    return flow


if __name__ == "__main__":
    _, flow_name, task_name, scheduler, folder = sys.argv
    executor = DaskExecutor(scheduler, grouping="never")
    state = etl(flow_name, task_name, Path(folder)).run(executor=executor)
    print(type(state).__name__)
