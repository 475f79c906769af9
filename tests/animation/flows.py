"""Flows whose runs are played, and a program that runs one that waits.

python -m tests.animation.flows LEDGER FOLDER   runs `waiting`, whose children go on when their files are there
"""

import sys
from pathlib import Path
from typing import Any

from prefect_dask import Flow, Parameter, task, triggers
from prefect_dask.executors import LocalDaskExecutor
from tests.waiting import wait_until

#: Stands for all markup that a name, a message, an input can have.
MARKUP = "<script>alert(1)</script>"


@task
def numbers(n):
    return list(range(n))


@task(max_retries=1, retry_delay=0.02)
def halve(x):
    if x % 5 == 3:
        raise ValueError(f"<b>{x}</b> is odd")
    return x / 2


@task(name=MARKUP)
def marked(text):
    raise ValueError(f"{MARKUP} {text}")


@task(trigger=triggers.all_finished)
def total(halves):
    return len(halves)


@task
def report(count, text):
    return f"{count} {text}"


def mixed(n: int = 12) -> Flow:
    """A map with failures and retries, a task that fails, one that does not run because of it."""
    with Flow("mixed & <i>more</i>") as flow:
        count = total(halve.map(numbers(Parameter("n", default=n))))
        report(count, marked(Parameter("text", default="</script><b>bold</b>")))
    return flow


@task
def step(x):
    return x + 1


def chain(length: int = 30) -> Flow:
    """So many tasks in a row: too many to be read at once."""
    with Flow("chain") as flow:
        value: Any = 0
        for _ in range(length):
            value = step(value)
    return flow


@task
def waits(folder, name):
    (folder / f"{name}-began").touch()
    wait_until((folder / name).exists, 40)
    return name


def waiting(folder: Path) -> Flow:
    """Two tasks, one after the other, and each waits for a file."""
    with Flow("waiting") as flow:
        waits(folder, "second", upstream_tasks=[waits(folder, "first")])
    return flow


if __name__ == "__main__":
    ledger, folder = sys.argv[1:]
    waiting(Path(folder)).run(ledger=ledger, executor=LocalDaskExecutor("threads", num_workers=2))
